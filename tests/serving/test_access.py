"""Names of the server, pages of other sites, and keys."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
from starlette.exceptions import HTTPException

from llasa.serving.access import Access, is_loopback


def status(access: Access, path: str = "/v1/x", method: str | None = "GET", **headers: str) -> int:
    """200 where the request may pass, else what it is answered."""
    scope = {"type": "http" if method else "websocket", "path": path}
    if method:
        scope["method"] = method
    fields = {"host": "localhost:8000", **headers}.items()
    raw = [(name.replace("_", "-").encode(), value.encode("utf-8")) for name, value in fields]
    try:
        access.check({**scope, "headers": raw})
    except HTTPException as error:
        return error.status_code
    return 200


HOSTS = """
localhost localhost:8000 LOCALHOST:1 localhost. a.localhost 127.0.0.1:80 [::1]:8000 [::1] 10.0.0.7
llasa:8000 tts.example.org:443
"""


@pytest.mark.parametrize("host", [*HOSTS.split(), ""])
def test_names_of_this_server(host: str) -> None:
    assert status(Access(hosts=["TTS.example.org"]), host=host) == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "a.b", "[::1", "]."])
def test_names_of_others(host: str) -> None:
    assert status(Access(hosts=[]), host=host) == (200 if "." not in host else 403)
    assert status(Access(hosts=None), host=host) == 200


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"origin": "http://localhost:8000"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "http://localhost:9000"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://[::1"}, False),
        ({"origin": "https://app.example"}, True),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "same-site", "origin": "http://localhost:9000"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "https://app.example"}, True),
        # Behind a proxy the server is asked by another name than the page has.
        ({"sec_fetch_site": "same-origin", "origin": "https://site.example"}, True),
        ({"origin": "http://site.example", "x_forwarded_host": "site.example"}, True),
        ({"sec_fetch_site": "none"}, True),
    ],
)
def test_pages_of_other_sites(headers: dict[str, str], passes: bool) -> None:
    access = Access(origins=["https://app.example"])
    for method in ("POST", "DELETE", "PUT", None):
        assert status(access, method=method, **headers) == (200 if passes else 403)
    for method in ("GET", "HEAD", "OPTIONS"):
        assert status(access, method=method, **headers) == 200
    assert status(Access(origins=["*"]), method="POST", **headers) == 200


def test_keys_in_any_letters() -> None:
    access = Access(keys=["plain", "schlüssel", "ключ"])
    for key in ("plain", "schlüssel", "ключ"):
        assert status(access, authorization=f"Bearer {key}") == 200
    for wrong in ("Bearer", "Bearer ", "Bearer plai", "plain", "Basic plain", "Bearer ????"):
        assert status(access, authorization=wrong) == 401
    assert status(access) == 401
    assert status(access, path="/health") == 200


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *(("localhost", True), ("127.1.2.3", True), ("::1", True), ("0.0.0.0", False)),
        *(("::", False), ("a.example", False), ("", False)),
    ],
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) == own
