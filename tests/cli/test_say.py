"""``llasa say`` and ``llasa clone``, with a small random model."""

from __future__ import annotations

import _thread
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.data.manifest import read_manifest
from llasa.lm.torch import TorchEngine
from llasa.models.folder import ModelConfig
from llasa.models.voice import Voice
from llasa.tts.llasa import Llasa
from tests.tiny_model import tone, write_tiny_model

from .conftest import Run

REPORT = (
    r"(?P<name>\S+): \d+\.\d s of audio in \d+\.\d s \(RTF \d+\.\d\d\), \d+ tokens/s, first audio "
    r"after \d+\.\d\d s, voice (?P<voice>\w+), seed (?P<seed>\d+)\n"
)


def test_say(run: Run, tiny: Path, tmp_path: Path) -> None:
    import re

    result = run("say", "Hello fox.", "--model", tiny, "-o", "hello.wav")
    report = re.fullmatch(REPORT, result.err)
    assert report
    assert (result.code, result.out) == (0, b"")
    assert (report["name"], report["voice"]) == ("hello.wav", "ann")
    first = read_audio(tmp_path / "hello.wav")
    again = run("say", "Hello fox.", "--model", tiny, "-o", "-", "--seed", report["seed"])
    np.testing.assert_array_equal(read_audio(io.BytesIO(again.out)).samples, first.samples)


def test_where_the_text_comes_from(run: Run, tiny: Path, tmp_path: Path) -> None:
    def spoken(*argv: object, stdin: bytes = b"") -> str:
        result = run("say", "--model", tiny, "--json", "--max-seconds", 0.2, *argv, stdin=stdin)
        assert result.code == 0, result.err
        return str(json.loads(result.out)["text"])

    (tmp_path / "a.txt").write_text("\ufeffFrom a\nfile.", encoding="utf-8")
    assert spoken() == "Hello! I am a Llama, and I can speak."
    assert spoken("Many", "words") == "Many words"
    assert spoken("-f", "a.txt") == "From a\nfile."
    assert spoken("-", stdin="From stdin, é.".encode()) == "From stdin, é."
    assert spoken("--", "-5 degrees") == "-5 degrees"
    assert (tmp_path / "llasa.wav").exists()


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "opus", "WAV"])
def test_formats(run: Run, tiny: Path, suffix: str) -> None:
    output = f"a.{suffix}"
    result = run("say", "Hi", "--model", tiny, "-o", output, "--json", "--seed", 1)
    report = json.loads(result.out)
    assert report["output"] == output
    assert abs(read_audio(output).duration - report["seconds"]) < 0.1


def test_json(run: Run, tiny: Path) -> None:
    result = run("say", "Hi 😀", "--model", tiny, "--json", "--seed", 4, "--voice", "random")
    report = json.loads(result.out)
    assert result.out.count(b"\n") == 1
    assert result.err.startswith("llasa: warning: Dropped 1 character")
    assert report["text"] == "Hi 😀"
    assert (report["voice"], report["seed"], report["rate"]) == (None, 4, 16_000)
    assert report["finish_reason"] in ("stop", "length")
    for name in ("seconds", "tokens", "rtf", "tokens_per_second", "first_audio_seconds"):
        assert report[name] > 0


def test_a_model_with_one_voice(run: Run, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path, ModelConfig("solo", cloning=False))
    result = run("say", "Hi", "--model", model, "--seed", 1)
    assert result.err.endswith(", the model's own voice, seed 1\n")


def test_fast(run: Run, tiny: Path) -> None:
    assert run("say", "Hi", "--model", tiny, "--fast").code == 0
    result = run("say", "Hi", "--model", tiny, "--fast", "--int8")
    assert result.code == 2
    assert "give one of them" in result.err


def test_int8(run: Run, tiny: Path) -> None:
    assert run("say", "Hi", "--model", tiny, "--int8").code == 0


def test_bad_texts(run: Run, tiny: Path, tmp_path: Path) -> None:
    say = ["say", "--model", tiny]
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    assert "The text is empty" in run(*say, "").error
    assert "The text is empty" in run(*say, " \n ").error
    assert "name of the text file is empty" in run(*say, "-f", "").error
    assert "name of the text file is empty" in run(*say, "--batch", "", "-o", "out").error
    assert "The text is empty" in run(*say, "-", stdin=b"").error
    assert "no letter or digit" in run(*say, "\x07\x1b").error
    assert "no letter or digit" in run(*say, "😀").error
    assert "100,000 characters" in run(*say, "-", stdin=b"word " * 20_000).error
    assert "Standard input is not UTF-8" in run(*say, "-", stdin=b"\xff").error
    assert "bytes is not UTF-8" in run(*say, "-f", "bytes").error
    assert "none.txt does not exist" in run(*say, "-f", "none.txt").error
    assert ". is a folder: give a text file" in run(*say, "-f", ".").error
    assert "not both" in run(*say, "hello", "-f", "bytes").error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bytes"]


def test_bad_outputs(run: Run, tiny: Path, tmp_path: Path) -> None:
    say = ["say", "hello", "--model", tiny]
    assert "'wave' is unknown: valid are" in run(*say, "-o", "a.wave").error
    assert run(*say, "-o", "a.flca").error.endswith("Did you mean flac?")
    assert "a has no suffix" in run(*say, "-o", "a").error
    assert "the folder none does not exist" in run(*say, "-o", "none/a.wav").error
    (tmp_path / "b.wav").mkdir()
    assert "it is a folder" in run(*say, "-o", "b.wav").error
    assert "choose one" in run(*say, "-o", "-", "--json").error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(run: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    error = run("say", "hello", "--model", tiny, "-o", "locked/a.wav").error
    assert "locked is read-only" in error


def test_bad_models_voices_and_settings(run: Run, tiny: Path) -> None:
    say = ["say", "hello", "--model", tiny]
    assert "Model 'none' is unknown" in run("say", "hello", "--model", "none").error
    assert "Model '' is unknown" in run("say", "hello", "--model", "").error
    assert run(*say, "--voice", "anne").error.endswith("Did you mean ann?")
    assert "does not exist" in run(*say, "--voice", "none.safetensors").error
    assert "temperature is -1.0" in run(*say, "--temperature", -1).error
    assert "top_k is -3" in run(*say, "--top-k", -3).error
    assert "seed is -1" in run(*say, "--seed", -1).error
    assert "repetition_window is -1" in run(*say, "--repetition-window", -1).error
    assert "--format is for -o - and --batch" in run(*say, "--format", "wav").error
    assert "--batch-size belongs to --batch" in run(*say, "--batch-size", 8).error
    assert "max_seconds is 0" in run(*say, "--max-seconds", 0).error
    assert "device tpu cannot be used" in run(*say, "--device", "tpu").error


# -- cloning ------------------------------------------------------------------------------


@pytest.mark.slow
def test_clone(run: Run, tiny: Path, recording: Path, own_voices: Path, tmp_path: Path) -> None:
    words = ["--transcript", "The fox jumps."]
    clone = ["clone", recording, "Hello dog.", *words, "--model", tiny, "--seed", 1, "--json"]
    first = json.loads(run(*clone).out)
    assert first["voice"] == "clone"
    kept = json.loads(run(*clone, "--save-voice", "carl", "-o", "b.wav").out)
    assert Voice.load(own_voices / "carl.safetensors").transcript == "The fox jumps."
    assert run(*clone, "--save-voice", "mine.safetensors").code == 0
    assert Voice.load(tmp_path / "mine.safetensors").name == "mine"
    for voice in ("carl", "mine.safetensors"):
        say = ["say", "Hello dog.", "--model", tiny, "--seed", 1, "--json", "-o", "c.wav"]
        said = json.loads(run(*say, "--voice", voice).out)
        assert said["tokens"] == first["tokens"] == kept["tokens"]
        assert read_audio("c.wav").samples.tolist() == read_audio("b.wav").samples.tolist()


def test_bad_recordings(run: Run, tiny: Path, tmp_path: Path) -> None:
    def refusal(name: str, *more: object) -> str:
        clone = ["clone", name, "Hello.", "--transcript", "The fox.", "--model", tiny]
        return run(*clone, *more).error

    tone(0.5).write("short.wav")
    tone(31).write("long.wav")
    Path("empty.wav").write_bytes(b"")
    Path("text.wav").write_text("no sound")
    assert "short.wav holds 0.50 s of sound, less than 1 s" in refusal("short.wav")
    assert "long.wav holds 31.0 s of sound, more than 30 s" in refusal("long.wav")
    assert "empty.wav is empty" in refusal("empty.wav")
    assert "text.wav is not a readable audio file" in refusal("text.wav")
    assert "none.wav does not exist" in refusal("none.wav")
    tone(2).write("good.wav")
    assert "not a valid voice name" in refusal("good.wav", "--save-voice", "a/b")
    assert not (tmp_path / "llasa.wav").exists()


def test_a_script_of_several_speakers(run: Run, tiny: Path, tmp_path: Path) -> None:
    script = "ANNA: The fox jumps.\nBEN: The dog runs.\n"
    (tmp_path / "play.txt").write_text(script)
    say = ["say", "play.txt", "--model", tiny, "--seed", 1]
    result = run(*say, "--cast", "anna=ann, Ben=ann", "-o", "a.wav", "--srt", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["text"] == script
    srt = (tmp_path / "a.srt").read_text()
    assert "The fox jumps." in srt
    assert "ANNA" not in srt
    assert "--cast has ben twice" in run(*say, "--cast", "ben=ann,ben=ann").error
    assert "--cast cannot take 'ben'" in run(*say, "--cast", "anna=ann,ben").error
    assert "the cast does not have: BEN" in run(*say, "--cast", "anna=ann").error
    assert "Voice 'nobody' is unknown" in run(*say, "--cast", "ben=nobody").error
    assert "leave out --stream" in run(*say, "--cast", "ben=ann", "--stream").error
    batch = run("say", "--batch", "play.txt", "--cast", "ben=ann", "-o", "out")
    assert "--cast is for one script" in batch.error
    (tmp_path / "long.txt").write_text(script * 70)
    long = run("say", "long.txt", "--model", tiny, "--cast", "anna=ann,ben=ann", "--max-seconds", 1)
    assert long.code == 0, long.err
    assert "no voice of a cast" in run("say", "long.txt", "--cast", "ben=random").error


# -- batches ------------------------------------------------------------------------------


def batch(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.slow
def test_batch_and_resume(run: Run, tiny: Path, tmp_path: Path) -> None:
    lines = batch(
        tmp_path / "lines.jsonl",
        {"text": "One fox.", "id": "one", "seed": 7},
        "Two dogs.",
        {"text": "Three.", "voice": "random"},
    )
    args = ["say", "--batch", lines, "-o", "out", "--model", tiny, "--batch-size", 2, "--json"]
    result = run(*args)
    report = json.loads(result.out)
    assert (report["files"], report["already_there"], report["failed"]) == (3, 0, 0)
    out = tmp_path / "out"
    names = ["00002.wav", "00003.wav", "manifest.jsonl", "one.wav"]
    assert sorted(path.name for path in out.iterdir()) == names
    rows = [json.loads(row) for row in (out / "manifest.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["one", "00002", "00003"]
    assert rows[0]["seed"] == 7
    assert [row["voice"] for row in rows] == ["ann", "ann", None]
    spoken = read_manifest(out / "manifest.jsonl")
    assert [u.text for u in spoken] == ["One fox.", "Two dogs.", "Three."]
    assert all(abs(read_audio(u.path).duration - (u.seconds or 0)) < 0.01 for u in spoken)
    alone = json.loads(run("say", "One fox.", "--model", tiny, "--seed", 7, "--json").out)
    assert alone["tokens"] == rows[0]["tokens"]

    before = (out / "00002.wav").stat().st_mtime_ns
    (out / "one.wav").unlink()
    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"id": "00003", "te')  # as a crash leaves it
    report = json.loads(run(*args).out)
    assert (report["files"], report["already_there"]) == (1, 2)
    assert (out / "00002.wav").stat().st_mtime_ns == before
    assert json.loads((out / "manifest.jsonl").read_text().splitlines()[-1])["id"] == "one"

    assert len(read_manifest(out / "manifest.jsonl")) == 3

    batch(lines, {"text": "Another fox.", "id": "one"})
    assert json.loads(run(*args).out)["files"] == 1
    texts = [u.text for u in read_manifest(out / "manifest.jsonl")]
    assert texts == ["Two dogs.", "Three.", "Another fox."]
    result = run(*[word for word in args if word != "--json"])
    assert result.err.startswith("out: 0 files, 1 were there already")


def test_batch_with_a_line_that_fails(run: Run, tiny: Path, tmp_path: Path) -> None:
    voice = Voice.load(tiny / "voices" / "ann.safetensors")
    codes = np.tile(voice.codes, 28)
    Voice("long", "So many words.", codes, voice.codec).save(tmp_path / "long.safetensors")
    rows = ["One.", {"text": "Two.", "voice": "long.safetensors"}, "Three."]
    lines = batch(tmp_path / "lines.jsonl", *rows)
    result = run("say", "--batch", lines, "-o", "out", "--model", tiny, "--format", "flac")
    assert result.code == 2
    assert "out: 2 files" in result.err
    assert "1 of 3 lines could not be spoken; line 2: Voice long takes so much" in result.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["00001.flac", "00003.flac", "manifest.jsonl"]


@pytest.mark.slow
def test_a_batch_that_is_refused_leaves_the_manifest(run: Run, tiny: Path, tmp_path: Path) -> None:
    lines = batch(tmp_path / "lines.jsonl", "One.", "Two.")
    args = ["say", "--batch", lines, "-o", "out", "--model", tiny, "--max-seconds", 0.2]
    assert run(*args).code == 0
    manifest = tmp_path / "out" / "manifest.jsonl"
    before = manifest.read_bytes()
    for more, reason in (
        (["--voice", "bob"], "Voice 'bob' is unknown"),
        (["--format", "flac", "--voice", "bob"], "Voice 'bob' is unknown"),
        (["--temperature", -1], "temperature is -1.0"),
        (["--device", "nonsense", "--seed", 1], "device nonsense cannot be used"),
    ):
        assert reason in run(*args, *more).error
        assert manifest.read_bytes() == before
    batch(lines, "One.")
    assert run(*args, "--format", "flac").code == 0
    rows = [json.loads(row) for row in manifest.read_text().splitlines()]
    assert [row["audio"] for row in rows] == ["00002.wav", "00001.flac"]


@pytest.mark.parametrize(
    "change",
    [
        ["--voice", "random"],
        ["--seed", 3],
        ["--temperature", 0.5],
        ["--max-seconds", 0.1],
        ["--int8"],
    ],
)
def test_a_request_that_changed_is_spoken_anew(
    run: Run, tiny: Path, tmp_path: Path, change: list[object]
) -> None:
    lines = batch(tmp_path / "lines.jsonl", "One.", {"text": "Two.", "voice": "ann", "seed": 1})
    args = ["say", "--batch", lines, "-o", "out", "--model", tiny, "--json", "--max-seconds", 0.2]
    assert json.loads(run(*args).out)["files"] == 2
    own = change[0] in ("--voice", "--seed")  # the second line has its own
    for files in (1 if own else 2, 0):
        assert json.loads(run(*args, *change).out)["files"] == files
    rows = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert sorted(json.loads(row)["id"] for row in rows) == ["00001", "00002"]


def test_clone_reads_a_text_file(run: Run, tiny: Path, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Hello dog.")
    words = ("--transcript", "A lazy dog.", "--model", tiny, "--seed", 1, "--json")
    spoken = [
        json.loads(run("clone", recording, *text, *words).out)
        for text in (["text.txt"], ["-f", "text.txt"], ["Hello dog."])
    ]
    assert len({(one["tokens"], one["seconds"]) for one in spoken}) == 1
    assert all(one["text"] == "Hello dog." for one in spoken if "text" in one)


def test_a_batch_spoken_anew_keeps_a_row_a_line(run: Run, tiny: Path, tmp_path: Path) -> None:
    lines = batch(tmp_path / "lines.jsonl", "One.", "Two.")
    args = ["say", "--batch", lines, "-o", "out", "--model", tiny, "--max-seconds", 0.2]
    for seed in (1, 2):
        assert run(*args, "--seed", seed).code == 0
    rows = [*map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text().splitlines())]
    assert [(row["id"], row["request"]["seed"]) for row in rows] == [("00001", 2), ("00002", 2)]


def test_a_batch_follows_the_users_lexicon(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLASA_LEXICONS", str(tmp_path))
    lines = batch(tmp_path / "lines.jsonl", "Siobhan.")
    args = ["say", "--batch", lines, "-o", "out", "--model", tiny, "--json", "--max-seconds", 0.2]

    def made() -> int:
        return int(json.loads(run(*args, "--seed", 1).out)["files"])

    assert [made(), made()] == [1, 0]
    (tmp_path / "names.txt").write_text("Siobhan = shivawn")
    assert [made(), made()] == [1, 0]


def test_the_time_of_a_batch_is_without_loading(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = batch(tmp_path / "lines.jsonl", "One.")
    clock = [0.0]
    monkeypatch.setattr("llasa.cli.batch.time.monotonic", lambda: clock[0])
    load = Llasa.open

    def slow(*args: Any, **options: Any) -> Llasa:
        clock[0] += 1000
        return load(*args, **options)

    monkeypatch.setattr(Llasa, "open", slow)
    result = run("say", "--batch", lines, "-o", "out", "--model", tiny, "--json")
    assert json.loads(result.out)["total_seconds"] == 0


def test_lone_surrogates(run: Run, tiny: Path, tmp_path: Path) -> None:
    lines = batch(tmp_path / "lines.jsonl", "Fox. \ud83d")
    assert run("say", "--batch", lines, "-o", "out", "--model", tiny).code == 0
    assert read_manifest(tmp_path / "out" / "manifest.jsonl")[0].text == "Fox. ?"
    result = run("say", "Fox. \udcff", "--model", tiny, "--json")
    assert json.loads(result.out)["text"] == "Fox. ?"


def test_bad_batches(run: Run, tiny: Path, tmp_path: Path) -> None:
    def refusal(*rows: str, more: tuple[object, ...] = ("-o", "out")) -> str:
        (tmp_path / "a.jsonl").write_text("\n".join(rows))
        return run("say", "--batch", "a.jsonl", "--model", tiny, *more).error

    assert "a.jsonl has no lines" in refusal("")
    assert "a.jsonl, line 2: it is not valid JSON" in refusal('"one"', "two")
    assert "'voce' is unknown: valid are text, id, voice, seed. Did you mean voice?" in refusal(
        '{"text": "a", "voce": "ann"}'
    )
    assert "seed is True; give a whole number" in refusal('{"text": "a", "seed": true}')
    assert "seed is -1; give a whole number" in refusal('{"text": "a", "seed": -1}')
    assert "line 1: it has no text" in refusal('{"txt": "one"}')
    assert "line 1: The text is empty" in refusal('{"text": " "}')
    assert "line 1: '../x' is not a valid id" in refusal('{"text": "a", "id": "../x"}')
    assert "the id 'x' was used in line 1" in refusal(*['{"text": "a", "id": "x"}'] * 2)
    assert "voice must be a name" in refusal('{"text": "a", "voice": 3}')
    assert "add -o FOLDER" in refusal('"a"', more=())
    assert "--batch-size must be" in refusal('"a"', more=("-o", "out", "--batch-size", 0))
    assert "invalid choice: 'wave'" in refusal('"a"', more=("-o", "out", "--format", "wave"))
    assert "not both" in refusal('"a"', more=("-o", "out", "text"))
    assert "cannot be used as a folder" in refusal('"a"', more=("-o", "a.jsonl"))
    assert "none.jsonl does not exist" in run("say", "--batch", "none.jsonl", "-o", "out").error
    assert not (tmp_path / "out").exists()
    assert "Voice 'bob' is unknown" in refusal('{"text": "a", "voice": "bob"}')


# -- processes ----------------------------------------------------------------------------


def process(*argv: object, **settings: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "llasa", *(str(word) for word in argv)]
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=120, **settings)  # type: ignore[call-overload]


def test_interrupted(
    run: Run, endless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = TorchEngine.advance

    def interrupted(*args: Any, **settings: Any) -> None:
        _thread.interrupt_main()
        advance(*args, **settings)

    monkeypatch.setattr(TorchEngine, "advance", interrupted)
    result = run("say", "A very long story. " * 500, "--model", endless)
    assert (result.code, result.out, result.err) == (130, b"", "llasa: Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_full_disk(tiny: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    say = ["say", "Hello fox.", "--model", tiny, "--seed", 3]
    done = process(*say, "-o", tmp_path / "a.wav", preexec_fn=limit)
    assert done.returncode == 2
    assert done.stderr.decode().endswith("a.wav cannot be written: File too large.\n")
    assert list(tmp_path.iterdir()) == []
    with open("/dev/full", "wb") as full:
        done = process(*say, "-o", "-", stdout=full)
    assert done.returncode == 2
    assert b"Standard output cannot be written: No space left on device." in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_closed_pipe(tiny: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = process("say", "Hello fox.", "--model", tiny, "-o", "-", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
def test_nothing_slow_is_imported(tiny: Path, tmp_path: Path) -> None:
    """What would double the time to the first word: the compiler, Transformers, the hub."""
    script = (
        "import sys; from llasa.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "slow = {'torch._dynamo', 'transformers', 'huggingface_hub', 'sympy'} & set(sys.modules)\n"
        "print(code, sorted(slow))\n"
    )
    command = [sys.executable, "-c", script, "say", "Hi fox.", "--model", str(tiny)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.stdout == "0 []\n", done.stdout + done.stderr
