"""``llasa say`` with subtitles and times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llasa.data.manifest import read_manifest

from .conftest import Run

TEXT = "The lazy dog jumps. The fox runs."


def test_subtitles_and_times(run: Run, tiny: Path, tmp_path: Path) -> None:
    files = ["--srt", "a.srt", "--vtt", "a.vtt", "--timings", "a.json"]
    result = run("say", TEXT, "--model", tiny, "-o", "a.wav", *files, "--json", "--seed", 1)
    report = json.loads(result.out)
    times = json.loads((tmp_path / "a.json").read_text())
    assert times == {"text": TEXT, **report["timings"]}
    assert times["source"] == "estimate"  # it does not say which heads read
    assert [TEXT[slice(*word["span"])] for word in times["words"]] == TEXT.replace(".", "").split()
    assert times["words"][-1]["end"] <= report["seconds"]
    assert "The lazy dog jumps." in (tmp_path / "a.srt").read_text()
    assert (tmp_path / "a.vtt").read_text().startswith("WEBVTT\n\n00:00:0")


def test_cloned_speech_has_subtitles(run: Run, tiny: Path, tmp_path: Path) -> None:
    from llasa.audio.audio import Audio
    from tests.tiny_model import tone

    Audio(tone(1.5).samples, 16_000).write(tmp_path / "me.wav")
    words = ["--transcript", "The dog jumps."]
    result = run("clone", "me.wav", TEXT, *words, "--model", tiny, "--srt", "a.srt")
    assert result.code == 0, result.err
    assert "The fox runs." in (tmp_path / "a.srt").read_text()


@pytest.mark.slow
def test_a_long_text_has_subtitles(run: Run, tiny: Path, tmp_path: Path) -> None:
    text = "The lazy dog jumps over the fox. " * 70
    (tmp_path / "a.txt").write_text(text)
    say = ["say", "a.txt", "--model", tiny, "-o", "a.mp3", "--seed", 1]
    result = run(*say, "--srt", "a.srt", "--timings", "a.json", "--json")
    assert result.code == 0, result.err
    times = json.loads((tmp_path / "a.json").read_text())
    assert len(times["words"]) == 7 * 70
    assert times["words"] == json.loads(result.out)["timings"]["words"]
    starts = [word["start"] for word in times["words"]]
    assert starts == sorted(starts)
    assert (tmp_path / "a.srt").read_text().count(" --> ") >= 70


def test_a_batch_has_times_in_its_manifest(run: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    result = run("say", "--batch", "a.txt", "-o", "out", "--model", tiny, "--seed", 1)
    assert result.code == 0, result.err
    (row,) = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(row)["timings"]["words"][0]["word"] == "The"
    assert len(list(read_manifest(tmp_path / "out" / "manifest.jsonl"))) == 1


def test_what_cannot_be(run: Run, tiny: Path, tmp_path: Path) -> None:
    say = ["say", "Hi", "--model", tiny]
    assert "--srt needs a file of its own, not -" in run(*say, "--srt", "-").error
    assert "needs a file of its own, not a." in run(*say, "--srt", "a", "--vtt", "a").error
    assert "--srt needs a file of its own" in run(*say, "-o", "a.wav", "--srt", "a.wav").error
    assert "none/a.srt cannot be written" in run(*say, "--srt", "none/a.srt").error
    stream = run("say", "Hi", "--model", tiny, "--stream", "--srt", "a.srt")
    assert "--srt needs a speech that is complete" in stream.error
    batch = ["say", "--batch", "x.txt", "-o", "out"]
    assert "--srt a.srt would be one file for many texts" in run(*batch, "--srt", "a.srt").error
    assert "--vtt without a name stands beside a file" in run(*say, "-o", "-", "--vtt").error
    assert (
        "--srt needs a file of its own, not llasa.srt"
        in run(*say, "--vtt", "llasa.srt", "--srt").error
    )
    assert not list(tmp_path.iterdir())


def test_subtitles_without_a_name_stand_beside_the_sound(
    run: Run, tiny: Path, tmp_path: Path
) -> None:
    say = ["say", TEXT, "--model", tiny, "--seed", 1]
    result = run(*say, "-o", "a.b.wav", "--srt", "--vtt", "--timings")
    assert result.code == 0, result.err
    assert {path.name for path in tmp_path.iterdir()} >= {"a.b.srt", "a.b.vtt", "a.b.json"}
    assert run(*say, "--srt").code == 0
    assert (tmp_path / "llasa.srt").read_text() == (tmp_path / "a.b.srt").read_text()


def test_a_batch_has_subtitles_beside_each_sound(run: Run, tiny: Path, tmp_path: Path) -> None:
    rows = [{"text": TEXT, "id": "a.b"}, "The fox runs."]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    say = ["say", "--batch", "a.jsonl", "-o", "out", "--model", tiny, "--seed", 1, "--json"]
    assert json.loads(run(*say, "--srt").out)["files"] == 2
    out = tmp_path / "out"
    alone = run("say", TEXT, "--model", tiny, "--seed", 1, "--srt", "a.srt", "--timings", "a.json")
    assert alone.code == 0
    assert (out / "a.b.srt").read_text() == (tmp_path / "a.srt").read_text()
    assert "The fox runs." in (out / "00002.srt").read_text()

    (out / "a.b.srt").unlink()
    again = json.loads(run(*say, "--srt", "--vtt", "--timings").out)
    assert (again["files"], again["already_there"]) == (0, 2)  # from the manifest
    assert (out / "a.b.srt").read_text() == (tmp_path / "a.srt").read_text()
    assert (out / "00002.vtt").read_text().startswith("WEBVTT")
    assert (out / "a.b.json").read_text() == (tmp_path / "a.json").read_text()


def test_a_row_without_usable_times_is_spoken_again(run: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    say = ["say", "--batch", "a.txt", "-o", "out", "--model", tiny, "--seed", 1, "--json"]
    assert run(*say).code == 0
    manifest = tmp_path / "out" / "manifest.jsonl"
    row = json.loads(manifest.read_text())
    word = {**row["timings"]["words"][0], "span": [0, 10**6]}
    damaged: list[object] = [None, [], {"words": [1], "source": "estimate"}, {"words": [word]}]
    for timings in damaged:
        manifest.write_text(json.dumps({**row, "timings": timings}) + "\n")
        assert json.loads(run(*say).out)["already_there"] == 1  # nobody asked for times
        assert json.loads(run(*say, "--srt").out)["files"] == 1
        assert json.loads(manifest.read_text())["timings"] == row["timings"]
        assert TEXT.split(".")[0] in (tmp_path / "out" / "00001.srt").read_text()
