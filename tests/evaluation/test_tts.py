"""Speech of the tiny model judged: voices, likeness, failures, and recordings beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.evaluation.experiment import Experiment
from llasa.evaluation.items import Item
from llasa.evaluation.tts import evaluate_tts, resynthesise, speaker
from llasa.tts.llasa import Llasa
from llasa.tts.speech import Speech
from llasa.verifiers.tokens import Length

from .tools import echo_judges, silence, write_clip

pytest.importorskip("whisper_normalizer")
TEXT = "The quick brown fox."


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


def test_systems_and_measures(tmp_path: Path, tts: Llasa) -> None:
    item = Item("one", TEXT, write_clip(tmp_path / "a.wav"))
    judges = echo_judges(TEXT, "the quick", "nothing at all like it")
    rows = evaluate_tts(
        [item], speaker(tts, 1), tts.codec, judges, Experiment(tmp_path / "o", {}, "c")
    )
    recording, resynthesis, synthesis = rows
    assert [row["system"] for row in rows] == ["recording", "resynthesis", "synthesis"]
    assert [row["measures"]["WER echo"][0] for row in rows] == [0, 2, 5]
    words = {"WER echo", "CER echo", "failures", "runaways"}
    assert set(recording["measures"]) == {*words, "SIM-r loudness"}
    assert "SIM-r loudness" not in resynthesis["measures"]
    assert {"SIM-o loudness", "SIM-r loudness", "RTF"} < set(synthesis["measures"])
    assert [row["measures"]["failures"][0] for row in (recording, synthesis)] == [0, 1]
    assert synthesis["measures"]["RTF"][1] == pytest.approx(synthesis["seconds"], abs=1e-3)
    assert synthesis["seed"] == 1
    again = tts(TEXT, seed=1).audio
    kept = read_audio(tmp_path / "o" / synthesis["audio"])
    np.testing.assert_allclose(kept.samples, again.samples, atol=1e-4)
    assert (tmp_path / "o" / "audio" / "resynthesis" / "one.flac").is_file()


def test_items_are_read_in_their_language(tts: Llasa) -> None:
    item = Item("one", "Es sind 3 Hunde.", language="de")
    spoken = speaker(tts, 3)
    np.testing.assert_array_equal(
        spoken(item).codes, tts("Es sind drei Hunde.", seed=3, normalize=False).codes
    )
    english = spoken(replace(item, language=None)).codes
    np.testing.assert_array_equal(english, tts("Es sind three Hunde.", seed=3).codes)


def test_prompts_give_the_voice(tmp_path: Path, tts: Llasa) -> None:
    prompt = write_clip(tmp_path / "p.wav", 2.0)
    item = Item("one", TEXT, prompt=prompt, prompt_text="The lazy dog jumps.")
    voice = tts.clone(prompt, "The lazy dog jumps.")
    spoken = speaker(tts, 3)(item)
    np.testing.assert_array_equal(spoken.codes, tts(TEXT, voice=voice, seed=3).codes)
    own = speaker(tts, 3)(replace(item, prompt_text=None))
    assert not np.array_equal(own.codes, spoken.codes)
    rows = evaluate_tts(
        [item], speaker(tts, 3), tts.codec, echo_judges(TEXT), Experiment(tmp_path / "o", {}, "c")
    )
    assert [row["system"] for row in rows] == ["synthesis"]  # there is no recording of the text


def test_a_continuation_opens_with_the_recording(tmp_path: Path, tts: Llasa) -> None:
    """Prompt and text are the whole text; content hears both parts, likeness only the new one."""
    item = Item("one", TEXT, write_clip(tmp_path / "a.wav", 3.0), opening=1.5)
    prompts: list[list[int]] = []
    render = tts.prompts.prompt
    spy = Llasa(tts.files, tts.vocabulary, tts.engine, tts.codec)
    spy.prompts.prompt = lambda *a, **k: prompts.append(render(*a, **k)) or prompts[-1]  # type: ignore[method-assign]
    judges = echo_judges(*[TEXT] * 3)
    run = Experiment(tmp_path / "o", {}, "c")
    rows = evaluate_tts([item], speaker(spy, 1), tts.codec, judges, run)
    recording = read_audio(tmp_path / "a.wav")
    (codes,) = tts.codec.encode([recording.samples[:24_000]], pad="none")
    assert prompts[-1] == tts.vocabulary.tts_prompt("fox.", "The quick brown", codes) or (
        prompts[-1] == tts.vocabulary.tts_prompt("brown fox.", "The quick", codes)
    )
    heard = judges.verifiers[0].recognizer.seconds  # type: ignore[attr-defined]
    assert heard == pytest.approx([3.0, 3.0, 1.5 + rows[2]["seconds"]], abs=1e-3)
    assert [row["seconds"] for row in rows[:2]] == [1.5, 1.5]
    assert "SIM-o loudness" in rows[0]["measures"]


def test_speech_that_fails_counts_as_silence(tmp_path: Path, tts: Llasa) -> None:
    def speak(item: Item) -> Speech:
        raise LlasaError("The model said nothing.")

    run = Experiment(tmp_path / "o", {}, "c")
    (row,) = evaluate_tts([Item("a", TEXT)], speak, tts.codec, echo_judges(), run, False)
    assert row["problem"] == "The model said nothing."
    silent = {"failures": (1.0, 1.0), "runaways": (0.0, 1.0)}
    assert row["measures"] == {"WER echo": (4, 4), "CER echo": (16, 16), **silent}
    assert "audio" not in row


def test_typed_and_written_lines_are_heard_as_what_is_said(tmp_path: Path, tts: Llasa) -> None:
    item = Item("a", "Back at 5:30pm", kind="time", said="Back at five thirty p m.")
    given: list[str | None] = []

    def speak(item: Item) -> Speech:
        given.append(item.text)
        return tts(item.text or "", seed=1, max_seconds=1)

    judges = echo_judges("back at 5:30 P.M.", "back at home")
    run = Experiment(tmp_path / "o", {}, "c")
    rows = evaluate_tts([item], speak, tts.codec, judges, run, written=True)
    assert [row["system"] for row in rows] == ["synthesis", "written"]
    assert given == [item.text, item.said]
    assert [row["measures"]["WER echo"] for row in rows] == [(0, 5), (3, 5)]
    for row in rows:
        assert (row["text"], row["said"], row["kind"]) == (item.text, item.said, "time")


def test_speech_that_does_not_end_has_run_away(tmp_path: Path, tts: Llasa) -> None:
    spoken = tts(TEXT, seed=1, max_seconds=1)
    cut, ended = (replace(spoken, finish_reason=reason) for reason in ("length", "stop"))
    long = replace(ended, audio=silence(Length().expected(TEXT) * 2 + 1.1))
    items = [Item(id, TEXT) for id in ("cut", "ended", "long")]
    found = iter([cut, ended, long])
    run = Experiment(tmp_path / "o", {}, "c")
    rows = evaluate_tts(items, lambda item: next(found), tts.codec, echo_judges(), run)
    assert [row["measures"]["runaways"] for row in rows] == [(1.0, 1.0), (0.0, 1.0), (1.0, 1.0)]


def test_judges_that_are_missing_stop_before_the_first_word(tmp_path: Path, tts: Llasa) -> None:
    judges = echo_judges()

    def load() -> None:
        raise LlasaError("Not installed.")

    judges.verifiers[0].load = load  # type: ignore[attr-defined]
    run = Experiment(tmp_path / "o", {}, "c")
    with pytest.raises(LlasaError, match="Not installed"):
        evaluate_tts([Item("a", TEXT)], speaker(tts), tts.codec, judges, run)


def test_resynthesis_keeps_the_length(tmp_path: Path, tts: Llasa) -> None:
    audio = read_audio(write_clip(tmp_path / "a.wav", 1.23, 24_000))
    assert resynthesise(audio, tts.codec).duration == pytest.approx(1.23, abs=1e-3)
