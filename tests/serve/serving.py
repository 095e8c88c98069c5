"""A server in a process of its own, with settings that the command line does not offer; run by the tests.

python serving.py DATA KEK_FILE SETTINGS        settings: JSON, by the names of `ServeSettings`

It prints one line of JSON with its port when it is ready, and logs to standard error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from carma.access.data import DataFolder, unlock
from carma.config import Settings
from carma.serve.household import open_household
from carma.serve.log import make_log
from carma.serve.server import Server
from carma.serve.settings import ServeSettings
from carma.testing import HashEmbedder


def _say_ready(server: Server) -> None:
    print(json.dumps({"port": server.port, "metrics_port": server.metrics_port}), flush=True)


async def _run(data: str, kek: str, settings: str) -> None:
    given = json.loads(settings)
    household = open_household(unlock(DataFolder(Path(data)), {"CARMA_KEK_FILE": kek}))
    server = Server(
        household,
        ServeSettings(**{"port": 0, "dashboard": False, **given}),
        make_log(),
        embedder=HashEmbedder(64),
        memory_settings=Settings(sleep=False),
    )
    await server.run(_say_ready)


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:4]))
