"""The recipe for one GPU: what travels arrives whole, and a run fits the clock."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

RECIPE = Path(__file__).parents[2] / "recipes" / "nano" / "gpu"
sys.path[:0] = [str(RECIPE), str(RECIPE.parent)]

import pieces  # noqa: E402
from encode import encode, sample  # noqa: E402
from pool import RATE, Pool, PoolWriter, pack, unpack  # noqa: E402
from timed import Plan, Timed  # noqa: E402
from train_codec import ResidentAudio  # noqa: E402

from llasa.audio.audio import INT16_SCALE  # noqa: E402
from llasa.base.errors import LlasaError  # noqa: E402
from llasa.codec.codec import Codec  # noqa: E402
from llasa.codec.config import CodecConfig, SemanticConfig  # noqa: E402
from llasa.codec.model import CodecModel  # noqa: E402
from llasa.data.manifest import Utterance  # noqa: E402
from llasa.data.shards import TokenDataset  # noqa: E402
from llasa.training.auxiliary.pitch import PitchTracker  # noqa: E402
from llasa.training.schedules import ScheduleSettings, multiplier  # noqa: E402
from llasa.training.settings import RunSettings  # noqa: E402
from llasa.training.trainer import Trainer  # noqa: E402
from llasa.training.workers import Workers  # noqa: E402
from llasa.vocabulary.rows import IGNORE  # noqa: E402

TIMING, PHONES = ((0, 0.1), (6, 0.5)), (("k", 0.2), ("l", 0.3))


def tone(seconds: float, hertz: float = 220.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype("f4")


def folder_of(path: Path, size: int, seed: int) -> Path:
    path.mkdir()
    noise = np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()
    (path / "weights").write_bytes(noise)
    return path


def test_a_folder_survives_the_journey_in_pieces(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "model", 100_000, 0)
    made = pieces.split(source, tmp_path / "out", "lm", 7, limit=30_000)
    assert [path.name for path in made] == ["lm.000", "lm.001", "lm.002", "lm.003"]
    assert max(path.stat().st_size for path in made) <= 30_000
    assert pieces.join([tmp_path], "lm", tmp_path / "back") == 7
    assert (tmp_path / "back" / "weights").read_bytes() == (source / "weights").read_bytes()


def test_join_takes_the_newest_complete_save(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        source = folder_of(tmp_path / str(number), 50_000, number)
        pieces.split(source, tmp_path / f"out{number}", "lm", number, limit=30_000)
    (tmp_path / "out3" / "lm.001").unlink()
    damaged = tmp_path / "out2" / "lm.000"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert pieces.join([tmp_path], "lm", tmp_path / "back") == 1


def test_a_smaller_save_leaves_no_stale_pieces(tmp_path: Path) -> None:
    pieces.split(folder_of(tmp_path / "big", 90_000, 0), tmp_path / "out", "lm", 1, limit=30_000)
    pieces.split(folder_of(tmp_path / "small", 9_000, 0), tmp_path / "out", "lm", 2, limit=30_000)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lm.000"]


def test_join_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"No complete set of pieces lm\.000"):
        pieces.join([tmp_path], "lm", tmp_path / "back")


def test_a_pool_goes_on_after_a_kill_in_the_middle_of_a_clip(tmp_path: Path) -> None:
    stem = tmp_path / "hibari-000"
    writer = PoolWriter(stem)
    writer.add(tone(0.5), "One.", "a")
    writer.close()
    pool = Pool(stem)
    pool.pcm.write_bytes(pool.pcm.read_bytes() + b"abc")
    pool.rows.write_bytes(pool.rows.read_bytes() + b'{"text": "Tw')
    assert [clip.text for clip in pool.clips()] == ["One."]
    writer = PoolWriter(stem)
    writer.add(tone(0.25, 330.0), "Two.", None)
    writer.close()
    second = pool.clips()[1]
    assert (second.text, second.start, second.samples) == ("Two.", 8000, 4000)
    assert np.abs(pool.samples()[8000:] / INT16_SCALE - tone(0.25, 330.0)).max() < 1e-4
    assert pool.group == "hibari"


def test_packed_speech_comes_back_in_place(tmp_path: Path) -> None:
    clips = []
    for number, hertz in enumerate((220.0, 440.0, 330.0)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, tone(0.6, hertz), RATE)
        clips.append(Utterance(path, f"Clip {number}.", "ann", timing=TIMING, phones=PHONES))
    pack(clips, tmp_path / "packed", "kokoro", kbps=24, minutes=0.015)
    files = sorted((tmp_path / "packed").glob("*.opus"))
    assert [file.name for file in files] == ["kokoro-000.opus", "kokoro-001.opus"]
    pool = Pool(unpack(files[0], tmp_path / "audio"))
    unpack(files[0], tmp_path / "audio")  # is there already
    for clip, hertz in zip(pool.clips(), (220.0, 440.0), strict=True):
        heard = pool.samples()[clip.start : clip.start + clip.samples] / INT16_SCALE
        wanted = tone(0.6, hertz)
        assert [tuple(pair) for pair in clip.timing] == list(TIMING)
        assert [tuple(pair) for pair in clip.phones] == list(PHONES)
        assert np.corrcoef(heard, wanted)[0, 1] > 0.95


def test_phones_come_with_the_audio_on_the_device(tmp_path: Path) -> None:
    """Ramps that are `a` below zero, then `b`, and unknown at their ends."""
    writer = PoolWriter(tmp_path / "hibari-000")
    ramp = np.linspace(-0.9, 0.9, RATE, dtype=np.float32)
    for _ in range(3):
        writer.add(ramp, "Up.", "ann", (), (("a", 0.5), ("b", 0.9)))
    writer.close()
    audio = ResidentAudio(tmp_path, 4800, 320, ["a", "b"], torch.device("cpu"))
    samples, phones, *_ = audio.batch((1, 2), 40)
    middles = samples[:, 160::320]
    expected = torch.where(middles < 0, 0, 1)
    expected[middles > 0.9 * 0.8] = IGNORE
    assert torch.equal(phones, expected)


def gliding(hertz: float, seconds: float = 1.0) -> np.ndarray:
    """Harmonics of a voice that rises by a tenth."""
    turns = np.cumsum(np.linspace(hertz, 1.1 * hertz, int(seconds * RATE))) / RATE
    return sum(0.1 / k * np.sin(2 * np.pi * k * turns) for k in range(1, 9)).astype("f4")


@pytest.fixture
def two_speakers(tmp_path: Path) -> Path:
    """Clips of a low and a high voice in turn, with their pitch."""
    pytest.importorskip("swift_f0")
    writer = PoolWriter(tmp_path / "kokoro-000", PitchTracker())
    for number in range(8):
        name, hertz = (("low", 110.0), ("high", 220.0))[number % 2]
        writer.add(gliding(hertz, 1.0 + number / 1000), "Ah.", name)
    writer.close()
    return tmp_path


def test_pitch_and_references_come_with_the_audio_on_the_device(two_speakers: Path) -> None:
    audio = ResidentAudio(two_speakers, 6400, 320, [], torch.device("cpu"), True, True)
    samples, _, pitch, perturbed, reference, *_ = audio.batch((1, 2), 12)
    assert pitch is not None
    assert reference is not None
    assert perturbed is None
    assert pitch.hertz.shape == pitch.voiced.shape == (12, 40)
    assert reference.samples.shape == (12, 3 * RATE)
    tracker = PitchTracker()
    for number, hertz in enumerate(pitch.hertz.numpy()):
        usual = float(reference.log_f0[number].exp())
        assert usual == pytest.approx(115, abs=4) or usual == pytest.approx(230, abs=8)
        assert np.abs(np.log(hertz / usual)).max() < 0.12  # the speaker of the segment
        moments = (np.arange(40) + 0.5) / 100
        for sound in (samples[number], reference.samples[number]):
            found, _ = tracker(sound.numpy()).at(moments)
            assert np.median(found) == pytest.approx(usual, rel=0.1)
        # Where a segment runs on into another clip the pitch jumps, which a tracker smooths.
        found, _ = tracker(samples[number].numpy()).at(moments)
        assert np.median(np.abs(np.log(found / hertz))) < 0.01


def test_pools_without_pitch_wait_where_it_is_needed(
    two_speakers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (two_speakers / "kokoro-000.f0").write_bytes(b"")
    plain = ResidentAudio(two_speakers, 6400, 320, [], torch.device("cpu"))
    assert plain.hours == pytest.approx(8 / 3600, rel=0.02)
    monkeypatch.setattr("train_codec.PATIENCE", 0)
    with pytest.raises(LlasaError, match="No audio is in"):
        ResidentAudio(two_speakers, 6400, 320, [], torch.device("cpu"), pitch=True)


def test_pools_begun_without_pitch_get_it(tmp_path: Path) -> None:
    pytest.importorskip("swift_f0")
    pool = Pool(tmp_path / "hibari-000")
    for tracker in (None, None, PitchTracker()):
        writer = PoolWriter(tmp_path / "hibari-000", tracker)
        writer.add(gliding(150.0), "Ah.", "ann")
        writer.close()
        assert (pool.pitches() is None) == (tracker is None)
    found = pool.pitches()
    assert found is not None
    assert found.shape == (300, 2)
    assert found[:, 0].min() > 140


def test_pitch_survives_kills_and_comes_with_unpacking(two_speakers: Path, tmp_path: Path) -> None:
    pool = Pool(two_speakers / "kokoro-000")
    known = pool.pitches()
    assert known is not None
    pool.f0.write_bytes(pool.f0.read_bytes() + b"half a row")
    writer = PoolWriter(two_speakers / "kokoro-000", PitchTracker())
    writer.add(gliding(110.0, 0.5), "Oh.", "low")
    writer.close()
    assert np.array_equal(pool.pitches()[:-50], known)  # type: ignore[index]
    path = tmp_path / "one.wav"
    soundfile.write(path, gliding(150.0), RATE)
    pack([Utterance(path, "Ah.", "ann")], tmp_path / "packed", "real", kbps=32, minutes=1)
    file = next((tmp_path / "packed").glob("*.opus"))
    assert Pool(unpack(file, tmp_path / "audio")).pitches() is None
    found = Pool(unpack(file, tmp_path / "audio", pitch=True)).pitches()
    assert found is not None
    assert np.median(found[:, 0]) == pytest.approx(157, abs=4)


def test_clips_are_encoded_as_each_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = CodecConfig(
        encoder_channels=2,
        strides=(5, 4, 4, 2, 2),
        acoustic_size=8,
        semantic=SemanticConfig("conv", 1, 8, 8, 1),
        levels=(4, 4),
        decoder_size=16,
        decoder_layers=1,
        decoder_heads=2,
        norm_groups=2,
    )
    codec = Codec(CodecModel(config), "cpu")
    writer = PoolWriter(tmp_path / "audio" / "hibari-000")
    seconds = (0.5, 0.505, 0.75, 0.2, 0.51)
    for number, length in enumerate(seconds):
        noise = np.random.default_rng(number).normal(0, 0.1, int(length * RATE)).astype("f4")
        writer.add(noise, f"Clip {number}.", "ann", [(0, 0.1), (6, 0.4)], PHONES)
    writer.close()
    encode(tmp_path / "audio", tmp_path / "tokens", codec, batch_seconds=1.2)
    data = TokenDataset(tmp_path / "tokens" / "hibari")
    pool = Pool(tmp_path / "audio" / "hibari-000")
    kept = [0, 1, 2, 4]  # the fourth is too short
    assert [data[i].text for i in range(len(data))] == [f"Clip {n}." for n in kept]
    assert [*map(list, data[0].timing)] == [[0.0, 5.0], [0.8571, 20.0]]
    assert [*map(list, data[0].phones)] == [["k", 10.0], ["l", 15.0]]
    for row, number in enumerate(kept):
        clip = pool.clips()[number]
        alone = pool.samples()[clip.start : clip.start + clip.samples] / np.float32(INT16_SCALE)
        assert data[row].codes.tolist() == codec.encode([alone])[0].tolist()
    sample(tmp_path / "tokens", tmp_path / "few", most=1000)
    assert len(TokenDataset(tmp_path / "few" / "hibari")) == 4


class Sleeper(Trainer[int]):
    """A trainer whose steps take a hundredth of a second by its own clock."""

    @dataclass
    class Settings:
        run: RunSettings
        schedule: ScheduleSettings

    def __init__(self, out: Path) -> None:
        run = RunSettings(out=str(out), log_every=1000)
        self.settings = self.Settings(run, ScheduleSettings("wsd", warmup=1, final=0.0))
        self.workers, self.finished = Workers(), 0
        self.clock = 50.0
        self.rates: list[float] = []
        self.evaluated: list[int] = []

    def batch(self, step: int) -> int:
        return step

    def step(self, batch: int) -> dict[str, Any]:
        assert batch == self.finished
        self.rates.append(
            multiplier(self.settings.schedule, self.finished, self.settings.run.steps)
        )
        self.clock += 0.01
        return {"loss": 1.0}

    def evaluate(self, log: Any) -> None:
        self.evaluated.append(self.finished)
        log.write(self.finished, {"valid/loss": 1.0})

    def save(self) -> None:
        (Path(self.settings.run.out) / f"step-{self.finished:08d}").mkdir()


class TimedSleeper(Timed[int], Sleeper):
    def facts(self, batch: int) -> dict[str, float]:
        return {"tokens/s": 1.0}

    def write_home(self, checkpoint: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "weights").write_text(checkpoint.name)


def test_a_run_by_the_clock_decays_saves_and_goes_home(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = TimedSleeper(tmp_path / "run")
    monkeypatch.setattr("timed.time.monotonic", lambda: trainer.clock)
    plan = Plan(trainer.clock + 2.0, 1.0, tmp_path / "out", "lm", save=0.5, report=0.3)
    trainer.train_until(plan)
    rates = trainer.rates
    assert rates[:80] == [1.0] * 80
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[150] == pytest.approx(0.5, abs=0.05)
    assert rates[-1] < 0.03
    assert len(rates) == pytest.approx(200, abs=2)
    assert trainer.evaluated == pytest.approx([50, 100, 150, len(rates)], abs=5)
    assert pieces.join([plan.out], "lm", tmp_path / "back") == trainer.finished
    assert (plan.out / "lm.log").exists()
    printed = capsys.readouterr().out
    assert "tokens/s 100" in printed
    assert "'valid/loss': 1.0" in printed
