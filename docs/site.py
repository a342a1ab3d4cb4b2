"""Hooks of `mkdocs build`: the sounds of the gallery, and links to files outside the site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\((\.\.?/[^)#]+)[^)]*\)")
SOUNDS = "sounds"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Run the commands of the gallery, and put the sounds that they make beside it."""
    script = "set -e\n" + "".join(BLOCK.findall((Path(config.docs_dir) / "gallery.md").read_text()))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory(prefix="llasa-") as folder:
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise PluginError(f"The gallery's commands fail: {done.stderr}")
        for sound in sorted((Path(folder) / SOUNDS).glob("*.mp3")):
            name = f"{SOUNDS}/{sound.name}"
            files.append(File.generated(config, name, content=sound.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **more: Any) -> str:
    """Leave of links to source files, which are not in the site, only their words."""
    root = Path(config.docs_dir).resolve()
    here = (root / page.file.src_uri).parent

    def known(link: re.Match[str]) -> str:
        return link[0] if (here / link[2]).resolve().is_relative_to(root) else link[1]

    return LINK.sub(known, markdown)
