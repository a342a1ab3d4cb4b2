"""Tokenizing manifests: order, resumption, several workers, bad recordings."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import torch

from llasa.audio.audio import read_audio
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig, SemanticConfig
from llasa.codec.model import CodecModel
from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import TokenDataset, shard_path
from llasa.data.tokenize import TokenizeReport, tokenize

from .level_codec import LevelCodec


def make(folder: Path, count: int = 10) -> Path:
    """A manifest of short clips, no two alike."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        seconds = 0.1 + 0.02 * ((number * 7) % 10)
        path = folder / f"{number}.wav"
        soundfile.write(path, rng.uniform(-1, 1, int(seconds * 8000)), 8000)
        rows.append(Utterance(path, f"Clip {number}.", f"speaker {number % 3}", seconds))
    write_manifest(folder / "m.jsonl", rows)
    return folder / "m.jsonl"


def run(manifest: Path, out: Path, **options: Any) -> TokenizeReport:
    settings: dict[str, Any] = {"shard_size": 4, "progress": False}
    return tokenize(manifest, out, cast(Codec, LevelCodec()), **{**settings, **options})


def contents(out: Path) -> list[tuple[str | list[int], list[int], str | None]]:
    return [(item.text, item.codes.tolist(), item.speaker) for item in TokenDataset(out)]


def test_manifest_order_and_codes(tmp_path: Path) -> None:
    manifest = make(tmp_path / "clips")
    report = run(manifest, tmp_path / "out")
    assert (report.utterances, report.skipped) == (10, 0)
    assert (report.shards, report.shards_total) == (3, 3)
    expected = []
    for row in read_manifest(manifest):
        audio, rate = soundfile.read(row.path, dtype="float32")
        expected.append((row.text, LevelCodec().encode([audio], [rate])[0].tolist(), row.speaker))
    assert contents(tmp_path / "out") == expected
    total = sum(len(codes) for _, codes, _ in expected) / 50
    assert report.seconds == pytest.approx(total)


def test_timing_becomes_shares_and_codes(tmp_path: Path) -> None:
    make(tmp_path / "clips", 1)
    (row,) = read_manifest(tmp_path / "clips" / "m.jsonl")
    timed = replace(row, timing=((0, 0.0), (4, 0.06), (7, 0.1)), phones=(("k", 0.05),))
    write_manifest(tmp_path / "clips" / "timed.jsonl", [timed])
    run(tmp_path / "clips" / "timed.jsonl", tmp_path / "out")
    (item,) = (TokenDataset(tmp_path / "out")[n] for n in range(1))
    assert row.text == "Clip 0."
    assert [tuple(pair) for pair in item.timing] == [(0.0, 0.0), (0.5714, 3.0), (1.0, 5.0)]
    assert [tuple(pair) for pair in item.phones] == [("k", 2.5)]


def test_resume_makes_only_what_is_missing(tmp_path: Path) -> None:
    manifest, out = make(tmp_path / "clips"), tmp_path / "out"
    run(manifest, out)
    before = contents(out)
    stamp = shard_path(out, 0).stat().st_mtime_ns
    shutil.rmtree(shard_path(out, 1))
    report = run(manifest, out)
    assert report.utterances == 4
    assert contents(out) == before
    assert shard_path(out, 0).stat().st_mtime_ns == stamp
    assert not list(out.glob(".*"))


def test_bad_recordings_are_skipped_with_a_reason(tmp_path: Path) -> None:
    manifest, out = make(tmp_path / "clips"), tmp_path / "out"
    rows = read_manifest(manifest)
    rows[1].path.write_bytes(b"")
    rows[2].path.unlink()
    soundfile.write(rows[5].path, np.full(800, 3.0), 8000, subtype="FLOAT")
    rows[7] = Utterance(rows[7].path, None)
    rows[8] = Utterance(rows[8].path, " ... ")
    write_manifest(manifest, rows)
    report = run(manifest, out)
    assert (report.utterances, report.skipped) == (5, 5)
    assert [text for text, _, _ in contents(out)] == [f"Clip {n}." for n in (0, 3, 4, 6, 9)]
    lines = "".join((shard_path(out, n) / "skipped.jsonl").read_text() for n in range(3))
    logged = {Path(row["audio"]).name: row["reason"] for row in map(json.loads, lines.splitlines())}
    assert sorted(logged) == ["1.wav", "2.wav", "5.wav", "7.wav", "8.wav"]
    assert "empty" in logged["1.wav"]
    assert "does not exist" in logged["2.wav"]
    assert "too loud" in logged["5.wav"]
    assert "no text" in logged["7.wav"]
    assert "no letter" in logged["8.wav"]


@pytest.mark.parametrize("bad", [range(4), range(4, 8), range(8, 10), range(8)])
def test_shards_without_a_usable_recording(tmp_path: Path, bad: range) -> None:
    manifest, out = make(tmp_path / "clips"), tmp_path / "out"
    for number in bad:
        (tmp_path / "clips" / f"{number}.wav").unlink()
    report = run(manifest, out)
    assert (report.utterances, report.skipped, report.shards) == (10 - len(bad), len(bad), 3)
    assert [text for text, _, _ in contents(out)] == [
        f"Clip {n}." for n in range(10) if n not in bad
    ]
    reasons = (shard_path(out, bad[0] // 4) / "skipped.jsonl").read_text().splitlines()
    assert len(reasons) == min(4, len(bad))
    assert "does not exist" in reasons[0]
    assert run(manifest, out).utterances == 0  # finished


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    manifest, out = make(tmp_path / "clips"), tmp_path / "out"
    for _ in range(2):
        with pytest.raises(LlasaError, match=r"None of the 10 .* because: .*0\.wav does not exist"):
            run(manifest, out, root=tmp_path / "wrong")
        assert [p.name for p in out.iterdir()] == ["meta.json"]
    assert run(manifest, out).utterances == 10


def test_another_manifest_is_refused(tmp_path: Path) -> None:
    manifest, out = make(tmp_path / "clips"), tmp_path / "out"
    run(manifest, out)
    with pytest.raises(LlasaError, match="another data set"):
        run(manifest, out, shard_size=5)
    write_manifest(manifest, read_manifest(manifest)[:9])
    with pytest.raises(LlasaError, match="another data set"):
        run(manifest, out)
    with pytest.raises(LlasaError, match="shard_size is 0; give a whole number"):
        run(manifest, out, shard_size=0)


def start_worker(manifest: Path, out: Path, delay: float) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("level_codec.py")
    command = [sys.executable, str(script), str(manifest), str(out), str(delay)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_two_workers_share_the_shards(tmp_path: Path) -> None:
    manifest, out = make(tmp_path / "clips", 24), tmp_path / "out"
    workers = [start_worker(manifest, out, 0.02) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    run(manifest, tmp_path / "alone")
    assert contents(out) == contents(tmp_path / "alone")
    assert not list(out.glob(".*"))


def busy_worker(manifest: Path, out: Path) -> subprocess.Popen[bytes]:
    """A worker that is in the middle of the first shard."""
    worker = start_worker(manifest, out, 60.0)
    while not list(out.glob(".000000.partial")):
        assert worker.poll() is None
        time.sleep(0.02)
    return worker


def test_a_shard_in_work_is_left_alone(tmp_path: Path) -> None:
    manifest, out = make(tmp_path / "clips"), tmp_path / "out"
    worker = busy_worker(manifest, out)
    report = run(manifest, out)
    assert (report.utterances, report.shards, report.shards_total) == (6, 2, 3)
    worker.kill()
    worker.wait()
    assert run(manifest, out).utterances == 4  # the killed one is replaced
    run(manifest, tmp_path / "alone")
    assert contents(out) == contents(tmp_path / "alone")
    assert not list(out.glob(".*"))


def test_a_killed_worker_loses_only_its_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it left bytes behind its last commit, and where they never reached the disk."""
    manifest, out = make(tmp_path / "clips", 20), tmp_path / "out"
    (tmp_path / "clips" / "1.wav").unlink()
    run(manifest, tmp_path / "alone", shard_size=20)
    monkeypatch.setattr("llasa.data.tokenize.WINDOW", 4)
    write, calls = ShardWriter.commit, []

    def die(writer: ShardWriter) -> None:
        calls.append(writer.utterances)
        if len(calls) == 3:
            raise SystemExit  # after its third window was added, before it was committed
        write(writer)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "commit", die)
        with pytest.raises(SystemExit):
            run(manifest, out, shard_size=20)
    (partial,) = out.glob(".*.partial")
    shutil.copytree(out, tmp_path / "lost")
    report = run(manifest, out, shard_size=20)
    assert (report.utterances, report.skipped) == (12, 0)
    assert contents(out) == contents(tmp_path / "alone")
    assert (
        TokenDataset(out).speakers()[0].tolist()
        == TokenDataset(tmp_path / "alone").speakers()[0].tolist()
    )
    assert "1.wav" in (shard_path(out, 0) / "skipped.jsonl").read_text()
    assert not list(out.glob(".*"))
    codes = tmp_path / "lost" / partial.name / "codes.bin"
    codes.write_bytes(codes.read_bytes()[:10])
    assert run(manifest, tmp_path / "lost", shard_size=20).utterances == 19
    assert contents(tmp_path / "lost") == contents(tmp_path / "alone")


class Listening(LevelCodec):
    """Notes the lengths (s) of what it is given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[float]] = []

    def encode(self, audios: Any, rates: Any = ()) -> Any:
        self.batches.append([audio.duration for audio in audios])
        return super().encode(audios, rates)


def test_batches_are_of_like_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make(tmp_path / "clips", 20)
    monkeypatch.setattr("llasa.data.tokenize.BATCH_SECONDS", 1.0)
    codec = Listening()
    tokenize(manifest, tmp_path / "out", codec, progress=False)  # type: ignore[arg-type]
    together = [length for batch in codec.batches for length in batch]
    assert together == sorted(together)
    assert max(len(batch) * max(batch) for batch in codec.batches) <= 1.0
    assert len(codec.batches) == 5
    run(manifest, tmp_path / "alone", shard_size=500)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_ranks_begin_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, made = make(tmp_path / "clips", 16), list[int]()
    monkeypatch.setattr(
        "llasa.data.tokenize.ShardWriter",
        lambda out, number, *rest, **more: made.append(number) or ShardWriter(out, number, *rest),
    )
    for rank, order in [("0", [0, 1, 2, 3]), ("1", [2, 3, 0, 1])]:
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        made.clear()
        run(manifest, tmp_path / rank)
        assert made == order


def test_without_locks_every_rank_has_its_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, out = make(tmp_path / "clips", 16), tmp_path / "out"

    def refuse(*_: object) -> None:
        raise NotImplementedError

    with monkeypatch.context() as patch:
        patch.setattr("filelock.FileLock.acquire", refuse)
        patch.setenv("WORLD_SIZE", "2")
        for rank in ("0", "1"):
            patch.setenv("RANK", rank)
            assert run(manifest, out).utterances == 8
    run(manifest, tmp_path / "alone")
    assert contents(out) == contents(tmp_path / "alone")


def test_shards_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make(tmp_path / "clips", 20)
    monkeypatch.setattr("llasa.data.tokenize.SMALLEST_SHARD", 2)
    monkeypatch.setattr("llasa.data.tokenize.MOST_SHARDS", 3)
    assert run(manifest, tmp_path / "out", shard_size=None).shards_total == 3
    assert isinstance(TokenDataset(tmp_path / "out").lengths(), np.memmap)  # it has its columns


def test_ctrl_c_leaves_nothing_half_done(tmp_path: Path) -> None:
    manifest, out = make(tmp_path / "clips"), tmp_path / "out"
    worker = busy_worker(manifest, out)
    worker.send_signal(signal.SIGINT)
    worker.wait(60)
    assert sorted(p.name for p in out.iterdir()) == [".000000.lock", "meta.json"]
    assert run(manifest, out).utterances == 10
    assert not list(out.glob(".*"))


def test_unwritable_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, out = make(tmp_path / "clips"), tmp_path / "out"

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(LlasaError, match="out cannot be written: Permission denied"):
        run(manifest, out)


def test_with_an_x_codec2(tmp_path: Path) -> None:
    """The real codec class, at a tiny size with random weights."""
    torch.manual_seed(0)
    semantic = SemanticConfig("conv", 1, 32, 64, 2)
    config = CodecConfig(
        encoder_channels=4, acoustic_size=32, semantic=semantic, levels=(4,) * 4, decoder_size=32,
        decoder_layers=1, decoder_heads=2, decoder_mlp_size=64, norm_groups=4,
    )  # fmt: skip
    codec = Codec(CodecModel(config), "cpu")
    manifest = make(tmp_path / "clips", 4)
    report = tokenize(manifest, tmp_path / "out", codec, progress=False)
    data = TokenDataset(tmp_path / "out")
    assert (data.codebook_size, report.utterances) == (256, 4)
    for row, item in zip(read_manifest(manifest), data, strict=True):
        audio = read_audio(row.path)
        assert item.codes.tolist() == codec.encode([audio.samples], audio.rate)[0].tolist()


def test_real_recordings(speech_data: Path, tmp_path: Path) -> None:
    rows = read_manifest(speech_data / "librispeech.jsonl")[:3]
    write_manifest(tmp_path / "m.jsonl", rows)
    run(tmp_path / "m.jsonl", tmp_path / "out")
    data = TokenDataset(tmp_path / "out")
    assert [item.text for item in data] == [row.text for row in rows]
    durations = data.lengths() / LevelCodec.frame_rate
    assert durations.tolist() == pytest.approx([row.seconds for row in rows], abs=0.05)


BAD = [
    '{"audio": "gone.wav", "text": "Gone."}',
    '{"audio": "caf\\udce9.wav", "text": "Latin.", "speaker": "caf\\udce9"}',
    '{"audio": "\\ud83d.wav", "text": "Half an emoji."}',
    '{"audio": "a\\u0000.wav", "text": "No file has this name."}',
    '{"audio": ',
    "[" * 100_000,
    '{"audio": "0.wav", "text": "Clip\u2028zero.", "speaker": "half \\ud83d"}',
]


def test_bad_lines_are_left_out_with_their_reasons(tmp_path: Path) -> None:
    manifest = make(tmp_path / "clips", 2)
    manifest.write_text("\n".join([*BAD, manifest.read_text()]), "utf-8")
    report = run(manifest, tmp_path / "out", shard_size=20)
    assert (report.utterances, report.skipped) == (3, 6)
    assert [text for text, *_ in contents(tmp_path / "out")] == ["Clip zero.", "Clip 0.", "Clip 1."]
    skipped = shard_path(tmp_path / "out", 0) / "skipped.jsonl"
    reasons = [row["reason"] for _, row in jsonl.read(skipped.read_bytes(), "skipped")]
    expected = ["not exist", "not exist", "name", "name", "line 5: it", "line 6: its"]
    for reason, words in zip(reasons, expected, strict=True):
        assert words in reason


def test_a_damaged_shard_is_made_again(tmp_path: Path) -> None:
    manifest = make(tmp_path / "clips")
    run(manifest, tmp_path / "out")
    before = contents(tmp_path / "out")
    rows = shard_path(tmp_path / "out", 1) / "rows.jsonl"
    rows.write_bytes(b"x" * rows.stat().st_size)
    with pytest.raises(LlasaError, match="000001 is damaged"):
        TokenDataset(tmp_path / "out").check()
    assert run(manifest, tmp_path / "out").utterances == 4
    TokenDataset(tmp_path / "out").check()
    assert contents(tmp_path / "out") == before


def test_a_shard_without_sums_is_made_again(tmp_path: Path) -> None:
    manifest = make(tmp_path / "clips")
    run(manifest, tmp_path / "out")
    before = contents(tmp_path / "out")
    (shard_path(tmp_path / "out", 0) / "sums.json").unlink()
    with pytest.raises(LlasaError, match="000000 is damaged"):
        TokenDataset(tmp_path / "out").check()
    assert run(manifest, tmp_path / "out").utterances == 4
    assert contents(tmp_path / "out") == before
