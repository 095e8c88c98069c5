"""`carma audit witness`: the keys and the memory of a witness, and one cosignature."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carma.cli.audit_data import opened_log, read_given, verifiers_from
from carma.errors import CarmaError, InvalidInput, WitnessRefused

if TYPE_CHECKING:
    from carma.access.audit.note import Verifier
    from carma.access.audit.witness import Witness

__all__ = ["cosign"]

_OK = 200


def cosign(
    state: Path, name: str | None, request: Path | None, keys: Path | None, data: Path | None,
    log: Path | None,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """Cosign what a request says, or else the log; as JSON values, and as lines. Raises WitnessRefused."""
    own = str(state.expanduser())
    if request is not None:
        body = read_given(request)
        origin = body.partition(b"\n\n")[2].partition(b"\n")[0].decode("utf-8", "replace")
        witness = _witness(own, name, origin, verifiers_from(keys, own) if keys is not None else None)
        return _shown(witness, origin, _signed(witness, body))
    return _cosign_log(own, name, opened_log(data, log), keys)


def _cosign_log(
    own: str, name: str | None, folder: str, keys: Path | None
) -> tuple[dict[str, Any], list[str]]:
    """Cosign the log in a folder, and add the cosignatures to it where it can be written."""
    from carma.access.audit.log import attach_signatures, read_log
    from carma.access.audit.note import parse_signatures
    from carma.access.audit.witness import request_body
    from carma.ports.clock import SystemClock
    from carma.ports.disk import LocalDisk

    disk = LocalDisk()
    there = verifiers_from(keys, folder)
    reader, note = read_log(disk, folder, there)
    checkpoint = reader.checkpoint
    witness = _witness(own, name, checkpoint.origin, there, given=keys is not None)
    seen = witness.seen(checkpoint.origin)
    if seen.size > reader.size:
        raise WitnessRefused(
            f"This witness saw {seen.size} entries; the log has {reader.size}: its end was cut off."
        )
    lines = _signed(witness, request_body(reader, note.to_bytes(), seen.size))
    with suppress(CarmaError, OSError):  # A log that can only be read is cosigned all the same.
        attach_signatures(disk, folder, SystemClock(), checkpoint, parse_signatures(lines.encode()))
    return _shown(witness, checkpoint.origin, lines)


def _witness(
    own: str, name: str | None, origin: str, there: list[Verifier] | None, *, given: bool = True
) -> Witness:
    """The witness whose state lies in `own`. The keys of a log are those that it was shown first.

    there: the log's keys as they are now; given: by the caller, and not by the log itself.
    """
    from carma.access.audit.note import vkey_lines
    from carma.access.audit.signing import load_signer
    from carma.access.audit.twofold import Twofold
    from carma.access.audit.witness import Witness
    from carma.ports.clock import SystemClock, SystemEntropy
    from carma.ports.disk import LocalDisk, write_whole

    disk = LocalDisk()
    disk.mkdir(own)
    kept = Twofold(disk, own)
    signer = load_signer(kept, SystemEntropy(), prefix="carma/witness", name=name)
    if name not in (None, signer.name):
        raise InvalidInput(f"The witness in {own} is called {signer.name}.")
    place = "log-" + sha256(origin.encode()).hexdigest()[:32]
    known = kept.get(place)
    if known is None:
        if there is None:
            raise InvalidInput("This witness does not know the log.", hint="Name the log's keys with --keys.")
        known = "".join(f"{each.vkey}\n" for each in there).encode()
        kept.put(place, known)
    trusted = vkey_lines(known)
    if given and there is not None and set(there) != set(trusted):
        raise WitnessRefused("This witness knows the log by other keys than these.")
    witness = Witness(disk, own, signer, {origin: trusted}, SystemClock())
    public = "".join(f"{each.vkey}\n" for each in witness.verifiers()).encode()
    write_whole(disk, f"{own}/vkeys", public)
    return witness


def _signed(witness: Witness, body: bytes) -> str:
    """The lines with cosignatures. Raises WitnessRefused."""
    answer = witness.add_checkpoint(body)
    text = answer.body.decode("utf-8", "replace")
    if answer.status == _OK:
        return text
    if answer.status == 409:
        raise WitnessRefused(
            f"This witness saw {text.strip()} entries of the log, and this is not its continuation."
        )
    raise WitnessRefused(f"The witness did not sign ({answer.status}): {text.strip()}")


def _shown(witness: Witness, origin: str, lines: str) -> tuple[dict[str, Any], list[str]]:
    seen = witness.seen(origin)
    value = {
        "name": witness.signer.name, "vkeys": [each.vkey for each in witness.verifiers()],
        "origin": origin, "size": seen.size, "root": seen.root.hex(), "cosignatures": lines,
    }  # fmt: skip
    return value, lines.removesuffix("\n").split("\n")
