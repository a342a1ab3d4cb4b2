"""``llasa say`` with long files and with ``--stream``."""

from __future__ import annotations

import _thread
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.tts.llasa import Llasa
from tests.text.test_epub import PAGES
from tests.text.test_epub import book as epub
from tests.waiting import wait_for

from .conftest import Run

BOOK = " ".join(f"This is sentence number {n}, and the fox jumps over it." for n in range(50))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(BOOK)
    return path


@pytest.mark.parametrize("words", [["book.txt"], ["-f", "book.txt"]])
@pytest.mark.slow
def test_a_book(run: Run, tiny: Path, book: Path, words: list[str]) -> None:
    result = run("say", *words, "-o", "book.mp3", "--model", tiny, "--seed", 3, "--json")
    report = json.loads(result.out)
    assert (report["parts"], report["resumed"], report["seed"]) == (50, 0, 3)
    assert report["finish_reason"] == "stop"
    assert read_audio("book.mp3").duration == pytest.approx(report["seconds"], abs=0.1)
    assert sorted(path.name for path in book.parent.iterdir()) == ["book.mp3", "book.txt"]
    again = run("say", *words, "-o", "book.wav", "--model", tiny, "--seed", 3)
    assert "50 parts (0 from an earlier run), seed 3" in again.err


@pytest.mark.slow
def test_a_book_in_epub(run: Run, tiny: Path, tmp_path: Path) -> None:
    data = epub({**PAGES, "OEBPS/one.xhtml": f"<h1>Chapter One</h1><p>{BOOK}</p>"})
    (tmp_path / "a.epub").write_bytes(data)
    short = ["--model", tiny, "--seed", 1, "--max-seconds", 1]
    for words, stdin in ((["a.epub"], b""), (["-f", "a.epub"], b""), (["-"], data)):
        result = run("say", *words, *short, "-o", "a.wav", "--json", stdin=stdin)
        text = json.loads(result.out)["text"]
        assert text == f"It was day.\n\n# Chapter One\n\n{BOOK}\n"
    assert len(run("say", "a.epub", *short, "--stream").out) > 1000
    long = json.loads(run("say", "a.epub", "--model", tiny, "--seed", 1, "--json").out)
    assert long["parts"] == 52
    (tmp_path / "a.epub").write_bytes(data[:-100])
    assert "a.epub is no EPUB that can be read" in run("say", "a.epub").error
    assert "none.epub does not exist" in run("say", "none.epub").error


@pytest.mark.slow
def test_ctrl_c_and_again(run: Run, tiny: Path, book: Path) -> None:
    book.write_text(f"{BOOK} " * 40)  # beyond what is spoken in one call
    kept = book.with_name("book.wav.resume")
    say = ["say", "book.txt", "-o", "book.wav", "--model", tiny]
    spoken = 0
    for _ in range(2):

        def interrupt(before: int = spoken) -> None:
            wait_for(lambda: kept.exists() and kept.read_bytes().count(b"\n") >= before + 20)
            _thread.interrupt_main()

        threading.Thread(target=interrupt, daemon=True).start()
        result = run(*say)
        assert result.code == 130
        assert "Run the same command again to go on with book.wav.\n" in result.err
        assert sorted(path.name for path in book.parent.iterdir()) == ["book.txt", kept.name]
        spoken = kept.read_bytes().count(b"\n")


@pytest.mark.slow
def test_stream(run: Run, tiny: Path, book: Path) -> None:
    say = ["say", "--stream", "--model", tiny, "--seed", 3]
    result = run(*say, "Hello fox. And you?")
    assert result.code == 0, result.err
    assert "16-bit PCM, mono, 16000 Hz, seed 3" in result.err
    chunks = Llasa.load(tiny, device="cpu").stream("Hello fox. And you?", seed=3)
    assert result.out == b"".join(chunk.pcm() for chunk in chunks)
    assert run(*say, "-o", "-", "Hello fox. And you?").out == result.out
    wav = run(*say, "--format", "wav", "Hello fox. And you?").out
    assert wav[:4] == b"RIFF"
    assert wav[44:] == result.out  # after a header, which names the rate to players
    assert int.from_bytes(wav[24:28], "little") == 16_000
    mp3 = run(*say, "--format", "mp3", "Hello fox. And you?").out
    assert read_audio(mp3).duration == pytest.approx(len(result.out) / 32_000, abs=0.15)
    piped = run(*say, "-", stdin="Hello fox, é. And you?".encode())
    assert len(np.frombuffer(piped.out, "<i2")) > 16_000
    assert not Path("llasa.wav").exists()


@pytest.mark.slow
def test_stdin_is_spoken_before_it_ends(tiny: Path) -> None:
    command = [sys.executable, "-m", "llasa", "say", "-", "--stream", "--model", str(tiny)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Hello fox. And")
        process.stdin.flush()
        assert process.stdout.read(2000), "sound while stdin is open"
        process.stdin.close()
        assert len(process.stdout.read()) > 2000
    assert process.returncode == 0


@pytest.mark.slow
def test_a_listener_that_leaves(tiny: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "llasa", "say", "Hi.", "--stream", "--model", str(tiny)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_normalize(run: Run, tiny: Path) -> None:
    """Numbers take longer in words, and the user's text stays as it is."""
    scores = {}
    for flags in ((), ("--no-normalize",)):
        words = ("123,456 dogs", *flags, "--best-of", 1, "--verify", "length", "--seed", 1)
        result = run("say", *words, "--max-seconds", 1, "--model", tiny, "--json")
        answer = json.loads(result.out)
        assert answer["text"] == answer["search"][0]["text"] == "123,456 dogs"
        scores[flags] = answer["search"][0]["candidates"][0]["logprob"]
    assert scores[()] != scores["--no-normalize",], "the model was given other words"


def test_what_does_not_go_together(run: Run, tiny: Path) -> None:
    say = ["say", "--stream", "--model", tiny]
    assert "cannot write flac" in run(*say, "Hi", "--format", "flac").error
    assert "leave out -o" in run(*say, "Hi", "-o", "a.wav").error
    assert "choose one" in run(*say, "Hi", "--json").error
    assert "not both" in run(*say, "--batch", "a.jsonl", "-o", "out").error
    assert "none.txt does not exist" in run(*say, "-f", "none.txt").error
    assert "Standard input is not UTF-8" in run(*say, "-", stdin=b"\xff").error
    assert "no letter or digit" in run(*say, "-", stdin=b" ... ").error
