"""What is to be said and judged: an item, and reading items from a manifest.

    {"text": "Good morning.", "audio": "ann-2.flac", "prompt": "ann-1.flac",
     "prompt_text": "How are you?", "id": "morning", "language": "en", "group": "calm"}

Only `text` is required. `audio` is a recording of the text, `prompt` one of the voice that shall
say it. Paths count from the manifest's folder or a given root. The manifests of the trainers and of
`llasa say --batch` are such manifests, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llasa.data.manifest import check_strings, parse_row
from llasa.errors import LlasaError
from llasa.names import check_name

LANGUAGE = "en"
"""Where no item names one."""


@dataclass(frozen=True)
class Item:
    """One utterance.

    text: what shall be said; None where only its recording is of use.
    audio: a recording of it.
    prompt, prompt_text: a recording of the voice to be met, and its words.
    opening: seconds of `audio` that are the prompt in place of another recording; what is spoken
        goes on after them.
    group: scores are also shown for each group alone.
    """

    id: str
    text: str | None = None
    audio: Path | None = None
    prompt: Path | None = None
    prompt_text: str | None = None
    opening: float = 0.0
    language: str | None = None
    group: str | None = None


def read_items(path: Path, root: Path | None = None) -> list[Item]:
    """Items of a manifest; `LlasaError`, with the line's number, for what is wrong."""
    folder = path.parent if root is None else root
    items = []
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}, line {number}"
        row = parse_row(line, where, '{"text": ...}')
        keys = ("text", "audio", "prompt", "prompt_text", "language", "group")
        check_strings(row, keys, where)
        if row.get("text") is None and row.get("audio") is None:
            raise LlasaError(f'{where}: it has neither "text" nor "audio".')
        if (row.get("prompt") is None) != (row.get("prompt_text") is None):
            raise LlasaError(f'{where}: "prompt" (a recording) and "prompt_text" go together.')
        values = {key: row.get(key) for key in keys}
        for key in ("audio", "prompt"):
            values[key] = None if row.get(key) is None else folder / row[key]
        items.append(Item(id=str(row.get("id", f"{number:05d}")), **values))  # type: ignore[arg-type]
    return items


def read_lines(path: Path) -> list[str]:
    """Lines of a text file that are not blank; UTF-8, UTF-16 with its mark, or GB 18030."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LlasaError(f"{path} cannot be read: {error.strerror}.") from error
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ["utf-16"] if utf16 else ["utf-8-sig", "gb18030"]:
        try:
            lines = data.decode(encoding).splitlines()
        except UnicodeDecodeError:
            continue
        if found := [line for line in lines if line.strip()]:
            return found
        raise LlasaError(f"{path} is empty.")
    raise LlasaError(f"{path} is no text file: save it as UTF-8.")


def choose(
    items: Sequence[Item], language: str | None, limit: int | None, needs: str
) -> tuple[list[Item], str]:
    """The items to be judged, and their language.

    Those of `language` (by default the only one there is; items that name none are in it) that have
    what `needs` names, at most `limit`. Raises `LlasaError` where none is left, ids clash, files
    are missing or several languages are left to choose from.
    """
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
