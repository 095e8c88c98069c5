"""Proving a page of the audit log: each entry by its hashes, up to the root that the signed checkpoint names.

The same steps that anybody takes who has the answer of `/v1/audit` and the log's public keys; nothing is
taken on trust from the place where the entries were read.

Source: RFC 6962, section 2.1.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

import rfc8785

from carma.access.audit.checkpoint import open_checkpoint, signed_by
from carma.access.audit.note import Verifier
from carma.access.audit.tree import check_inclusion, leaf_hash
from carma.errors import AuditDamaged
from carma.serve.shapes import AuditEntry, AuditPage

__all__ = ["Proven", "proven"]


class Proven(NamedTuple):
    """A page, and what holds of it. signers: whose signature is under the checkpoint, one for each of its
    keys; none if no signature is right. right: for each entry whether it is proven. root: hexadecimal.
    """

    page: AuditPage
    signers: tuple[str, ...]
    root: str
    right: tuple[bool, ...]


def proven(page: AuditPage, verifiers: Sequence[Verifier]) -> Proven:
    """Check every entry of a page. verifiers: the log's public keys."""
    try:
        checkpoint, note = open_checkpoint(page.checkpoint.encode(), verifiers)
    except AuditDamaged:
        return Proven(page, (), "unknown", (False,) * len(page.entries))
    names = sorted(f"{each.name} ({_KINDS.get(each.kind, 'other')})" for each in signed_by(
        checkpoint, note.signatures, verifiers
    ))  # fmt: skip
    right = tuple(_stands(each, checkpoint.size, checkpoint.root) for each in page.entries)
    return Proven(page, tuple(names), checkpoint.root.hex(), right)


_KINDS = {1: "Ed25519", 4: "Ed25519", 6: "ML-DSA-44"}


def _stands(entry: AuditEntry, size: int, root: bytes) -> bool:
    hashes = [base64.b64decode(each) for each in entry.proof]
    return check_inclusion(entry.index, size, leaf_hash(rfc8785.dumps(dict(entry.leaf))), hashes, root)
