"""The certificate of an erasure: what was destroyed, when, what stays readable elsewhere; and its proof.

    {"certificate": {…}, "proof": "c2sp.org/tlog-proof@v1 …"}

The audit log has a leaf with the SHA-256 of the certificate (RFC 8785 form) and nothing else of it, so the
log names nobody. The proof leads from that leaf to a checkpoint that the log signed, and witnesses if there
are some: whoever trusts one of these keys can check the certificate without asking anybody, and nobody can
write another one for the same event. It proves that the operator said so at that time. That the data key is
gone follows for the vault's copies; what nobody can prove is that no other copy was ever made. Rejected: a
signature of its own (one more key to look after, and no order in time).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import rfc8785

from carma.access.audit.leaf import Leaf, parse_leaf
from carma.access.audit.note import Verifier
from carma.access.audit.proof import Proven, check_proof
from carma.errors import AuditDamaged

__all__ = ["CERTIFICATE_BYTES", "FORMAT", "Certified", "certificate_leaf", "check_certificate"]

FORMAT = "carma erasure 1"
CERTIFICATE_BYTES = 16 * 2**20
"""The longest certificate that is read."""

_OPERATION = "erasure.end"


class Certified(NamedTuple):
    """A certificate that was checked. body: what it says. proven: the leaf, the checkpoint, the witnesses."""

    body: dict[str, Any]
    proven: Proven


def certificate_leaf(body: Mapping[str, Any], time_ms: int) -> Leaf:
    """The leaf that binds a certificate: its event, and the two halves of its digest."""
    return Leaf(
        event=body["events"]["end"], time_ms=time_ms, kind="erasure", operation=_OPERATION,
        tags=_digest_tags(body),
    )  # fmt: skip


def check_certificate(
    data: bytes | Mapping[str, Any],
    verifiers: Sequence[Verifier],
    witnesses: Sequence[Verifier] = (),
    quorum: int = 0,
) -> Certified:
    """What a certificate says, proven to whoever trusts the log's keys `verifiers`.

    witnesses, quorum: so many of these have to have cosigned. Raises AuditDamaged if it proves nothing.
    """
    body, proof = _parsed(data)
    proven = check_proof(proof, verifiers, witnesses, quorum)
    try:
        leaf = parse_leaf(proven.leaf)
        if (leaf.kind, leaf.operation) != ("erasure", _OPERATION):
            raise AuditDamaged("The proof is of another event than an erasure.")
        same = leaf.event == body["events"]["end"] and dict(leaf.tags) == _digest_tags(body)
    except (ValueError, KeyError, TypeError) as error:
        raise AuditDamaged("The proof is of something that is no leaf.") from error
    if not same:
        raise AuditDamaged("The certificate is not the one that was logged: it was changed.")
    return Certified(body, proven)


def _parsed(data: bytes | Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        value = json.loads(data) if isinstance(data, bytes) else data
        body, proof = value["certificate"], value["proof"].encode()
        if body["format"] != FORMAT:
            raise AuditDamaged(f"The certificate has the format {body['format']!r:.80}.")
        return dict(body), proof
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AuditDamaged("This is not a certificate of an erasure.") from error


def _digest_tags(body: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the canonical JSON of a certificate, as the two tags of its leaf. Raises ValueError."""
    digest = sha256(rfc8785.dumps(dict(body))).hexdigest()
    return {"certificate_head": digest[:32], "certificate_tail": digest[32:]}
