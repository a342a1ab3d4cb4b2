"""Every fenced bash and python block of the README and the docs runs, page by page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llasa.models.find import shipped_models

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(
    not shipped_models(), reason="the default model is not part of this checkout"
)


def page_script(page: Path) -> str:
    """All blocks of a page as one bash script that stops at the first failure."""
    parts = ["set -euo pipefail", "trap 'jobs -p | xargs -r kill' EXIT"]
    for kind, body in BLOCK.findall(page.read_text()):
        code = body if kind == "bash" else f"{sys.executable} - <<'PYTHON'\n{body}PYTHON"
        parts.append(code)
    return "\n".join(parts)


def with_commands(page: Path) -> bool:
    return BLOCK.search(page.read_text()) is not None


@pytest.mark.parametrize(
    "page", [page for page in PAGES if with_commands(page)], ids=lambda page: page.stem
)
@pytest.mark.slow
def test_every_command_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    script = page_script(page)
    if page.stem in ("http", "index", "migration", "timings"):
        pytest.importorskip("fastapi", reason="needs the extra serve")
        pytest.importorskip("openai", reason="needs the openai package")
        pytest.importorskip("wyoming", reason="needs the extra wyoming")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment["XDG_DATA_HOME"] = str(tmp_path / "home")  # saved voices stay in here
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()}
    assert sizes
    assert {name: size for name, size in sizes.items() if size >= 120_000} == {}


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        prose = re.sub(r"`[^`\n]+`|^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if not target.startswith(("http", "mailto")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
