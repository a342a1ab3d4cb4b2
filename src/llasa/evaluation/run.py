"""An evaluation's folder: settings, one row an utterance and system, and what was heard."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from llasa.audio import Audio
from llasa.errors import LlasaError
from llasa.files import read_json, write_atomic

Row = dict[str, Any]
RECORDING = "recording"
"""System of the recordings themselves: what can be reached."""
ABOUT, ROWS = "settings.json", "rows.jsonl"


class Run:
    """Keeps rows as they are finished, so that a run that was interrupted goes on.

    Args:
        folder: made if absent.
        settings: whatever decides the scores, ready for JSON. A folder with rows made with other
            settings is refused.
        command: the command line, recorded with the machine's description.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any], command: str) -> None:
        self.folder = Path(folder)
        self.settings = json.loads(json.dumps(settings))
        self.commands = [command]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LlasaError(f"{folder} cannot be used as a folder: {error.strerror}.") from error
        self.rows = self._read()
        if self.rows:
            before = read_json(self.folder / ABOUT)
            self._check(before.get("settings", {}))
            old = before.get("commands", [])
            self.commands = old if command in old else [*old, command]
        self.machine = machine()
        about = {key: getattr(self, key) for key in ("commands", "machine", "settings")}
        text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
        write_atomic(self.folder / ABOUT, text.encode())

    def add(self, row: Row, audio: Audio | None = None) -> None:
        """Keep a row with its `id` and `system`, and its audio as `audio/SYSTEM/ID.flac`."""
        if audio is not None and len(audio.samples):
            name = f"audio/{folder_name(row['system'])}/{row['id']}.flac"
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            audio.write(self.folder / name)
            row["audio"], row["seconds"] = name, round(audio.duration, 3)
        self.rows[row["id"], row["system"]] = row
        path = self.folder / ROWS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise LlasaError(f"{path} cannot be written: {error.strerror}.") from error

    def work(
        self,
        tasks: Iterable[tuple[str, str]],
        do: Callable[[str, str], tuple[Row, Audio | None]],
        what: str,
    ) -> list[Row]:
        """Rows of all tasks (id, system), in order; `do` makes those that are missing."""
        from tqdm import tqdm

        wanted = list(tasks)
        left = [task for task in wanted if task not in self.rows]
        bar = tqdm(
            left, desc=what, unit="clip", initial=len(wanted) - len(left), total=len(wanted),
            disable=None,
        )  # fmt: skip
        for id, system in bar:
            row, audio = do(id, system)
            self.add({"id": id, "system": system, **row}, audio)
        return [self.rows[task] for task in wanted]

    def _check(self, before: dict[str, Any]) -> None:
        for key in {**before, **self.settings}:
            old, new = before.get(key), self.settings.get(key)
            if old != new:
                raise LlasaError(
                    f"{self.folder} was begun with other settings ({key}: {old!r}, now {new!r}): "
                    "use another folder, or the same settings to go on."
                )

    def _read(self) -> dict[tuple[str, str], Row]:
        """Rows by id and system. A line that a crash cut off is dropped, and done again."""
        path = self.folder / ROWS
        if not path.exists():
            return {}
        rows, lines = {}, path.read_text(encoding="utf-8", errors="replace").splitlines(True)
        for line in lines:
            try:
                row = json.loads(line)
                rows[row["id"], row["system"]] = row
            except (ValueError, KeyError, TypeError):
                continue
        if len(rows) < len(lines) or not lines[-1].endswith("\n"):
            kept = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.values())
            write_atomic(path, kept.encode())
        return rows


def folder_name(system: str) -> str:
    """A system's name as that of a folder."""
    return re.sub(r"[^\w.-]+", "-", system).strip("-.") or "system"


def machine() -> str:
    """The processor, threads and versions that times depend on."""
    import torch

    from llasa import __version__

    cpu = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text()
        if found := re.search(r"model name\s*:\s*(.+)", text):
            cpu = found[1]
    except OSError:
        pass
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads = torch.get_num_threads()
    return f"{cpu}, {threads} threads{gpu}; llasa {__version__}, torch {torch.__version__}"
