"""What callers of a model give: texts, one value for all or one each, and sampling settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, cast

import numpy as np

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.models.voice import RANDOM, Voice
from llasa.models.voices import VoiceLike
from llasa.search.strategies import Strategy
from llasa.text import Lexicon
from llasa.text.dialogue import speaker_key


class RequestOptions(TypedDict, total=False):
    """How a text is spoken, see `Llasa.__call__` and `Llasa.request`."""

    max_seconds: float | None
    speed: float
    pause: float | None
    force: bool
    normalize: bool
    language: str | None
    format_in: str
    lexicon: Mapping[str, str] | Lexicon | None
    cast: Mapping[str, VoiceLike] | None
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    repetition_window: int


class SpeakOptions(RequestOptions, total=False):
    """The same, and how the best of several ways of saying it is found."""

    search: Strategy | None
    best_of: int | None
    check: bool
    tries: int | None


def check_settings(names: Iterable[str], options: type = SpeakOptions) -> None:
    """`LlasaError` for a setting of speech that there is none of."""
    for name in names:
        check_choice(name, ["voice", "seed", *options.__annotations__], "The setting")


def split_options(options: SpeakOptions) -> tuple[dict[str, Any], RequestOptions]:
    """How the best way of saying a text is found, and the options that are left; checked."""
    check_settings(options)
    left: dict[str, Any] = dict(options)
    names = SpeakOptions.__annotations__.keys() - RequestOptions.__annotations__
    searching = {name: left.pop(name) for name in names & left.keys()}
    return searching, cast(RequestOptions, left)


def with_cast(options: RequestOptions, find: Callable[[VoiceLike], Voice | None]) -> dict[str, Any]:
    """The options with the voices of their cast by `speaker_key`; None for a name without one."""
    cast: Any = options.get("cast")
    if cast is None:
        return {**options}
    if not isinstance(cast, Mapping) or not cast or not all(map(str, cast)):
        raise LlasaError("cast must map names to voices, such as {'anna': 'heart'}.")
    if RANDOM in cast.values():
        raise LlasaError(f"{RANDOM} is no voice of a cast, in which each speaker keeps one.")
    voices: dict[str, Voice | None] = {}
    for name, one in cast.items():
        key = speaker_key(str(name))
        if not key or key in voices:
            raise LlasaError(
                f"cast has the name {str(name)!r} empty or twice (capitals do not count): give "
                "each speaker a name and one voice."
            )
        voices[key] = None if one in (None, "") else find(one)
    return {**options, "cast": voices}


def texts_of(value: Any) -> list[Any]:
    """The texts of a list, or of anything else that gives them."""
    check_texts(value)
    return list(value)


def check_texts(value: object) -> None:
    """`LlasaError` for what does not give strings."""
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        kind = type(value).__name__
        advice = {"bytes": ": decode it", "PosixPath": ": read the file"}.get(kind, "")
        raise LlasaError(f"Text must be a string, or give strings, not {kind}{advice}.")


def one_each(value: Any, texts: Sequence[str], what: str) -> Sequence[Any]:
    """One value for each text: a list as it is, a single value repeated."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, list | tuple):
        if len(value) != len(texts):
            raise LlasaError(f"{len(texts)} texts but {len(value)} {what} were given.")
        return value
    return [value] * len(texts)
