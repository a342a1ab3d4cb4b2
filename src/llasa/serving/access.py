"""Who may ask: keys, names of this server, and pages of other sites."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from llasa.base.names import shorten

_SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""


class Access:
    """Decides whether a request is answered at all, before anything else is looked at.

    Args:
        keys: one of them must come as a bearer token under ``/v1``; none: everybody may ask.
        hosts: names that the server may be called by, beside local ones; None: any. This stops DNS
            rebinding, where a foreign page makes its own name point to this machine.
        origins: pages of other sites that may ask; ``*``: all.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        hosts: Iterable[str] | None = None,
        origins: Iterable[str] = (),
    ) -> None:
        self._keys = [digest for key in keys for digest in _digests(key)]
        self._hosts = None if hosts is None else [host.lower() for host in hosts]
        self._origins = frozenset(origins)

    def check(self, scope: Scope) -> None:
        """`HTTPException` where the request may not be answered."""
        headers = Headers(scope=scope)
        if not self._named(host := headers.get("host", "")):
            raise HTTPException(
                403,
                f"Host {shorten(host)!r} isn't a name of this server: use localhost, or start the "
                "server with --allow-host.",
            )
        if scope.get("method", "WEBSOCKET") not in _SAFE and not self._welcome(headers):
            raise HTTPException(
                403,
                "A page of another site may not use this server: start it with --cors ORIGIN.",
            )
        if self._keys and scope["path"].startswith("/v1") and not self._knows(headers):
            bearer = {"www-authenticate": "Bearer"}
            raise HTTPException(401, "The API key is missing or wrong.", bearer)

    def _named(self, host: str) -> bool:
        """Whether the server may be called by this Host name.

        IP addresses and names without a dot cannot be rebound by a stranger; a request without a
        Host is not from a browser.
        """
        if self._hosts is None:
            return True
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".") if _whole(host) else host
        local = "." not in name or name.endswith(".localhost") or _is_address(name)
        return local or name in self._hosts

    def _welcome(self, headers: Headers) -> bool:
        """Whether the page that sends the request is ours or allowed; only browsers name a page."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if "*" in self._origins or origin in self._origins:
            return True
        if site is not None:
            return site in ("same-origin", "none")
        own = headers.get("x-forwarded-host") or headers.get("host")
        return origin is None or (_whole(origin) and urlsplit(origin).netloc == own)

    def _knows(self, headers: Headers) -> bool:
        """Whether a valid key was given, compared in constant time."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = _digest(key.strip().encode("latin-1"))
        right = [hmac.compare_digest(given, digest) for digest in self._keys]
        return any(right) and scheme.lower() == "bearer"


def is_loopback(host: str) -> bool:
    """Whether a name or address always means the machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _whole(address: str) -> bool:
    """Whether `urlsplit` can parse the address; it fails for misplaced brackets."""
    try:
        urlsplit(f"//{address}").hostname  # noqa: B018
        urlsplit(address)
    except ValueError:
        return False
    return True


def _digests(key: str) -> Iterator[bytes]:
    """A digest for each encoding of a key, as HTTP does not define the encoding of headers."""
    for code in ("utf-8", "latin-1"):
        with suppress(UnicodeEncodeError):
            yield _digest(key.encode(code))


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
