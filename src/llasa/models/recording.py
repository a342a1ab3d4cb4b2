"""Whether a recording can make a voice."""

from __future__ import annotations

from llasa.audio.audio import Audio, check_finite
from llasa.base.errors import LlasaError

MIN_SECONDS, MAX_SECONDS = 1.0, 30.0
"""Length of a usable recording, silence at both ends not counted."""
SILENCE_LEVEL = -60.0
"""Recordings below this level, in dB of full scale, hold no usable speech."""
_ADVICE = "give 3 to 15 seconds of one speaker without music"


def check_prompt(audio: Audio, label: str) -> Audio:
    """The recording without silence at its ends; `LlasaError` where no voice can be made of it."""
    check_finite(audio.samples, label)
    level = audio.level()
    if level < SILENCE_LEVEL:
        found = "silent" if level == float("-inf") else f"almost silent ({level:.0f} dB)"
        raise LlasaError(f"{label} is {found}: {_ADVICE}.")
    speech = audio.trim_silence()
    if speech.duration < MIN_SECONDS:
        raise LlasaError(
            f"{label} holds {speech.duration:.2f} s of sound, less than {MIN_SECONDS:g} s: "
            f"{_ADVICE}."
        )
    if speech.duration > MAX_SECONDS:
        raise LlasaError(
            f"{label} holds {speech.duration:.1f} s of sound, more than {MAX_SECONDS:g} s: cut it "
            "(and its transcript) to 3 to 15 seconds."
        )
    return speech
