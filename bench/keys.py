"""How fast keys are made and checked on one core, beside a bare HMAC, and whether they tell anything.

    python -m bench.keys [--rounds 9] [--keys 1000000] [--json FILE]

Speed is counted in processor time of this process, so that other programs on the machine do not enter, and
in rounds: each figure is taken between two runs of a bare HMAC-SHA-256 over as many bytes as a tag covers, so
that the ratio holds also where the processor's speed changes. The median over the rounds is told, and beside
it the best: where other programs share the core's caches the two lie far apart.

    root keys           `make_root_keys`, a thousand at a time: name, place in Pi, mark, secret, check sum
    attempt keys        `Signer.attempt`: number, place in Pi, the text that is signed, the tag
    full verifications  `Authority.admit`: parsing, tag, session, window, date, revocation, permission
    bare, bare fast     a prepared HMAC, copied, fed with 230 bytes and finished: by `hmac`, by `cryptography`

Then keys are made and looked at. All must differ. Every letter of names and secrets is counted at its place:
over all keys (is it drawn alike?), by owner and by time (does it depend on them?), each with chi-square; and
the letters of successive keys are correlated. `make_root_keys` is told neither owner nor time, so its keys
are assigned to owners and times in the order in which they come; 3,000 more are made by `KeyStore.create` for
named owners, a minute apart. Of 204 tests the largest counts: by chance alone it passes 5.5 sigma once in
100,000 runs.
"""

from __future__ import annotations

import argparse
import gc
import hmac
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from numpy.typing import NDArray

from bench.machine import describe
from carma.access.journal import Journal
from carma.access.keys.authority import Authority
from carma.access.keys.making import make_root_keys
from carma.access.keys.signer import Signer
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey
from carma.access.keys.wire import RequestHead, content_digest
from carma.access.vault.kek import KeyEncryptionKey
from carma.errors import NewSession
from carma.ports.clock import SystemEntropy
from carma.ports.disk import LocalDisk
from carma.testing import SimulatedClock, SimulatedDisk

SEEDS_FIGURE = 199_633
"""Keys a second, the figure of the first texts."""
VERIFICATIONS = 150_000
SIGMAS = 5.5
TESTS = ("letters_alike", "by_owner", "by_time", "from_key_to_key")

TARGET = "/v1/fragments?limit=20&cursor=MDAwMDAwMDAwMDAwMDAwMQ"
DIGEST = content_digest(b'{"text": "remember this"}')
COUNT = 5_000
"""Operations of one figure in one round."""
OWNERS = 64
CREATED = 3_000


def speed(rounds: int, folder: Path) -> dict[str, Any]:
    """Operations a second of each kind: median over the rounds, and the ratio to the bare HMAC."""
    store = KeyStore(Journal(LocalDisk(), str(folder / "keys")), KeyEncryptionKey(b"k" * 32))
    key, _ = store.create("ada", "rwha")
    assert isinstance(key, RootKey)
    authority, signer = Authority(store), Signer(key)
    _open_session(authority, signer)
    heads: list[RequestHead] = []
    message = b"m" * 230
    fresh, fast = hmac.new(b"k" * 32, digestmod="sha256"), HMAC(b"k" * 32, SHA256())

    def bare() -> None:
        for _ in range(COUNT):
            one = fresh.copy()
            one.update(message)
            one.digest()

    def bare_fast() -> None:
        for _ in range(COUNT):
            one = fast.copy()
            one.update(message)
            one.finalize()

    def root_keys() -> None:
        for _ in range(COUNT // 1_000):
            make_root_keys(SystemEntropy(), b"n" * 32, "rwha", 1_000)

    def attempt_keys() -> None:
        for _ in range(COUNT):
            signer.attempt("POST", TARGET, DIGEST, "9f3c", "1750000000")

    def full_verifications() -> None:
        admit, now = authority.admit, time.time()
        for head in heads:
            admit(head, now, "add")

    kinds = (root_keys, attempt_keys, full_verifications, bare_fast)
    taken: dict[str, list[float]] = {kind.__name__: [] for kind in kinds}
    ratios: dict[str, list[float]] = {kind.__name__: [] for kind in kinds}
    bares: list[float] = []
    for _ in range(rounds):
        before = _per_second(bare)
        for kind in kinds:
            heads[:] = [_head(signer) for _ in range(COUNT)] if kind is full_verifications else []
            one = _per_second(kind)
            after = _per_second(bare)
            taken[kind.__name__].append(one)
            ratios[kind.__name__].append(one / statistics.mean((before, after)))
            bares.append(after)
            before = after
    figures = {
        name: {"per_second": statistics.median(taken[name]), "of_bare": statistics.median(ratios[name]),
               "best": max(taken[name])}
        for name in taken
    }  # fmt: skip
    return {**figures, "bare": {"per_second": statistics.median(bares), "of_bare": 1.0, "best": max(bares)}}


def _per_second(run: Callable[[], None]) -> float:
    gc.collect()
    gc.disable()
    begun = time.process_time()
    run()
    took = time.process_time() - begun
    gc.enable()
    return COUNT / took


def _head(signer: Signer) -> RequestHead:
    date = str(int(time.time()))
    attempt, nonce = signer.attempt("POST", TARGET, DIGEST, "9f3c", date)
    return RequestHead("POST", TARGET, f"Carma {attempt}", nonce, date, DIGEST, "9f3c")


def _open_session(authority: Authority, signer: Signer) -> None:
    for _ in range(2):
        try:
            authority.admit(_head(signer), time.time())
        except NewSession as refused:
            headers = {"carma-nonce": refused.nonce}
            signer.learn(401, headers | ({"carma-session": str(refused.session)} if refused.session else {}))


# Looking at keys


def independence(count: int) -> dict[str, Any]:
    """Whether `count` keys are distinct, drawn alike, and independent of owner, time and each other."""
    texts = [key.text for _, key in make_root_keys(SystemEntropy(), b"n" * 32, "rwha", count)]
    order = np.arange(count)
    found = look(texts, owners=order % OWNERS, times=order * OWNERS // count)
    return {"keys": count, **found}


def created(count: int) -> dict[str, Any]:
    """The same of keys that `KeyStore.create` made, for owners by name, a minute apart."""
    clock = SimulatedClock()
    store = KeyStore(Journal(SimulatedDisk(), "/keys", clock=clock), KeyEncryptionKey(b"k" * 32), clock=clock)
    texts = []
    for number in range(count):
        texts.append(store.create(f"owner-{number % 8}", "rwha")[0].text)
        clock.advance(60)
    order = np.arange(count)
    return {"keys": count, **look(texts, owners=order % 8, times=order * 8 // count)}


def look(texts: list[str], owners: NDArray[np.int64], times: NDArray[np.int64]) -> dict[str, Any]:
    """The tests, on keys of the same length. owners, times: the class of each key."""
    letters = np.frombuffer("".join(texts).encode(), dtype=np.uint8).reshape(len(texts), -1)
    name, secret = letters[:, 6:14], letters[:, -49:-6]
    alike, by_owner, by_time, serial = [], [], [], []
    for column in (*name.T, *secret.T):
        _, drawn = np.unique(column, return_inverse=True)
        kinds = 32 if len(alike) < name.shape[1] else 62
        counts = np.bincount(drawn, minlength=kinds)
        alike.append(
            _sigmas(float(((counts - len(texts) / kinds) ** 2).sum() * kinds / len(texts)), kinds - 1)
        )
        by_owner.append(_contingency(drawn, owners))
        by_time.append(_contingency(drawn, times))
        serial.append(float(np.corrcoef(drawn[:-1], drawn[1:])[0, 1] * np.sqrt(len(texts) - 1)))
    return {
        "distinct": len(set(texts)),
        "equal_names": len(texts) - len({text[6:14] for text in texts}),
        "tests": len(TESTS) * len(alike),
        "letters_alike": _largest(alike),
        "by_owner": _largest(by_owner),
        "by_time": _largest(by_time),
        "from_key_to_key": _largest(serial),
    }


def _contingency(letters: NDArray[np.int64], classes: NDArray[np.int64]) -> float:
    """Chi-square of letters against classes, in standard deviations."""
    rows, columns = int(classes.max()) + 1, int(letters.max()) + 1
    seen = np.bincount(classes * columns + letters, minlength=rows * columns).reshape(rows, columns)
    expected = seen.sum(1, keepdims=True) * seen.sum(0, keepdims=True) / seen.sum()
    return _sigmas(float(((seen - expected) ** 2 / expected).sum()), (rows - 1) * (columns - 1))


def _sigmas(chi_square: float, freedom: int) -> float:
    """A chi-square as standard deviations of a normal variable (Wilson and Hilferty, 1931)."""
    scale = 2 / (9 * freedom)
    return float(((chi_square / freedom) ** (1 / 3) - (1 - scale)) / scale**0.5)


def _largest(sigmas: list[float]) -> float:
    return round(max(map(abs, sigmas)), 2)


# Telling


def _lines(report: dict[str, Any]) -> Iterator[str]:
    yield f"{report['machine']['processor']}, load {report['machine']['load_average'][0]}, one core"
    for name, figure in report["speed"].items():
        title = name.replace("_", " ")
        best = f"best {figure['best']:,.0f}/s"
        yield f"  {title:20} {figure['per_second']:>10,.0f}/s  {figure['of_bare']:.2f} of bare  {best}"
    for title in ("independence", "created"):
        found = report[title]
        distinct = f"{found['distinct']:,} distinct, {found['equal_names']} equal names"
        yield f"{title}: {found['keys']:,} keys, {distinct}"
        for name in TESTS:
            shown = f"largest of {found['tests'] // len(TESTS)} tests: {found[name]:.2f} sigma"
            yield f"  {name.replace('_', ' '):20} {shown}"
    for goal, reached in report["goals"].items():
        yield f"{'reached' if reached else 'MISSED '}  {goal}"


def _goals(report: dict[str, Any]) -> dict[str, bool]:
    speeds = report["speed"]
    goals = {
        f"root keys >= {SEEDS_FIGURE:,}/s": speeds["root_keys"]["per_second"] >= SEEDS_FIGURE,
        f"attempt keys >= {SEEDS_FIGURE:,}/s": speeds["attempt_keys"]["per_second"] >= SEEDS_FIGURE,
        f"full verifications >= {VERIFICATIONS:,}/s": speeds["full_verifications"]["per_second"]
        >= VERIFICATIONS,
    }
    for title in ("independence", "created"):
        found = report[title]
        goals[f"{found['keys']:,} keys all distinct"] = found["distinct"] == found["keys"]
        largest = max(found[name] for name in TESTS)
        goals[f"{found['keys']:,} keys: no test beyond {SIGMAS} sigma"] = largest < SIGMAS
    return goals


def main() -> int:
    """Measure, print, and exit with 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        report: dict[str, Any] = {"machine": describe(Path(folder))}
        report["speed"] = speed(given.rounds, Path(folder))
    report["independence"] = independence(given.keys)
    report["created"] = created(CREATED)
    report["goals"] = _goals(report)
    print("\n".join(_lines(report)))
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(report["goals"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
