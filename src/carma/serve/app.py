"""The application inside the gate: the routes, what they say of themselves, and the pages of the dashboard.

FastAPI reads paths and queries, and describes everything; bodies are read by the routes. Its own pages of
documentation are left out: they load scripts from the network. `carma openapi` prints the description.
"""

from __future__ import annotations

import base64
from importlib import import_module, util
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import carma
from carma.errors import CarmaError, InvalidInput, MethodNotAllowed, NoSuchRoute, RequestRefused
from carma.serve.call import Answer, Call
from carma.serve.guard import Guard
from carma.serve.log import Log
from carma.serve.openapi import exact_openapi
from carma.serve.problems import answer_of, invalid
from carma.serve.routes.account import account_routes
from carma.serve.routes.fragments import fragment_routes
from carma.serve.routes.heal import heal_routes
from carma.serve.routes.search import search_routes
from carma.serve.services import Services

__all__ = ["dashboard_is_installed", "description", "make_app", "mount_dashboard"]

_DASHBOARD = "carma.serve.dashboard"


def make_app(services: Services) -> FastAPI:
    """The application of a server, without the gate and the dashboard."""
    app = FastAPI(
        title="CARMA",
        version=carma.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    for routes in (fragment_routes, search_routes, heal_routes, account_routes):
        routes(app.router, services)
    app.add_exception_handler(CarmaError, _refused)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _refused)
    app.openapi = lambda: exact_openapi(app)  # type: ignore[method-assign]
    return app


def description() -> dict[str, Any]:
    """What the interface says of itself, without a server. The routes need one only when they are asked."""
    return make_app(cast("Services", None)).openapi()


def dashboard_is_installed() -> bool:
    """Whether there are pages to mount."""
    return util.find_spec("nicegui") is not None and util.find_spec(_DASHBOARD) is not None


def mount_dashboard(app: FastAPI, services: Services, guard: Guard, log: Log) -> bool:
    """Put the dashboard's pages under `/`, if they are installed; whether they are."""
    if not dashboard_is_installed():
        return False
    import_module(_DASHBOARD).mount_dashboard(app, services, guard, log)
    return True


async def _refused(request: Request, error: Exception) -> Answer:
    call = request.scope.get("carma")
    request_id = call.request_id if isinstance(call, Call) else ""
    ours = _ours(error)
    # What nobody foresaw is raised again behind this answer, and the gate closes the connection then.
    return answer_of(ours, request_id, {} if isinstance(ours, CarmaError) else {"connection": "close"})


def _ours(error: Exception) -> Exception:
    """The error as one of ours."""
    if isinstance(error, RequestValidationError):
        return invalid(_without_query(each) for each in error.errors())
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return NoSuchRoute("Nothing is served at this path.")
        if error.status_code == 405:
            return MethodNotAllowed("This method is not served at this path.")
        return RequestRefused("The request was refused.")
    if isinstance(error, base64.binascii.Error):  # type: ignore[attr-defined]
        return InvalidInput("The request holds something that is not base64.")
    return error


def _without_query(fault: Any) -> Any:
    """A fault of FastAPI without the words `query` and `path` before the name."""
    return {**fault, "loc": tuple(fault["loc"])[1:] or fault["loc"]}
