"""Erasure: everything that is held about an owner is destroyed, in steps that can be repeated.

    begin     what there is, is looked at and kept (`begun`); until here nothing was changed
    close     nobody is admitted to the account any more, and its keys are revoked
    log       what waits for the audit log is copied there, and a leaf says that the erasure began
    shred     the data key is destroyed, and an audit key beside it; then no copy of a sealed file opens
    keys      the owner's keys are removed with their history
    folders   the memories are overwritten and removed: segments, registry, vectors, caches, sketches
    account   the seat is free, the name forgotten
    certify   everything is looked for once more; the certificate is kept, and its digest becomes a leaf

Each step does nothing where it was done already, so a killed erasure goes on with the same call, from any
point; the order leaves nothing open in between. `settle` ends it when the certificate was handed over.
Rejected: erasing without keeping a plan (after the data key is gone nobody could say what belonged to whom).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from carma.access.audit.leaf import Leaf
from carma.access.audit.proof import find_event, make_proof
from carma.access.audit.trail import AuditTrail
from carma.compliance.begun import Begun, Erasures
from carma.compliance.certificate import FORMAT, certificate_leaf
from carma.compliance.estate import Estate
from carma.compliance.facts import facts_of, moment
from carma.compliance.folders import erase_folder
from carma.compliance.retention import on_hold
from carma.compliance.rules import Rules
from carma.errors import (
    AccountNotFound,
    ErasureUnfinished,
    EventNotLogged,
    InvalidInput,
    NothingHeld,
    OnHold,
    OwnerNotFound,
    Shredded,
    VaultWrong,
)
from carma.ports.clock import Clock, SystemClock
from carma.store.database import in_use
from carma.store.registry import registry_names

__all__ = ["STEPS", "erase", "settle"]

_WAIT_S = 15.0
_PAUSE_S = 0.1
_BACKUP_DAYS = 30
_REMNANTS = (
    "Flash drives and copy-on-write file systems may keep old blocks of files that were overwritten.",
    "What an encrypted memory left in such blocks is unreadable: the key that sealed it is destroyed.",
    "A process that had the memory open may hold texts in its working memory until it ends.",
    "Copies that CARMA did not make (of the disk, of files, of screens) are not known here.",
)


_NO_RULES = Rules()


def erase(
    estate: Estate,
    *,
    rules: Rules = _NO_RULES,
    clock: Clock | None = None,
    step: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Destroy everything that is held about an owner, or go on with it; the certificate with its proof.

    rules: of retention; what their holds keep is not erased, nor anything beside it. step: told the name of
    each step before it is done. Repeating it gives the same certificate until `settle` is called.

    Raises NothingHeld, InvalidInput (a folder that holds no memory), VaultWrong (somebody else's key
    encrypts a memory), OnHold, ErasureUnfinished, AuditUnavailable, and what the parts raise: nothing is lost
    of what was done, and the same call goes on.
    """
    clock = clock or SystemClock()
    if estate.trail is None:
        raise InvalidInput("An erasure needs the audit log: its certificate is proven there.")
    erasures = Erasures(estate.disk, estate.folder)
    try:
        begun = erasures.find(estate.names)
        if begun is None:
            step("begin")
            begun = erasures.keep(_begin(estate, estate.trail, clock, rules))
        work = _Work(_restored(estate, begun), estate.trail, erasures, begun, clock)
        for name, act in _STEPS.items():
            if work.begun.body is None or name == "certify":
                step(name)
                act(work)
        return work.document
    finally:
        erasures.close()


def settle(estate: Estate) -> None:
    """Forget an erasure whose certificate was handed over: from then on the owner is named nowhere here.

    Nothing happens if there is none, or if it is not over.
    """
    erasures = Erasures(estate.disk, estate.folder)
    try:
        begun = erasures.find(estate.names)
        if begun is not None and begun.body is not None:
            erasures.forget(begun.owner)
    finally:
        erasures.close()


def _begin(estate: Estate, trail: AuditTrail, clock: Clock, rules: Rules) -> Begun:
    """What is known before anything is destroyed. Raises NothingHeld, InvalidInput, VaultWrong, OnHold."""
    memories = [path.resolve() for path in estate.memories if _is_ours(estate, path)]
    if not (memories or estate.account or estate.stored_keys() or _has_key(estate)):
        raise NothingHeld(f"Nothing is held about {estate.owner!r} here.")
    for path in memories if rules.holds else ():
        _refuse_held(estate, path, rules)
    return Begun(
        owner=estate.owner,
        names=tuple(sorted(estate.names)),
        account=dict(estate.account) if estate.account is not None else None,
        memories=tuple(map(str, memories)),
        facts=facts_of(replace(estate, memories=tuple(memories))),
        events={"begin": trail.new_event(), "end": trail.new_event()},
        begun_ms=int(clock.now() * 1000),
    )


def _refuse_held(estate: Estate, path: Path, rules: Rules) -> None:
    """Raise OnHold if a hold keeps something of a memory. What nobody can read any more is no evidence."""
    with suppress(Shredded, OwnerNotFound), estate.opened(path, read_only=True) as memory:
        kept = on_hold(rules, memory)
        if kept:
            told = ", ".join(f"{name} ({count:,})" for name, count in kept.items())
            raise OnHold(f"The memory in {path} has fragments on hold: {told}.")


def _has_key(estate: Estate) -> bool:
    return estate.has_data_key() or estate.own_audit_key() is not None


def _is_ours(estate: Estate, path: Path) -> bool:
    """Whether a folder is the owner's to erase; False if nothing is there.

    Raises InvalidInput, VaultWrong.
    """
    seats = Path(estate.folder.seat(0, 1)).parent
    if not path.exists():
        return False
    identity = estate.identity(path)
    if identity is None:
        if path.resolve().parent == seats.resolve():
            return True
        raise InvalidInput(f"There is no memory in {path}.", hint="Nothing was erased. Name its folder.")
    if identity.encryption is None:
        return True
    if estate.vault is None:
        raise VaultWrong(f"The memory in {path} is encrypted, and there is no vault here.")
    try:
        identity.check(estate.vault.cipher(estate.owner, create=False))
    except (OwnerNotFound, Shredded):
        gone = estate.vault.shredding(estate.owner)
        if gone is None or gone.key_id.hex() != identity.encryption.get("key"):
            raise VaultWrong(f"Another owner's data key encrypts the memory in {path}.") from None
    return True


def _restored(estate: Estate, begun: Begun) -> Estate:
    """The estate as it was when the erasure began: an account that is gone cannot be looked up any more."""
    return replace(
        estate, owner=begun.owner, account=begun.account,
        memories=tuple(Path(path) for path in begun.memories),
    )  # fmt: skip


class _Work:
    """One erasure under way."""

    def __init__(
        self, estate: Estate, trail: AuditTrail, erasures: Erasures, begun: Begun, clock: Clock
    ) -> None:
        self.begun = begun
        self.document: dict[str, Any] = {}
        self._estate = estate
        self._trail = trail
        self._erasures = erasures
        self._clock = clock

    def close(self) -> None:
        """Admit nobody, and end the keys."""
        if self._estate.accounts is not None and self.begun.account is not None:
            try:
                self._estate.accounts.begin_leaving(self.begun.owner)
            except AccountNotFound:
                return  # It was removed already; its keys went before.
        if self._estate.keys is not None:
            for key in self._estate.stored_keys():
                if key.state != "revoked":
                    self._estate.keys.revoke(key.name)

    def log(self) -> None:
        """Copy what happened to the keys, and say that the erasure begins."""
        key = self._estate.audit_key()
        self._note(
            Leaf(
                event=self.begun.events["begin"], time_ms=self.begun.begun_ms, kind="erasure",
                operation="erasure.begin", owner=key.owner(self.begun.owner) if key is not None else None,
                numbers={"memories": len(self.begun.memories), "keys": len(self.begun.facts["keys"])},
            )
        )  # fmt: skip
        self._estate.copy_waiting()

    def shred(self) -> None:
        """Destroy the data key, and the audit key of who had none."""
        if self._estate.vault is not None:
            with suppress(OwnerNotFound):  # Whose memories are all plain has none.
                self._estate.vault.shred(self.begun.owner)
        if self._estate.own_audit_key() is not None:
            self._trail.keys.shred(self.begun.owner)

    def keys(self) -> None:
        """Remove the keys with their history."""
        if self._estate.keys is not None:
            self._estate.keys.forget(self.begun.owner)

    def folders(self) -> None:
        """Overwrite and remove the memories. Raises ErasureUnfinished if one is still open elsewhere."""
        for path in self._estate.memories:
            until = self._clock.monotonic() + _WAIT_S
            while self._in_use(path):
                if self._clock.monotonic() >= until:
                    raise ErasureUnfinished(
                        f"The memory in {path} is open in another process.",
                        hint="End that process, then run the same command again: it goes on from here.",
                    )
                self._clock.sleep(_PAUSE_S)
            try:
                erase_folder(path)
            except OSError as error:
                raise ErasureUnfinished(f"{path} could not be removed ({error.strerror}).") from error

    def account(self) -> None:
        """Free the seat, forget the name."""
        if self._estate.accounts is not None and self.begun.account is not None:
            self._estate.accounts.end_leaving(self.begun.owner)

    def certify(self) -> None:
        """Look for what is left, keep the certificate, log its digest, prove it."""
        if self.begun.body is None:
            self._refuse_leftovers()
            self.begun = self._erasures.keep(replace(self.begun, body=self._body()))
        body = self.begun.body
        assert body is not None
        self._note(certificate_leaf(body, int(self._clock.now() * 1000)))
        self._trail.sequence()
        reader, note = self._trail.log.reader(), self._trail.log.checkpoint()
        number, leaf = find_event(reader, self.begun.events["end"])
        proof = make_proof(reader, note, number, leaf).decode()
        self.document = {"certificate": body, "proof": proof}

    def _body(self) -> dict[str, Any]:
        """What the certificate says."""
        vault = self._estate.vault
        gone = vault.shredding(self.begun.owner) if vault is not None else None
        now, facts = self._clock.now(), self.begun.facts
        elsewhere = list(facts["elsewhere"])
        if gone is not None:
            elsewhere.append({
                "what": "backups of the vault", "where": "wherever they are kept",
                "readable": "with the key-encryption key of before; a rotation of it ends that",
                "remove_by": moment(gone.when + _BACKUP_DAYS * 86_400),
            })  # fmt: skip
        return {
            "format": FORMAT,
            "owner": self.begun.owner,
            "account": self.begun.account,
            "begun": moment(self.begun.begun_ms / 1000),
            "ended": moment(now),
            "events": self.begun.events,
            "log": self._trail.log.signer.name,
            "data_key": {
                "key_id": gone.key_id.hex(), "commitment": gone.commitment.hex(),
                "destroyed": moment(gone.when),
            } if gone is not None else None,
            "memories": facts["memories"],
            "keys": facts["keys"],
            "elsewhere": elsewhere,
            "remnants": list(_REMNANTS),
        }  # fmt: skip

    def _refuse_leftovers(self) -> None:
        """Raise ErasureUnfinished if anything is still there."""
        left = [str(path) for path in self._estate.memories if path.exists() or path.is_symlink()]
        left += [f"the key {key.name}" for key in self._estate.stored_keys()]
        left += ["the data key"] if self._estate.has_data_key() else []
        left += ["the audit key"] if self._estate.own_audit_key() is not None else []
        if left:
            raise ErasureUnfinished(f"Still there: {', '.join(left[:5])}.")

    def _in_use(self, path: Path) -> bool:
        """Whether a process has the memory open and could write readable texts; an encrypted one cannot."""
        told = {each["path"]: each for each in self.begun.facts["memories"]}.get(str(path))
        sealed = told is not None and told.get("encrypted")
        names = registry_names(self._estate.disk, f"{path}/index") if not sealed else []
        return any(in_use(f"{path}/index/{name}") for name in names[:1])

    def _note(self, leaf: Leaf) -> None:
        """Store a leaf, once: an erasure that goes on finds what was stored before."""
        if any(each.leaf.event == leaf.event for each in self._trail.events.waiting(0)):
            return
        try:
            find_event(self._trail.log.reader(), leaf.event)
        except EventNotLogged:
            self._trail.note(leaf)


_STEPS: dict[str, Callable[[_Work], None]] = {
    "close": _Work.close,
    "log": _Work.log,
    "shred": _Work.shred,
    "keys": _Work.keys,
    "folders": _Work.folders,
    "account": _Work.account,
    "certify": _Work.certify,
}
STEPS = ("begin", *_STEPS)
"""The names of the steps, in order."""
