"""An evaluation's folder: settings, one row an utterance and system, and what was heard."""

from __future__ import annotations

import base64
import json
import platform
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, only_writer, read_json, write_json
from llasa.base.progress import progress
from llasa.base.rows import Rows

Row = dict[str, Any]
RECORDING = "recording"
"""System of the recordings themselves: what can be reached."""
ABOUT, ROWS = "settings.json", "rows.jsonl"
_FOR_READERS = {"model", "codec"}
"""Settings that name what `identity` says exactly."""


class Experiment:
    """Keeps rows as they are finished, so that one that was interrupted goes on.

    Args:
        folder: made if absent.
        settings: whatever decides the scores, ready for JSON. A folder with rows made with other
            settings is refused.
        command: the command line, recorded with the machine's description.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any], command: str) -> None:
        self.folder = make_folder(Path(folder))
        self.settings = json.loads(json.dumps(settings))
        self.commands = [command]
        self.machine = machine()
        with only_writer(self.folder):
            self.rows = Rows(self.folder / ROWS, lambda row: (row["id"], row["system"]))
            if len(self.rows):
                before = read_json(self.folder / ABOUT)
                self._check(before.get("settings", {}))
                old = before.get("commands", [])
                self.commands = old if command in old else [*old, command]
            about = {key: getattr(self, key) for key in ("commands", "machine", "settings")}
            write_json(self.folder / ABOUT, about, indent=1)

    def work(
        self,
        tasks: Iterable[tuple[str, str]],
        do: Callable[[str, str], tuple[Row, Audio | None]],
        what: str,
    ) -> list[Row]:
        """Rows of all tasks (id, system), in order; `do` makes those that are missing.

        Their audio is kept as `audio/SYSTEM/ID.flac`.
        """
        wanted = list(tasks)
        left = [task for task in wanted if task not in self.rows]
        done, total = len(wanted) - len(left), len(wanted)
        with only_writer(self.folder):
            for id, system in progress(left, what, total, unit="clip", initial=done):
                row, audio = do(id, system)
                row = {"id": id, "system": system, **row}
                if audio is not None and len(audio.samples):
                    name = f"audio/{folder_name(system)}/{id}.flac"
                    make_folder((self.folder / name).parent)
                    audio.write(self.folder / name)
                    row |= {"audio": name, "seconds": round(audio.duration, 3)}
                self.rows.add(row)
        return [self.rows[task] for task in wanted]

    def embedded(self, row: Row) -> str:
        """The audio of a row as MP3 in base64, for pages."""
        sound = read_audio(self.folder / row["audio"]).encode("mp3")
        return base64.b64encode(sound).decode()

    def _check(self, before: dict[str, Any]) -> None:
        for key in {**before, **self.settings}.keys() - _FOR_READERS:
            old, new = before.get(key), self.settings.get(key)
            if old != new:
                raise LlasaError(
                    f"{self.folder} was begun with other settings ({key}: {old!r}, now {new!r}): "
                    "use another folder, or the same settings to go on."
                )


def as_file(audio: Audio) -> Audio:
    """The sound as a file of 16 bits holds it, as recordings and the speech of other systems come.

    A small recogniser may hear something else in a short line that was rounded: all is judged so.
    Returned as it is where it cannot be written.
    """
    if not len(audio.samples) or not np.isfinite(audio.samples).all():
        return audio
    return read_audio(audio.encode("wav"))


def folder_name(system: str) -> str:
    """A system's name as that of a folder."""
    return re.sub(r"[^\w.-]+", "-", system).strip("-.") or "system"


def machine() -> str:
    """The processor, threads and versions that times depend on."""
    import torch

    from llasa import __version__

    cpu, about = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if about.exists() and (found := re.search(r"model name\s*:\s*(.+)", about.read_text())):
        cpu = found[1]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads = torch.get_num_threads()
    return f"{cpu}, {threads} threads{gpu}; llasa {__version__}, torch {torch.__version__}"
