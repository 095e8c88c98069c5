"""The application of the pages: NiceGUI, set so that it keeps and asks nothing.

No storage of NiceGUI's is used (a visit keeps what there is to keep), no style sheet is compiled in the
browser, and its own log, which would quote errors, is silent: what fails is told to the server's log.
"""

from __future__ import annotations

import logging
from functools import cache

from fastapi import FastAPI
from nicegui import ui

from carma.serve.dashboard import pages
from carma.serve.dashboard.pages import missing

__all__ = ["house"]


@cache
def house() -> FastAPI:
    """The application; one for the process, because NiceGUI is."""
    assert pages.__all__ and missing.__all__, "importing the pages has registered them"
    logging.getLogger("nicegui").setLevel(logging.CRITICAL)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        app,
        title="CARMA",
        dark=None,
        language="en-US",
        tailwind=False,
        gzip_middleware_factory=None,
        show_welcome_message=False,
        storage_secret=None,
        reconnect_timeout=10.0,
        message_history_length=200,
    )
    return app
