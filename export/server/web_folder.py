"""An export's page for the browser, served beside the interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

PATH = "/web/"
_HEADERS = {
    # Browsers give several threads to isolated pages alone.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Content-Type-Options": "nosniff",
    # Asked for again each time: the next export has other files of the same names.
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """Files with the headers of an isolated page."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def routes(folder: Path) -> list[BaseRoute]:
    """Returns where the files of a folder are served.

    Args:
        folder: What `--format=web` wrote.
    """

    async def to_page(request: Request) -> Response:
        return RedirectResponse(PATH)

    place = PATH.rstrip("/")
    return [Route(place, to_page), Mount(place, _Files(directory=folder, html=True))]
