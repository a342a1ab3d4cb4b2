"""What is to be said and judged: an item, and reading items from a manifest.

    {"text": "Good morning.", "audio": "ann-2.flac", "prompt": "ann-1.flac",
     "prompt_text": "How are you?", "id": "morning", "language": "en", "kind": "calm"}
    {"text": "Back at 5:30pm", "said": "Back at five thirty p m.", "kind": "time"}

Only `text` is required. `said` is the text as a person reads it aloud, in words. `audio` is a
recording of it, `prompt` one of the voice that shall say it. Paths count from the manifest's folder
or a given root. The manifests of the trainers and of `llasa say --batch` are such manifests, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes
from llasa.base.names import check_name
from llasa.data.manifest import check_strings
from llasa.text.languages import language_code

LANGUAGE = "en"
"""Where no item names one."""


@dataclass(frozen=True)
class Item:
    """One utterance.

    text: what shall be said; None where only its recording is of use.
    said: the same in words, where it is not written as it is said.
    audio: a recording of it.
    prompt, prompt_text: a recording of the voice to be met, and its words.
    opening: seconds of `audio` that are the prompt in place of another recording; what is spoken
        goes on after them.
    kind: scores are also shown for each kind alone.
    """

    id: str
    text: str | None = None
    audio: Path | None = None
    prompt: Path | None = None
    prompt_text: str | None = None
    opening: float = 0.0
    language: str | None = None
    kind: str | None = None
    said: str | None = None

    @property
    def words(self) -> str | None:
        """What a listener should hear."""
        return self.text if self.said is None else self.said


def read_items(path: Path, root: Path | None = None) -> list[Item]:
    """Items of a manifest; `LlasaError`, with the line's number, for what is wrong."""
    folder, items = path.parent if root is None else root, []
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        row = jsonl.parse_object(line, where, '{"text": ...}')
        keys = ("text", "audio", "prompt", "prompt_text", "language", "kind", "said")
        check_strings(row, keys, where)
        values: dict[str, Any] = {key: row.get(key) for key in keys}
        try:
            values["language"] = language_code(values["language"])
        except LlasaError as error:
            raise LlasaError(f"{where}: {error}") from error
        if values["text"] is None and values["audio"] is None:
            raise LlasaError(f'{where}: it has neither "text" nor "audio".')
        if (values["prompt"] is None) != (values["prompt_text"] is None):
            raise LlasaError(f'{where}: "prompt" (a recording) and "prompt_text" go together.')
        paths = {key: values[key] for key in ("audio", "prompt") if values[key] is not None}
        values |= {key: folder / path for key, path in paths.items()}
        items.append(Item(str(row.get("id", f"{number:05d}")), **values))
    return items


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Numbers, from 1, and lines of a text file that are not blank.

    UTF-8, UTF-16 with its mark, or GB 18030.
    """
    data = read_bytes(path, "a list")
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ["utf-16"] if utf16 else ["utf-8-sig", "gb18030"]:
        try:
            lines = jsonl.lines(data.decode(encoding).encode())
        except UnicodeDecodeError:
            continue
        if found := [(number, line.decode().rstrip("\r")) for number, line in lines]:
            return found
        raise LlasaError(f"{path} is empty.")
    raise LlasaError(f"{path} isn't a text file: save it as UTF-8.")


def choose(
    items: Sequence[Item], language: str | None, limit: int | None, needs: str
) -> tuple[list[Item], str]:
    """The items to be judged, and their language.

    Those of `language` (by default the only one there is; items that name none are in it) that have
    what `needs` names, at most `limit`. Raises `LlasaError` where none is left, ids clash, files
    are missing or several languages are left to choose from.
    """
    language = language_code(language)
    usable = [item for item in items if getattr(item, needs) is not None]
    spoken = sorted({item.language for item in usable if item.language})
    if language is None and len(spoken) > 1:
        raise LlasaError(f"The items are in {', '.join(spoken)}: choose one with --language.")
    language = language or (spoken[0] if spoken else LANGUAGE)
    chosen = [item for item in usable if (item.language or language) == language][:limit]
    if not chosen:
        languages = f"; there are items in {', '.join(spoken)}" if spoken else ""
        raise LlasaError(f"No item in {language!r} has {needs}{languages}.")
    seen: set[str] = set()
    for item in chosen:
        check_name(item.id, "id")
        if item.id in seen:
            raise LlasaError(f"The id {item.id!r} occurs twice: every item needs its own.")
        seen.add(item.id)
        for path in (item.audio, item.prompt):
            if path is not None and not path.is_file():
                raise LlasaError(f"{path} (item {item.id}) does not exist.")
    return chosen, language


def read_peer(path: Path, items: Sequence[Item]) -> dict[str, Path]:
    """Recordings, by the item's id, that another system made of the same texts: a manifest.

    A text that occurs twice has its recordings in the order of the items. Raises `LlasaError` where
    one is missing.
    """
    found: dict[str | None, list[Path]] = defaultdict(list)
    for item in read_items(path):
        if item.audio is not None:
            found[item.text].append(item.audio)
    chosen, missing = {}, []
    for item in items:
        if found[item.text]:
            chosen[item.id] = found[item.text].pop(0)
        else:
            missing.append(item.text)
    if missing:
        raise LlasaError(
            f"{path} has no recording of {missing[0]!r} and lacks {len(missing)} of {len(items)} "
            "texts: let the other system speak them all, or give a smaller --limit."
        )
    for audio in chosen.values():
        if not audio.is_file():
            raise LlasaError(f"{audio} (of {path}) does not exist.")
    return chosen
