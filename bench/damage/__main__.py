"""What one flipped bit does: `python -m bench.damage [--stores NAME ...] [--json FILE]`.

CARMA and five local stores. Each holds the same records, written and closed cleanly by a process of its own.
Then, flip by flip: a fresh copy, one random bit of one file flipped (seeded), and a fresh process that reads
every record by id, lists all of them and asks a few searches, under a time limit. A store that has a repair
verb then repairs, and is read once more.

Stores already in the JSON file stay unless they are measured again, so a table can be filled bit by bit; with
no name after `--stores` the table is only printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.corpus import Corpus, CorpusMissing, make
from bench.damage.campaign import Campaign
from bench.damage.flips import kind_of
from bench.damage.table import NAMES, markdown
from bench.damage.trials import NotMeasured
from bench.machine import describe
from bench.peers import installed
from bench.stores import DISTRIBUTIONS

OUT = Path("bench/out")


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes the JSON file and beside it the Markdown; 1 if a store could not be measured."""
    given = _parser().parse_args(arguments)
    warnings.simplefilter("ignore")
    corpus = _corpus(given.corpus, given.records) if given.stores else None
    given.json.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(given.json.read_text()) if given.json.exists() else {"stores": {}}
    if given.stores:
        results["machine"] = describe(given.json.parent)
    broken = 0
    for name in given.stores:
        if not installed(name):
            print(f"{name} is not installed, left out (pip install -r bench/requirements.txt)", flush=True)
            continue
        work = given.work / name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        campaign = Campaign(
            name, corpus, work, given.records, given.flips, given.seed, given.searches, given.limit_s
        )
        try:
            measured = campaign.run()
        except NotMeasured as error:
            print(error, flush=True)
            broken += 1
            continue
        finally:
            shutil.rmtree(work, ignore_errors=True)
        results["stores"][name] = _about(name, given, corpus, measured.pop("files")) | measured
        given.json.write_text(json.dumps(results, indent=1))
        print(f"{name}: {measured['wall_s']} s, {measured['cpu_s']} s of processor time", flush=True)
    if not results["stores"]:
        return 1
    page = markdown(results)
    given.json.with_suffix(".md").write_text(page)
    print(page)
    return 1 if broken else 0


def _about(name: str, given: argparse.Namespace, corpus: Corpus, files: dict[str, int]) -> dict[str, Any]:
    """What one must know to read the store's figures."""
    kinds: dict[str, int] = {}
    for path, size in files.items():
        kind = kind_of(name, path)
        if kind is not None and size:
            kinds[kind] = kinds.get(kind, 0) + size
    return {
        "version": _version(name),
        "kinds": kinds,
        "number_of_files": len(files),
        "command": f"python -m bench.damage --stores {name} --records {given.records} --flips {given.flips} "
        f"--seed {given.seed} --searches {given.searches}",
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "records": given.records,
        "seed": given.seed,
        "searches": given.searches,
        "corpus": corpus.digest,
    }


def _version(name: str) -> str:
    packages = DISTRIBUTIONS | {"qdrant": "qdrant-client"}
    if name in packages:
        return metadata.version(packages[name])
    return str(importlib.import_module("carma").__version__)


def _corpus(folder: Path, records: int) -> Corpus:
    """The given corpus; where there is none, a small one is made."""
    try:
        corpus = Corpus.read(folder)
        if len(corpus.texts) >= records:
            return corpus
    except CorpusMissing:
        pass
    small = OUT / "damage-corpus"
    try:
        corpus = Corpus.read(small)
        if len(corpus.texts) >= records:
            return corpus
    except CorpusMissing:
        pass
    print(f"making a corpus of {records:,} in {small}", flush=True)
    return make(small, records)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.damage", description=__doc__)
    parser.add_argument("--stores", nargs="*", choices=list(NAMES), default=list(NAMES), help="none: print")
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--flips", type=int, default=40, help="per kind of file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--searches", type=int, default=10, help="by vector, with ten hits each")
    parser.add_argument("--limit-s", type=float, default=30.0, help="after which a read counts as hanging")
    parser.add_argument(
        "--corpus", type=Path, default=OUT / "corpus", help="a ready corpus, else one is made"
    )
    parser.add_argument("--work", type=Path, default=OUT / "damage", help="where the copies are made")
    parser.add_argument(
        "--json", type=Path, default=OUT / "damage.json", help="written, and added to if it is there"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
