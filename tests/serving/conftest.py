"""A server of the tiny model, and its page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # what these need is optional; test files skip without it
    from playwright.sync_api import Browser, Page

    from .tools import Server


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from .tools import serving

    with serving(tiny, tmp_path_factory.mktemp("voices")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from .browser import launched

    with launched() as started:
        yield started


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    from .browser import opened

    with opened(browser, server) as opened_page:
        yield opened_page


@pytest.fixture(scope="session")
def nano_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The packaged model, where a test needs real words or voices that are known."""
    from llasa.models.find import shipped_models

    from .tools import serving

    voices = tmp_path_factory.mktemp("voices")
    with serving(shipped_models()["nano"], voices) as running:
        yield running
