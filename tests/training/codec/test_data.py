"""Segments: a pure function of seed, step and worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.training.codec.data import REFERENCE, AudioDataSettings, AudioSource, Segments
from llasa.vocabulary.rows import IGNORE

from ..tools import RATE, vowel

HOP = 320


def segments(*manifests: Path, seed: int = 1, **changes: Any) -> Segments:
    sources = [AudioSource(str(manifest)) for manifest in manifests]
    options: dict[str, Any] = {"train": sources, "seconds": 0.3, "batch": 2, **changes}
    return Segments(AudioDataSettings(**options), RATE, HOP, seed)


def manifest_of(folder: Path, *sounds: Audio) -> Path:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.wav" for number in range(len(sounds))]
    for path, sound in zip(paths, sounds, strict=True):
        sound.write(path)
    write_manifest(folder / "manifest.jsonl", [Utterance(path) for path in paths])
    return folder / "manifest.jsonl"


def test_pure_function_of_seed_and_step(clips: Path) -> None:
    one, other = segments(clips), segments(clips, cache_hours=0.0)
    expected = [one.batch(step, 0, 1).samples for step in range(4)]
    for step in (2, 0, 3, 1):  # whatever was asked before
        assert torch.equal(other.batch(step, 0, 1).samples, expected[step])
    assert expected[0].shape == (2, 4800)
    assert not torch.equal(expected[0], expected[1])
    assert not torch.equal(expected[0], segments(clips, seed=2).batch(0, 0, 1).samples)


def test_workers_share_the_joint_batch(clips: Path) -> None:
    joint = segments(clips, batch=4).batch(3, 0, 1).samples
    parts = [segments(clips).batch(3, rank, 2).samples for rank in range(2)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), joint)


def test_crops_come_from_the_clip(tmp_path: Path) -> None:
    ramp = np.linspace(-0.9, 0.9, RATE, dtype=np.float32)
    manifest = manifest_of(tmp_path, Audio(ramp, RATE))
    batch = segments(manifest, batch=8).batch(0, 0, 1).samples
    slope = 1.8 / (RATE - 1)
    torch.testing.assert_close(batch.diff(), torch.full((8, 4799), slope), atol=1e-4, rtol=0)
    assert batch[:, 0].unique().numel() == 8


@pytest.mark.parametrize("fill", ["pad", "join"])
def test_short_clips(tmp_path: Path, fill: str) -> None:
    manifest = manifest_of(tmp_path, Audio(np.full(1000, 0.5, np.float32), RATE))
    row = segments(manifest, fill=fill, batch=1).batch(0, 0, 1).samples[0]
    filled = len(row) if fill == "join" else 1000
    torch.testing.assert_close(row[:filled], torch.full((filled,), 0.5), atol=1e-4, rtol=0)
    assert row[filled:].abs().sum() == 0


def test_weights_and_resampling(tmp_path: Path) -> None:
    loud = manifest_of(tmp_path / "loud", vowel(1.0, 150, rate=24_000))
    silent = manifest_of(tmp_path / "silent", Audio(np.zeros(RATE, np.float32), RATE))
    sources = [AudioSource(str(loud), 1.0), AudioSource(str(silent), 3.0)]
    batch = segments(train=sources, batch=200).batch(0, 0, 1).samples
    assert 0.15 < (batch.abs().amax(1) > 0).float().mean() < 0.35


def test_phones_follow_the_crop(tmp_path: Path) -> None:
    """A ramp that is `a` below zero, `b` above, and unknown at its end."""
    ramp = np.linspace(-0.9, 0.9, RATE, dtype=np.float32)
    manifest = manifest_of(tmp_path, Audio(ramp, RATE))
    (clip,) = read_manifest(manifest)
    phones = (("a", 0.5), ("b", 0.8), ("?", 1.0))
    write_manifest(manifest, [replace(clip, phones=phones)])
    samples, heard, *_ = segments(manifest, batch=40, phones=["a", "b"]).batch(0, 0, 1)
    assert heard.shape == (40, 4800 // HOP)
    middles = samples[:, HOP // 2 :: HOP]
    expected = torch.where(middles < 0, 0, 1)
    expected[middles > 0.9 * 0.6] = IGNORE
    assert torch.equal(heard, expected)
    assert heard.unique().tolist() == [IGNORE, 0, 1]


@pytest.mark.slow
def test_pitch_follows_the_crop(tmp_path: Path) -> None:
    """A rising tone: where a segment was cut from can be told from its pitch."""
    seconds = np.arange(2 * RATE) / RATE
    cycles = np.cumsum(120 * 2 ** (seconds / 2)) / RATE
    tone = sum(np.cos(2 * np.pi * n * cycles) / n for n in range(1, 15)) * 0.1
    manifest = manifest_of(tmp_path, Audio(tone.astype(np.float32), RATE))
    sources = [AudioSource(str(manifest))]
    settings = AudioDataSettings(train=sources, seconds=0.3, batch=8)
    data = Segments(settings, RATE, HOP, 1, pitch=True)
    batch = data.batch(0, 0, 1)
    samples = batch.samples
    assert batch.pitch is not None
    hertz, voiced = batch.pitch
    assert hertz.shape == voiced.shape == (8, 30)
    assert voiced.mean() > 0.9
    whole = (tone * 32767).astype(np.int64)
    for row, curve in zip((samples * 32767).round().numpy(), hertz, strict=True):
        start = next(
            place
            for place in range(len(whole) - len(row) + 1)
            if np.abs(whole[place:][: len(row)] - row).max() <= 2  # rounded twice
        )
        expected = 120 * 2 ** ((start / RATE + (np.arange(30) + 0.5) * 0.01) / 2)
        assert np.abs(curve.numpy() / expected - 1)[2:-2].max() < 0.03


def test_a_segment_and_its_reference_are_of_one_speaker(tmp_path: Path) -> None:
    levels = {"ann": (0.1, 0.2), "bob": (0.5, 0.6), None: (0.8, 0.9)}
    sounds = [Audio(np.full(1000, x, np.float32), RATE) for pair in levels.values() for x in pair]
    manifest = manifest_of(tmp_path, *sounds)
    speakers = [name for name, pair in levels.items() for _ in pair]
    clips = read_manifest(manifest)
    rows = [replace(c, speaker=name) for c, name in zip(clips, speakers, strict=True)]
    write_manifest(manifest, rows)
    settings = AudioDataSettings([AudioSource(str(manifest))], seconds=0.3, batch=60, fill="join")
    batch = Segments(settings, RATE, HOP, 1, references=True).batch(0, 0, 1)
    assert batch.reference is not None
    assert batch.reference.samples.shape == (60, round(REFERENCE * RATE))
    found = set()
    for segment, reference in zip(batch.samples, batch.reference.samples, strict=True):
        heard = torch.cat([segment, reference]).mul(10).round().unique().div(10).tolist()
        found.add(tuple(round(level, 1) for level in heard))
    # Nobody knows who the last two are: each is somebody else.
    assert found == {(0.1, 0.2), (0.5, 0.6), (0.8,), (0.9,)}


def test_perturbing_moves_pitch_but_not_what_is_said_when(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, vowel(2.0, 160))
    batch = segments(manifest, seconds=0.5, batch=24, perturb=0.25).batch(0, 0, 1)
    assert batch.perturbed is not None
    assert batch.perturbed.shape == batch.samples.shape
    spectra = torch.fft.rfft(batch.perturbed * torch.hann_window(8000), 32_000).abs()
    hertz = spectra[:, 200:500].argmax(1).add(200) / 2  # 100 to 250 Hz
    as_it_was = (batch.perturbed == batch.samples).all(1)
    assert 4 < as_it_was.sum() < 20
    assert (hertz[as_it_was] - 160).abs().max() < 2
    moved = hertz[~as_it_was] / 160
    assert 0.78 < moved.min() < 0.95
    assert 1.05 < moved.max() < 1.27
    onset = np.concatenate([np.zeros(RATE), vowel(1.0, 160).samples]).astype(np.float32)
    manifest = manifest_of(tmp_path / "onset", Audio(onset, RATE))
    whole = segments(manifest, seconds=2.0, batch=12, perturb=0.25).batch(0, 0, 1)
    assert whole.perturbed is not None
    starts = [(x.abs() > 0.02).int().argmax(1) for x in (whole.perturbed, whole.samples)]
    assert (starts[0] - starts[1]).abs().max() < 0.03 * RATE
    powers = batch.perturbed.square().mean(1) / batch.samples.square().mean(1)
    assert (powers.log10().abs() < 0.1).all()


@pytest.mark.parametrize("fill", ["pad", "join"])
def test_what_is_spoken_and_codes_follow_the_crop(
    tmp_path: Path, fill: Literal["pad", "join"]
) -> None:
    """Of clips longer and shorter than a segment; the codes here are loudness by frame."""

    def encode(samples: np.ndarray) -> np.ndarray:
        return (1000 * np.abs(samples).reshape(-1, HOP).mean(1)).round().astype(np.int64)

    manifest = manifest_of(tmp_path, vowel(1.0, 150, 24_000), vowel(0.11, 220, 24_000))
    settings = AudioDataSettings([AudioSource(str(manifest))], seconds=0.3, batch=12, fill=fill)
    data = Segments(settings, RATE, HOP, 1, output_rate=24_000, encode=encode)
    batch = data.batch(0, 0, 1)
    assert batch.target is batch.output
    assert batch.output is not None
    assert batch.codes is not None
    assert batch.output.shape == (12, 7200)
    assert (batch.output[:, ::3] - batch.samples[:, ::2]).abs().max() < 0.01
    loudness = 1000 * batch.samples.abs().unflatten(1, (-1, HOP)).mean(2)
    torch.testing.assert_close(batch.codes, loudness.round().long(), atol=1, rtol=0)
    again = Segments(settings, RATE, HOP, 1, output_rate=24_000, encode=encode).batch(0, 0, 1)
    assert again.output is not None
    assert again.codes is not None
    assert torch.equal(again.output, batch.output)
    assert torch.equal(again.codes, batch.codes)


def test_one_rate_and_no_codes(clips: Path) -> None:
    batch = segments(clips).batch(0, 0, 1)
    assert batch.target is batch.samples
    assert batch.output is None
    assert batch.codes is None


def test_bad_perturbation() -> None:
    with pytest.raises(LlasaError, match=r"data\.perturb is 2\.0; give a number from 0 to 1"):
        AudioDataSettings(perturb=2.0)


def test_silence_has_no_pitch(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, Audio(np.zeros(RATE, np.float32), RATE))
    settings = AudioDataSettings(train=[AudioSource(str(manifest))], seconds=0.3, batch=1)
    batch = Segments(settings, RATE, HOP, 1, pitch=True).batch(0, 0, 1)
    assert batch.pitch is not None
    hertz, voiced = batch.pitch
    assert not voiced.any()
    assert (hertz > 0).all()


@pytest.mark.parametrize("fill", ["pad", "join"])
def test_a_clip_of_no_samples(tmp_path: Path, fill: str) -> None:
    manifest = manifest_of(tmp_path, Audio(np.ones(1, np.float32), 48_000))
    with pytest.raises(LlasaError, match=r"0\.wav is too short"):
        segments(manifest, fill=fill).batch(0, 0, 1)


def test_joined_clips_bring_their_phones(tmp_path: Path) -> None:
    clips = []
    for name, level in (("a", -0.5), ("b", 0.5)):
        path = manifest_of(tmp_path / name, Audio(np.full(1600, level, np.float32), RATE))
        clips.append(replace(read_manifest(path)[0], phones=((name, 0.1),)))
    write_manifest(tmp_path / "both.jsonl", clips)
    data = segments(tmp_path / "both.jsonl", batch=8, fill="join", phones=["a", "b"])
    samples, heard, *_ = data.batch(0, 0, 1)
    expected = torch.where(samples[:, HOP // 2 :: HOP] < 0, 0, 1)
    assert torch.equal(heard, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": []}, r"data\.train is empty"),
        ({"train": [AudioSource("none.jsonl")]}, r"none\.jsonl cannot be read"),
        ({"train": [AudioSource("a", 0.0)]}, "weights in data.train"),
        ({"train": [AudioSource("a", -1.0), AudioSource("b", 2.0)]}, "weights in data.train"),
        ({"batch": 0}, r"data\.batch"),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        segments(**changes)


def test_unreadable_clip_is_named(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, vowel(1.0, 150))
    (tmp_path / "0.wav").write_text("not audio")
    with pytest.raises(LlasaError, match=r"0\.wav is not a readable audio file"):
        segments(manifest).batch(0, 0, 1)


def test_missing_clips_are_found_before_the_first_step(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, *[vowel(0.5, 120)] * 3)
    (tmp_path / "1.wav").unlink()
    (tmp_path / "2.wav").write_bytes(b"")
    data = segments(manifest)
    with pytest.raises(LlasaError, match=r"1\.wav \(and 1 others like it\), a recording of data"):
        data.check(begun=False)
    data.check(begun=True)
    assert set(data.lost) == {str(tmp_path / f"{number}.wav") for number in (1, 2)}


@pytest.mark.parametrize("voices", [False, True])
def test_a_clip_that_vanishes_is_left_out_and_batches_repeat(tmp_path: Path, voices: bool) -> None:
    manifest = manifest_of(tmp_path, *[vowel(0.5, 100 + 40 * n) for n in range(4)])
    settings = AudioDataSettings(
        [AudioSource(str(manifest))], seconds=0.3, batch=8, cache_hours=0.0
    )

    def data() -> Segments:
        return Segments(settings, RATE, HOP, 1, references=voices)

    before = data()
    first = before.batch(0, 0, 1)
    (tmp_path / "2.wav").write_bytes(b"no sound any more")
    if voices:  # nobody else speaks so: whoever is drawn must be another one
        assert len(before.batch(1, 0, 1).samples) == 8
    found = [before.batch(step, 0, 1).samples for step in range(3)]
    assert [*before.lost] == [str(tmp_path / "2.wav")]
    assert "not a readable audio file" in before.lost[str(tmp_path / "2.wav")]
    restarted = data()  # which is asked for the last step first
    again = [restarted.batch(step, 0, 1).samples for step in (2, 1, 0)]
    assert all(torch.equal(a, b) for a, b in zip(found, reversed(again), strict=True))
    assert not torch.equal(first.samples, found[0])
    for number in range(4):
        (tmp_path / f"{number}.wav").unlink()
    with pytest.raises(LlasaError, match=r"clips in a row cannot be read \(4 in all\)"):
        data().batch(0, 0, 1)
