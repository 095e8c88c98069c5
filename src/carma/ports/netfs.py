"""Network file systems: where a lock may not lock and a sync may not sync, a memory is refused.

The kind of file system is read from the mount table (Linux: /proc/self/mountinfo, see proc(5); macOS:
mount(8)). Where the table cannot be read the path is taken as local: refusing every unknown machine would
help nobody.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

from carma.errors import NetworkFileSystem

__all__ = ["file_system_of", "refuse_network_file_system"]

_NETWORK = re.compile(
    r"^(nfs\d?|cifs|smb\w*|smbfs|afs|ncpfs|9p|ceph|glusterfs|lustre|afpfs|webdav|davfs\d?|"
    r"fuse\.(sshfs|s3fs|gcsfuse|rclone|glusterfs|ceph\w*|davfs\d?|smbnetfs|nfs\w*))$"
)
_MOUNTINFO = "/proc/self/mountinfo"


def refuse_network_file_system(path: str, table: str = _MOUNTINFO) -> None:
    """Raise NetworkFileSystem if `path`, or the nearest folder above it that exists, lies on one."""
    kind = file_system_of(path, table)
    if kind is not None and _NETWORK.match(kind):
        raise NetworkFileSystem(
            f"{path} lies on a network file system ({kind}), where locks and syncs cannot be relied on."
        )


def file_system_of(path: str, table: str = _MOUNTINFO) -> str | None:
    """The kind of file system that holds `path`, None if it cannot be told."""
    real = os.path.realpath(path)
    best: tuple[int, str] | None = None
    for point, kind in _mounts(table):
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and (best is None or len(point) >= best[0]):
            best = (len(point), kind)
    return best[1] if best else None


def _mounts(table: str) -> list[tuple[str, str]]:
    """Mount points and kinds, in the order of mounting."""
    try:
        if sys.platform == "darwin":
            out = subprocess.run(
                ["/sbin/mount"], capture_output=True, text=True, timeout=5, check=True
            ).stdout
            return [(m[1], m[2]) for m in re.finditer(r"^.* on (/.*) \((\w+)", out, re.MULTILINE)]
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 4 and after:
            point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4])
            found.append((point, after.split()[0]))
    return found
