"""Real clips, broken clips, and packages that may be missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import Audio, read_audio
from llasa.data.manifest import Utterance, read_manifest
from llasa.verifiers import Candidate, Verdict, Verifier, verify

RATE = 16_000


def needs_packages(*modules: str) -> pytest.MarkDecorator:
    """Skip where a package that holds a model is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def utterances(data: Path, manifest: str, longest: float = 5.0) -> list[Utterance]:
    """Recordings of at most `longest` seconds, in the manifest's order."""
    clips = read_manifest(data / f"{manifest}.jsonl")
    return [clip for clip in clips if clip.seconds is None or clip.seconds <= longest]


def hear(clip: Utterance, seconds: float | None = None) -> Audio:
    """A recording, mono at 16 kHz, or its first seconds."""
    audio = read_audio(clip.path).mono().resample(RATE)
    return audio if seconds is None else Audio(audio.samples[: round(seconds * RATE)], RATE)


def spoken(clip: Utterance) -> Candidate:
    """A recording as a candidate for its own text."""
    return Candidate(text=clip.text, audio=hear(clip))


def noisy(audio: Audio, decibels: float, seed: int = 0) -> Audio:
    """With white noise that many decibels below the speech."""
    power = float((audio.samples**2).mean()) * 10 ** (-decibels / 10)
    noise = np.random.default_rng(seed).normal(0, power**0.5, len(audio.samples))
    return Audio((audio.samples + noise).astype(np.float32), audio.rate)


def faster(audio: Audio, factor: float) -> Audio:
    """Played faster: shorter, and higher by the same factor."""
    return Audio(Audio(audio.samples, round(audio.rate * factor)).resample(RATE).samples, RATE)


def scores(verifier: Verifier, batch: Sequence[Candidate]) -> np.ndarray:
    """Scores of candidates that must all be judged."""
    verdict: Verdict = verify(verifier, batch)
    assert verdict.reasons == (None,) * len(batch)
    return verdict.scores
