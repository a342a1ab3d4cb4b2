"""The parts of the nano recipe that need no package beyond ours."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from llasa.audio.audio import Audio, read_audio
from llasa.cli.main import command_parser
from llasa.codec.config import CodecConfig
from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.models.folder import ModelConfig
from llasa.models.voice import Voice
from llasa.text import PLAIN, normalize_text
from llasa.training.codec.settings import CodecTraining
from llasa.training.config import load_settings
from llasa.training.lm.settings import LMTraining
from tests.tiny_model import CODEC, tiny_codec, tone, write_tiny_model

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts of the recipe import each other by name."""
    monkeypatch.syspath_prepend(RECIPES / "nano")


@pytest.fixture
def tiny_llama() -> Llama:
    torch.manual_seed(0)
    return Llama(LlamaConfig(32, 16, 40, 2, 2, 1, 8))


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("a treble row of red beads", "A treble row of red beads."),
        ("  “Who's there?”  ", "Who's there?"),
        ("spaced , out ; words", "Spaced, out; words."),
        ("in 1984 it rained", None),
        ("the NATO treaty", None),
        ("see fig.a for more", None),
        ("word " * 31, None),
        ("", None),
    ],
)
def test_sentences_are_cleaned_or_dropped(raw: str, wanted: str | None) -> None:
    assert import_module("texts").clean(raw) == wanted


def test_trim_keeps_a_margin_around_the_speech() -> None:
    audio = np.zeros(24_000, np.float32)
    audio[6000:10_000] = 0.5
    trimmed, cut = import_module("speech").trim(audio)
    assert cut == (6000 - 1440) / 24_000
    assert len(trimmed) == 4000 + 2 * 1440 - 1
    assert np.abs(trimmed).max() == 0.5


def test_words_are_timed_by_their_phonemes() -> None:
    """Ah, no: pad 2, two phonemes of 4, comma 6, pause 1, two phonemes of 3 and 5, full stop 7."""
    ends = np.cumsum([2, 4, 4, 6, 1, 3, 5, 7, 1.0])
    times = import_module("timed_hibari").word_times("Ah, no.", "ɑh, nO.", ends)
    np.testing.assert_allclose(times, [(0, 2), (2, 10), (4, 17), (6, 25)])


def test_words_without_partners_are_timed_as_one() -> None:
    word_times = import_module("timed_hibari").word_times
    times = word_times("In 1984.", "ɪn tu.tO.", np.arange(1, 12))
    assert [place for place, _ in times] == [0, 2, 3, 7]
    times = word_times("Sci-fi?", "sIfI?", np.arange(1, 8))
    np.testing.assert_allclose(times, [(0, 1), (6, 5)])


def test_stress_belongs_to_the_phone_after_it() -> None:
    times = import_module("timed_hibari").phone_times("nˈO, ˌ", np.arange(8) / 2)
    assert [phone for phone, _ in times] == [" ", "n", "O", "O", " ", " ", " ", " "]
    assert [end for _, end in times] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]


def test_times_move_with_the_sound() -> None:
    times = import_module("timed_hibari").Times([(0, 0.1), (4, 0.5)], [("n", 0.2)])
    assert times.moved(-0.25, slower=2) == ([(0, 0.0), (4, 0.75)], [("n", 0.15)])


@pytest.mark.parametrize("recipe", ["nano", "quickstart"])
def test_settings_of_the_recipes_are_valid(recipe: str) -> None:
    codec = load_settings(CodecTraining, RECIPES / recipe / "codec.yaml", [])
    CodecConfig.from_dict(codec.codec)
    load_settings(LMTraining, RECIPES / recipe / "lm.yaml", [])


def test_later_stages_of_the_codec() -> None:
    codes = load_settings(CodecTraining, RECIPES / "nano" / "codes.yaml", [])
    assert not codes.loss.audible
    codec = load_settings(CodecTraining, RECIPES / "nano" / "codec.yaml", ["init=codes"])
    assert codec.data.phones == codes.data.phones
    assert codec.codec["output_rate"] == 24_000
    assert not codec.loss.adversarial
    lm = load_settings(LMTraining, RECIPES / "nano" / "lm.yaml", [])
    assert lm.code_levels == codes.codec["levels"]
    decoder = load_settings(CodecTraining, RECIPES / "nano" / "decoder.yaml", ["init=codec"])
    assert decoder.freeze_encoder
    assert decoder.loss.adversarial
    assert decoder.loss.mel_windows == codec.loss.mel_windows


def test_widened_clips_are_other_speakers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tone, which is lower where it lasts longer."""
    seconds = np.arange(16_000) / 16_000
    sound = 0.3 * np.sin(2 * np.pi * 500 * seconds).astype(np.float32)
    Audio(sound, 16_000).write(tmp_path / "a.wav")
    clips = [Utterance(tmp_path / "a.wav", speaker="ann"), Utterance(tmp_path / "b.wav")]
    write_manifest(tmp_path / "clips.jsonl", clips)
    command = ["widen.py", str(tmp_path / "clips.jsonl"), str(tmp_path / "wide"), "--clips", "1"]
    monkeypatch.setattr(sys, "argv", command)
    import_module("widen").main()
    wide = read_manifest(tmp_path / "wide" / "manifest.jsonl")
    assert [clip.speaker for clip in wide] == ["ann-12", "ann-6", "ann+6", "ann+12"]
    lengths = [read_audio(clip.path).duration for clip in wide]
    np.testing.assert_allclose(lengths, [1 / 0.88, 1 / 0.94, 1 / 1.06, 1 / 1.12], rtol=1e-3)
    spectra = [np.abs(np.fft.rfft(read_audio(clip.path).samples, 24_000)) for clip in wide]
    tones = [int(spectrum.argmax()) for spectrum in spectra]
    np.testing.assert_allclose(tones, [440, 470, 530, 560], atol=1)


def test_clips_with_other_words_are_left_out(
    tmp_path: Path,
    speech_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clips = read_manifest(speech_data / "kathleen.test.jsonl")[:3]
    wrong = replace(clips[1], text=clips[2].text)
    write_manifest(tmp_path / "clips.jsonl", [clips[0], wrong, replace(clips[2], text=None)])
    command = ["check.py", str(tmp_path / "clips.jsonl"), str(tmp_path / "good.jsonl")]
    monkeypatch.setattr(sys, "argv", command)
    for _ in range(2):  # the second time from its notes
        import_module("check").main()
        assert "1 of 3 clips kept, 2 dropped" in capsys.readouterr().out
        assert [clip.path for clip in read_manifest(tmp_path / "good.jsonl")] == [clips[0].path]
    assert len((tmp_path / "clips.heard.jsonl").read_text().splitlines()) == 3


def test_voices_of_the_packaged_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in (("short", 2.0), ("fits", 5.0)):
        tone(seconds).write(tmp_path / f"{name}.wav")
    clips = [
        Utterance(tmp_path / f"{name}.wav", text="A fox runs fast.", seconds=seconds)
        for name, seconds in (("short", 2.0), ("fits", 5.0))
    ]
    write_manifest(tmp_path / "ann.jsonl", clips)
    write_manifest(tmp_path / "bob.jsonl", clips[:1])
    tiny_codec(config=replace(CODEC, speaker_size=8)).save(tmp_path / "codec")
    command = ["voices.py", str(tmp_path / "codec"), str(tmp_path / "voices")]
    make = import_module("voices").main
    monkeypatch.setattr(sys, "argv", [*command, f"ann={tmp_path / 'ann.jsonl'}"])
    make()
    assert "ann: 5.0 s, A fox runs fast." in capsys.readouterr().out
    assert Voice.load(tmp_path / "voices" / "ann.safetensors").speaker_embedding is not None
    monkeypatch.setattr(sys, "argv", [*command, f"bob={tmp_path / 'bob.jsonl'}"])
    with pytest.raises(SystemExit, match=r"has no clip of 4 to 8 s"):
        make()


def test_nano_speaks_fifty_tokens_a_second_from_4096_codes() -> None:
    settings = load_settings(CodecTraining, RECIPES / "nano" / "codes.yaml", [])
    config = CodecConfig.from_dict(settings.codec)
    assert (config.frame_rate, config.codebook_size) == (50, 4096)


@pytest.mark.slow
def test_takes_become_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parts of a list, one of them begun before, and pairs whose better take is better."""
    takes, pairs = import_module("takes"), import_module("pairs")
    tiny = write_tiny_model(tmp_path, ModelConfig("solo", cloning=False, form=PLAIN))
    monkeypatch.setattr(takes, "VERIFIER", "length")
    texts = tmp_path / "texts.txt"
    said = [f"The quick brown fox jumps over {n} dog." for n in ("a", "her", "his", "my")]
    odd = "- - - - - -"
    texts.write_text("\n".join([*said[:-1], f'"{said[-1]}"', odd]) + "\n")
    files = []
    for part in ("0/2", "1/2", "0/2"):
        files.append(tmp_path / f"{part[0]}.jsonl")
        flags = ["--model", str(tiny), "--takes", "6", "--part", part]
        monkeypatch.setattr(sys, "argv", ["takes.py", str(texts), str(files[-1]), *flags])
        takes.main()
    rows = [json.loads(line) for file in files[:2] for line in file.read_text().splitlines()]
    assert sorted(row["text"] for row in rows) == sorted(texts.read_text().splitlines())
    assert sorted(row["said"] for row in rows) == ["", *said]
    assert all((0 < len(row["takes"]) <= 6) == (row["text"] != odd) for row in rows)
    out = tmp_path / "pairs.jsonl"
    flags = [str(out), *map(str, files[:2]), "--good=-9", "--least", "0.05"]
    monkeypatch.setattr(sys, "argv", ["pairs.py", *flags])
    pairs.main()
    made = [json.loads(line) for line in out.read_text().splitlines()]
    scores = {
        (row["said"], tuple(take["codes"])): take["score"] for row in rows for take in row["takes"]
    }
    assert 0 < len(made) <= 8
    for pair in made:
        better, worse = (scores[pair["text"], tuple(pair[k])] for k in ("chosen", "rejected"))
        assert better - worse >= 0.05
    monkeypatch.setattr(sys, "argv", ["pairs.py", *flags[:-1], "99"])
    with pytest.raises(SystemExit, match="No text has takes that differ enough"):
        pairs.main()


def test_pairs_take_each_take_once() -> None:
    pairs = import_module("pairs")
    paired = pairs.paired
    takes = [pairs.Take([1], score) for score in (-0.5, None, 0.0, -0.1, -0.9, -0.2)]
    couples = [(a.score, b.score) for a, b in paired(takes, 9, 0.05, -0.3)]
    assert couples == [(0.0, -0.9), (-0.1, -0.5)]
    assert paired(takes[:2], 9, 0.05, -1.0) == []


def test_what_the_model_can_do_is_also_asked_of_typed_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluate, calls, codes = import_module("evaluate"), [], iter([0, 3, 2])
    monkeypatch.setattr(evaluate, "llasa", lambda command: calls.append(command) or next(codes))
    assert evaluate.main(["--peers", "x=x.jsonl"]) == 3
    heldout, typed = (command_parser("eval").parse(command[1:]) for command in calls)
    assert (heldout.manifest, heldout.limit, heldout.peers) == (
        *("heldout/manifest.jsonl", 200, ["x=x.jsonl"]),
    )
    assert typed.written
    assert Path(typed.manifest) == RECIPES / "search" / "everyday.jsonl"
    assert heldout.output != typed.output
    assert evaluate.main([]) == 2  # typed lines are not reached
    assert len(calls) == 3


def test_everyday_language_is_written_out() -> None:
    everyday, texts = import_module("everyday"), import_module("texts")
    typed = list(everyday.everyday(700))
    assert typed == list(everyday.everyday(700))
    assert not any("{" in line for line in typed)
    assert any(char.isdigit() for line in typed for char in line)
    said = [text for line in typed if (text := texts.clean(PLAIN(normalize_text(line))))]
    assert len(said) > 0.98 * len(typed)
    assert not any(char.isdigit() for text in said for char in text)
