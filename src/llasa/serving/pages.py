"""The pages for people: `/`, `/docs`, and the files that they load, which lie beside them."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response

from llasa.serving.errors import NotFoundError

_FOLDER = Path(__file__).with_name("static")
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; media-src blob:; base-uri 'none'; "
    "style-src 'self' 'unsafe-inline'; script-src 'self'; frame-ancestors 'none'"
)
"""Content security policy: nothing from other sites, and no inline scripts."""


def add_pages(app: FastAPI) -> None:
    """Serve them; their addresses are relative, so that a proxy may put all below a path."""
    found = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _TYPES}

    def answer(name: str) -> Response:
        path = found[name]
        headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
        return Response(path.read_bytes(), 200, headers, _TYPES[path.suffix])

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return answer("index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return answer("docs.html")

    @app.get("/static/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        if name not in found:
            raise NotFoundError(f"There is no file {name[:100]!r} here: the pages are / and /docs.")
        return answer(name)
