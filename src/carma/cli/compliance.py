"""`carma compliance …`: show what is held about an owner, erase it, check both, and keep to rules."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli import exits
from carma.cli.audit_data import DataDir, Keys, opened_log, read_given, verifiers_from
from carma.cli.compliance_estate import opened_estate
from carma.cli.options import AsJson
from carma.cli.output import Output, one_line
from carma.cli.show import facts, facts_picture
from carma.errors import InvalidInput, NothingHeld

if TYPE_CHECKING:
    from carma.compliance.estate import Estate
    from carma.compliance.rules import Rules

__all__ = ["group"]

_Owner = Annotated[
    str | None,
    typer.Option(
        "--owner", metavar="NAME", show_default=False,
        help="A user's name or id, or whose data key it is; else $CARMA_OWNER, else local.",
    ),
]  # fmt: skip
_Stores = Annotated[
    list[Path] | None,
    typer.Option(
        "--store", metavar="PATH", show_default=False,
        help="A memory of theirs that is no seat of the server (repeatable).",
    ),
]  # fmt: skip
_Rules = Annotated[
    Path | None,
    typer.Option(
        "--rules", metavar="FILE", show_default=False,
        help="The rules; else retention.json in the data directory.",
    ),
]  # fmt: skip

group = typer.Typer(name="compliance", invoke_without_command=True, pretty_exceptions_enable=False)


@group.callback()
def compliance(context: typer.Context) -> None:
    """Export, erase and retain what is held about an owner."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@group.command("export")
def export(
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A new folder, or FILE.tar.", show_default=False)
    ],
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Seal it for the recipient in FILE.", show_default=False),
    ] = None,
    owner: _Owner = None,
    store: _Stores = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write everything that is held about an owner.

    Every fragment with its history, what was rebuilt or lost, dreams, keys, account, usage, audit leaves.
    """
    from carma.access.vault.recipients import Recipient
    from carma.compliance.access import export_access

    recipient = Recipient.load(to) if to is not None else None
    with opened_estate(data, owner, store) as estate:
        counts = export_access(estate, target, to=recipient)
    _show(counts, as_json)


@group.command("erase")
def erase(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where the certificate goes.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    despite_holds: Annotated[
        bool, typer.Option("--despite-holds", help="Erase what a hold of the retention rules keeps, too.")
    ] = False,
    rules: _Rules = None,
    owner: _Owner = None,
    store: _Stores = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Destroy all that is held about an owner, and certify it.

    Data key, keys, memories, account. If it is interrupted, the same command goes on. Exits with 59 if a hold
    of the retention rules keeps something of it.
    """
    from carma.compliance.erasure import erase as erase_all
    from carma.compliance.erasure import settle
    from carma.compliance.rules import Rules

    if owner is None:
        raise InvalidInput("Say who is to be erased: --owner NAME.")
    if out is None and not as_json:
        raise InvalidInput("Say where the certificate goes: --out FILE, or --json.")
    if out is not None and not out.absolute().parent.is_dir():
        raise InvalidInput(f"There is no folder {out.absolute().parent} for the certificate.")
    with opened_estate(data, owner, store, erasing=True) as estate:
        if not yes and not typer.confirm(_question(estate, owner), err=True):
            raise typer.Abort
        output = Output(as_json)
        if out is not None:
            _refuse_taken(out, estate.names)
        held = Rules() if despite_holds else _rules(estate, rules, needed=False)
        document = erase_all(estate, rules=held, step=lambda name: output.note(f"erasing: {name}"))
        if out is not None:
            _write(out, document)
        body = document["certificate"]
        rows = {name: body[name] for name in ("owner", "ended", "data_key", "memories", "keys", "elsewhere")}
        output.show(document, lambda: _lines(rows), lambda: facts_picture(facts(rows)))
        sys.stdout.flush()
        settle(estate)


@group.command("verify")
def verify(
    given: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A certificate (- is standard input), or what `export` wrote."),
    ],
    keys: Keys = None,
    identity: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Opens an export that was sealed.", show_default=False),
    ] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check the certificate of an erasure, or an export's digests.

    Exits with 41 if a certificate proves nothing, with 11 if an export is not what was written.
    """
    if _is_bundle(given):
        _show(_checked_bundle(given, identity, data), as_json)
        return
    from carma.compliance.certificate import CERTIFICATE_BYTES, check_certificate

    verifiers = verifiers_from(keys, opened_log(data, None) if keys is None else "")
    body, proven = check_certificate(read_given(given, CERTIFICATE_BYTES), verifiers)
    value = {
        "valid": True, "owner": body["owner"], "ended": body["ended"], "number": proven.number,
        "log": proven.checkpoint.origin, "size": proven.checkpoint.size, "keys_trusted": keys is not None,
    }  # fmt: skip
    _show(value, as_json)


def _is_bundle(path: Path) -> bool:
    import tarfile

    from carma.access.vault.sealedfile import is_sealed

    return path.is_dir() or (path.is_file() and (is_sealed(path) or tarfile.is_tarfile(path)))


def _checked_bundle(path: Path, identity: Path | None, data: Path | None) -> dict[str, Any]:
    """What is true of an export. logged: the number of its leaf in the audit log, if there is one here."""
    from carma.access.audit.log import read_log
    from carma.access.audit.trail import log_folder
    from carma.access.data import data_folder
    from carma.access.vault.recipients import Identity
    from carma.compliance.access import logged_export
    from carma.compliance.bundle import check_bundle
    from carma.ports.disk import LocalDisk

    found = check_bundle(path, Identity.load(identity) if identity is not None else None)
    folder, logged = log_folder(data_folder(os.environ, data).audit), None
    if os.path.isdir(folder):
        reader, _ = read_log(LocalDisk(), folder, verifiers_from(None, folder))
        logged = logged_export(reader, found.digest)
    return {"valid": True, **found._asdict(), "logged": logged}


@group.command("retain")
def retain(
    rules: _Rules = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due.")] = False,
    owner: _Owner = None,
    store: _Stores = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete and purge what the rules say is due.

    `carma serve` does the same by itself on its rounds, where the data directory has rules.
    """
    with opened_estate(data, owner, store) as estate:
        found = _rules(estate, rules)
        memories = [_retained(estate, path, found, dry_run) for path in estate.present()]
        if not memories:
            raise NothingHeld(f"There is no memory of {estate.owner!r} here.")
    _show({"dry_run": dry_run, "memories": memories}, as_json)


def _rules(estate: Estate, given: Path | None, *, needed: bool = True) -> Rules:
    """The rules that were named, else those of the data directory. Raises InvalidInput."""
    from carma.compliance.rules import FILE, Rules, load_rules

    path = given or estate.folder.root / FILE
    return load_rules(path) if needed or given is not None or path.exists() else Rules()


def _retained(estate: Estate, path: Path, rules: Rules, dry_run: bool) -> dict[str, Any]:
    """What was due in one memory, and what was done."""
    from carma.compliance.retention import candidates, carry_out, plan
    from carma.ports.clock import SystemClock

    with estate.opened(path, read_only=dry_run) as memory:
        planned = plan(rules, candidates(memory), SystemClock().now())
        told: dict[str, Any] = {"path": str(path), "looked_at": planned.looked_at}
        told |= {"due": len(planned.due), "by_rule": planned.by_rule, "on_hold": dict(planned.kept)}
        told["unknown"] = planned.unknown
        if dry_run:
            return told | {"ids": [each.id for each in planned.due]}

        def copy(deleted: int) -> bool:
            estate.copy_waiting(memory)
            return True

        done = carry_out(memory, planned, account=estate.owner, after_batch=copy)
    return told | {"deleted": done.deleted, "purged": done.purged, "changed": done.changed}


def _question(estate: Estate, owner: str) -> str:
    listed = ", ".join(str(path) for path in estate.memories) or "no memory"
    return f"Destroy everything of {one_line(owner)} ({one_line(listed)}) for ever?"


def _refuse_taken(out: Path, names: frozenset[str]) -> None:
    """Raise InvalidInput if the file is there and is not a certificate of the same owner, left by a kill."""
    from carma.compliance.certificate import CERTIFICATE_BYTES

    if not out.exists():
        return
    try:
        body = json.loads(read_given(out, CERTIFICATE_BYTES))["certificate"]
        if names & {body["owner"], (body["account"] or {}).get("name")}:
            return
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise InvalidInput(f"{out} exists already.", hint="Choose another name. Nothing was erased.")


def _write(out: Path, document: Mapping[str, Any]) -> None:
    """The certificate as a file of mode 0600, durable. Raises InvalidInput, StorageError."""
    from carma.access.vault.privatefile import create_private
    from carma.compliance.certificate import CERTIFICATE_BYTES

    data = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
    try:
        create_private(out, data)
    except FileExistsError:
        if json.loads(read_given(out, CERTIFICATE_BYTES)).get("certificate") != document["certificate"]:
            raise InvalidInput(
                f"{out} holds another certificate.",
                hint="It is erased. Run the same command with another --out to get the certificate.",
            ) from None


def _show(value: Mapping[str, Any], as_json: bool) -> int:
    Output(as_json).show(value, lambda: _lines(value), lambda: facts_picture(facts(value)))
    return exits.OK


def _lines(value: Mapping[str, Any]) -> Iterator[str]:
    return (f"{one_line(name)}\t{one_line(shown)}" for name, shown in facts(value))
