"""`carma` in copies of a process that has imported it already: a copy is there at once, a new process takes a
second, and the documentation shows more than a hundred commands.

What is run is the module `carma` with arguments, environment, folder and file descriptors of its own, from
beginning to end, in a process of its own. What a new process is like is the subject of tests/cli.
"""

from __future__ import annotations

import json
import os
import runpy
import selectors
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

__all__ = ["Copied"]


class Copied:
    """Runs commands, one at a time. Used with `with`."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.copies"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONUTF8": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answers = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._answers.register(self._process.stdout, selectors.EVENT_READ)
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._process.kill()
        self._process.communicate()

    def run(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], out: Path, limit_s: float
    ) -> int:
        """Run `carma` with arguments in a folder; what it writes goes to the file `out`. Its exit code, as
        `subprocess` gives it. Raises TimeoutError.
        """
        asked = {"arguments": list(arguments), "folder": str(folder), "env": dict(env), "out": str(out)}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        if not self._answers.select(limit_s):
            raise TimeoutError(f"carma {' '.join(arguments)}")
        return int(self._process.stdout.readline())


def _become(asked: dict[str, Any]) -> None:
    """Be the process that was asked for, to its end."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["env"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(asked["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for old, new in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(old, new)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115  # Open to the end.
    sys.argv[1:] = asked["arguments"]
    sys.path[0] = asked["folder"]
    runpy.run_module("carma", run_name="__main__", alter_sys=True)


def _main() -> None:
    import carma.cli.app
    import carma.memory.memory  # noqa: F401

    asking = open(0, "rb", buffering=0)  # noqa: SIM115  # Nothing of what is asked later is read in advance.
    while line := asking.readline():
        pid = os.fork()
        if not pid:
            _become(json.loads(line))
            return
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _main()
