"""Speaks texts of any length into a file, with constant memory, and resumes after a stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.audio.audio import Samples
from llasa.audio.formats import encoder, suffix_format
from llasa.base.files import atomic_path, beside, only_writer
from llasa.models.identity import identity, voice_identity
from llasa.models.voices import VoiceLike
from llasa.tts.check import Checked, chosen_strategy
from llasa.tts.journal import Journal
from llasa.tts.llasa import Llasa
from llasa.tts.timing import Timings, Track

if TYPE_CHECKING:
    from llasa.search.result import Check
    from llasa.verifiers.base import FinishReason


@dataclass(frozen=True)
class LongSpeech:
    """Result of a long text; `resumed` counts the parts that an earlier run had spoken."""

    parts: int
    resumed: int
    seconds: float
    """Length of the sound."""
    tokens: int
    total: float
    """Seconds of work in this run."""
    voice: str | None
    seed: int
    finish_reason: FinishReason
    """"length" where a part did not end by itself, or the limit cut the text off."""
    warnings: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    """How each part was heard, where the speech was checked."""
    timings: Timings = field(default_factory=Timings, repr=False)
    """When each word is heard, where that was asked for."""


def speak_to_file(
    tts: Llasa,
    text: str,
    path: str | Path,
    *,
    voice: VoiceLike = None,
    seed: int | None = None,
    max_seconds: float | None = None,
    check: bool = False,
    tries: int | None = None,
    timed: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
    listener: Callable[[Samples], object] = lambda samples: None,
    finish: Callable[[LongSpeech], object] = lambda speech: None,
    **sampling: Any,
) -> LongSpeech:
    """Speak a text of any length into a file; it sounds as `tts(text)` would.

    Sound is encoded as it is made, and the file appears when it is complete. Until then the codes
    are kept in `PATH.resume`: after an interruption the same call resumes from there, with the seed
    of the first run if none is given. A part for which the model says nothing becomes a pause and a
    warning. One process writes a file at a time.

    Args:
        path: wav, flac, mp3, ogg or opus file.
        timed: also find out when each word is heard.
        max_seconds: cut the file off there; what follows is not spoken.
        progress: called with the characters that are done, and all of them.
        listener: called with the samples of each part once it is spoken, (n,) in order.
        finish: called with the result once the file is there; should it fail, `PATH.resume` stays,
            and the same call need not speak anything again.
        voice, seed, check, tries, sampling: see `Llasa.__call__`.

    Raises `LlasaError` for bad input, or a file that cannot be written.
    """
    began = time.perf_counter()
    path, form = Path(path), suffix_format(path)
    language = tts.spoken_language(sampling.get("language"))
    checked = chosen_strategy(language, check=check, tries=tries)
    request = tts.request(
        text, voice=voice, seed=seed, max_seconds=max_seconds, max_chars=None, **sampling
    )
    lengths = [len(passage.text) for passage in request.passages]
    chars = samples = tokens = 0
    cut, warnings, checks = False, list(request.warnings), []
    track, timings = Track(tts.timer, tts.rate), []
    given = [passage.given for passage in request.passages]
    own: list[Any] = [given, voice_identity(request.voice), asdict(request.rule), request.longest]
    own += [checked.identity] if isinstance(checked, Checked) else []
    own += [[start, voice_identity(one)] for start, one in request.turns]
    with only_writer(path):
        journal = Journal(
            beside(path, ".resume"),
            identity([tts.identity, *own]),
            request.seed,
            seed is None,
            len(lengths),
            tts.codec.codebook_size,
        )
        request, resumed = replace(request, seed=journal.seed), journal.parts
        with (
            closing(journal),
            atomic_path(path) as temporary,
            encoder(temporary, form, tts.rate) as write,
            closing(tts.parts([request], checked, memory=journal, lenient=True)) as parts,
        ):
            for _, part in parts:
                write(part.samples)
                listener(part.samples)
                samples, tokens = samples + len(part.samples), tokens + len(part.codes)
                cut, warnings = cut or part.cut, warnings + list(part.warnings)
                if timed and (find := track.add(text, part.samples, part.said)) is not None:
                    timings.append(find())
                checks += [part.check] if part.check is not None else []
                if part.ends:
                    chars += lengths[part.number]
                    progress(chars, sum(lengths))
        speech = LongSpeech(
            parts=len(lengths),
            resumed=resumed,
            seconds=samples / tts.rate,
            tokens=tokens,
            total=time.perf_counter() - began,
            voice=request.voice.name if request.voice else None,
            seed=request.seed,
            finish_reason="length" if cut else "stop",
            warnings=tuple(warnings),
            checks=tuple(checks),
            timings=Timings.of(timings),
        )
        finish(speech)
        journal.remove()
    return speech
