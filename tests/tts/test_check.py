"""Checked speech: what is heard decides, and only what is not right is spoken again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llasa
from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError
from llasa.search.result import Check
from llasa.search.strategies import Strategy, best_of_n
from llasa.tts.check import PATIENCE, Checked
from llasa.tts.llasa import Llasa
from llasa.tts.longform import speak_to_file
from llasa.verifiers.asr.base import Transcript
from llasa.verifiers.content import Content, Fault
from tests.search.tools import TEXT, task
from tests.verifiers.tools import needs_packages

pytestmark = needs_packages("whisper_normalizer")
SEEDS = (31, 32, 33)
"""With these the tiny model says enough to be heard, in every try."""
SEED = SEEDS[1]


class Script:
    """Hears in its n-th clip what the test says; the last word for all that follow."""

    name = family = "script"
    language = "en"

    def __init__(self, *heard: str) -> None:
        self.heard = heard
        self.clips: list[Samples] = []

    def load(self) -> None:
        """Nothing to open."""

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        self.clips += clips
        places = range(len(self.clips) - len(clips), len(self.clips))
        return [Transcript(self.heard[min(n, len(self.heard) - 1)], -0.1) for n in places]


def checked(*heard: str, tries: int = 8) -> Checked:
    return Checked(tries, Content(Script(*heard)))


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


@pytest.fixture
def hearing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes `check=True` hear what the test says."""

    def hear(tts: Llasa, *heard: str) -> None:
        monkeypatch.setattr(
            "llasa.tts.check.Checked", lambda tries, language: checked(*heard, tries=tries)
        )

    return hear


def test_what_is_right_at_once_is_the_speech_without_a_check(tts: Llasa) -> None:
    result = checked("the lazy dog speaks")(task(tts, seed=SEED))
    assert result.check is not None
    assert (result.check.ok, result.check.tries, result.check.missing) == (True, 1, ())
    speech = tts(TEXT, voice="ann", seed=SEED)
    np.testing.assert_array_equal(result.best.codes, speech.codes)
    np.testing.assert_array_equal(result.best.audio.samples, speech.audio.samples)


def test_the_first_right_take_ends_it(tts: Llasa) -> None:
    result = checked("the lazy frog speaks", "the hazy dog", TEXT, "never heard")(task(tts, SEED))
    assert result.best.heard["script"] == TEXT
    assert result.check is not None
    assert (result.check.ok, result.check.tries, result.check.heard) == (True, 3, TEXT)
    assert len({take.seed for take in result.candidates}) == 3


def test_only_sentences_that_are_not_right_are_spoken_again(tts: Llasa) -> None:
    search = checked(TEXT, "The lazy frog speaks.", TEXT, TEXT)
    results = search.many([task(tts, seed=seed) for seed in SEEDS])
    assert [r.check.tries for r in results if r.check] == [1, 2, 1]
    assert all(r.check and r.check.ok for r in results)
    assert [r.compute.verifiers["script"].candidates for r in results] == pytest.approx([1, 2, 1])
    alone = checked("The lazy frog speaks.", TEXT)(task(tts, seed=SEEDS[1]))
    assert [t.codes.tolist() for t in alone.candidates] == [
        t.codes.tolist() for t in results[1].candidates
    ]


def test_the_best_is_kept_where_none_is_right(tts: Llasa) -> None:
    result = checked("a b c d", "the lazy dog", "x y z w", tries=3)(task(tts, SEED))
    assert result.check is not None
    assert (result.check.ok, result.check.tries) == (False, 3)
    assert (result.check.heard, result.check.missing) == ("the lazy dog", ("speaks",))
    assert result.check.warning() == (
        "'The lazy dog speaks.' is not right after 3 tries; not heard: speaks "
        "(heard: 'the lazy dog')."
    )


def test_the_same_mistake_twice_is_the_models_or_the_recognisers(tts: Llasa) -> None:
    result = checked("The lazy dogg speaks.")(task(tts, SEED))
    assert result.check is not None
    assert result.check.tries == 2


def test_tries_that_do_not_help_are_few(tts: Llasa) -> None:
    wrong = [f"The lazy {word} speaks {word}." for word in ("cat", "cow", "pig", "hen", "ape")]
    result = checked("The lazy dock speaks.", *wrong)(task(tts, SEED))
    assert result.check is not None
    assert result.check.tries == 1 + PATIENCE


def test_what_does_not_end_is_not_right(endless: Path) -> None:
    model = Llasa.load(endless, device="cpu")
    result = checked(TEXT, tries=3)(task(model))
    assert result.check is not None
    assert (result.check.ok, result.check.tries) == (False, 3)
    short = model.task(model.request(TEXT, seed=1, max_seconds=0.5), 0)
    cut = checked(TEXT)(short).check
    assert cut is not None
    assert (cut.ok, cut.tries) == (True, 1)  # as it was wanted
    begun = checked("The lazy do", TEXT)(short).check
    assert begun is not None
    assert (begun.ok, begun.tries, begun.missing) == (True, 1, ())
    silent = checked("", TEXT)(short).check
    assert silent is not None
    assert (silent.ok, silent.tries) == (False, 1)
    other = checked("The hazy dog spe", TEXT)(short).check
    assert other is not None
    assert (other.ok, other.tries, other.missing) == (False, 1, ("lazy",))


def test_what_cannot_be_heard_is_said(tts: Llasa) -> None:
    result = checked(TEXT)(task(tts, SEED, "Oh!"))
    assert result.check is not None
    assert result.check.tries >= 1
    nothing = checked("x")(task(tts, SEED, "Um, uh."))  # the normaliser drops fillers
    assert nothing.check is not None
    assert (nothing.check.ok, nothing.check.tries) == (True, 1)
    unheard = Check("A fox.", False, 2, "", (), "The audio is too short.")
    assert unheard.warning() == "'A fox.' could not be checked: The audio is too short."


def test_nothing_said(mute: Path) -> None:
    model = Llasa.load(mute, device="cpu")
    with pytest.raises(LlasaError, match="said nothing"):
        model.speak([model.request("A fox.", seed=1)], checked("A fox."))


def test_faults() -> None:
    content = Content(Script(""))
    assert content.faults("It costs $42.50.", "it costs forty two dollars and fifty cents") == []
    assert content.faults("Go to the website.", "go to the web site") == []
    assert content.faults("Go to the website.", "go to a web") == [Fault("the website", "a web")]
    assert content.faults("Go.", "go now") == [Fault("", "now")]
    assert content.faults("It takes ten minutes for two.", "3. It takes 10 min, four to.") == []
    assert content.faults("Somebody left a bag.", "Some body left a bug.") == [Fault("bag", "bug")]
    assert content.faults("Go.", "Go, 2.") == [Fault("", "2")]
    assert content.faults("Ha ha ha ha!", "Haha ha ha.") == []
    assert content.faults("Two dogs.", "3 dogs.") == [Fault("2", "3")]


FIRST = "The lazy dog speaks to a fox that has never in all its life been spoken to by any dog."
SECOND = "And then the fox jumps over the dog again and again, as it was told to by somebody else."
LONG = f"{FIRST} {SECOND}"


def test_a_call_tells_each_sentence(tts: Llasa, hearing: Callable[..., None]) -> None:
    hearing(tts, FIRST, "And then.", SECOND)
    speech = tts(LONG, voice="ann", seed=SEED, check=True)
    assert [(c.text, c.ok, c.tries) for c in speech.checks] == [(FIRST, True, 1), (SECOND, True, 2)]
    assert speech.warnings == ()
    assert speech.to_dict()["checks"] == [check.to_dict() for check in speech.checks]
    hearing(tts, "And then.")
    wrong = tts(LONG, voice="ann", seed=SEED, check=True, tries=1)
    assert [check.ok for check in wrong.checks] == [False, False]
    assert len(wrong.warnings) == 2
    assert "not heard" in wrong.warnings[0]


def test_what_is_shown_is_the_users_own_text(
    tts: Llasa, endless: Path, hearing: Callable[..., None]
) -> None:
    text = "Dr. Smith\npaid $12."
    hearing(tts, "doctor smith paid twelve dollars")
    speech = tts(text, voice="ann", seed=SEED, check=True)
    shown = ["Dr. Smith paid $12."]
    assert [(check.text, check.ok) for check in speech.checks] == [(*shown, True)]
    assert [part.text for part in speech.search] == shown
    model = Llasa.load(endless, device="cpu")
    assert model("Dr. Who.", seed=1).warnings[0].startswith("'Dr. Who.' did not end by itself")


def test_a_stream_is_checked_a_sentence_at_a_time(tts: Llasa, hearing: Callable[..., None]) -> None:
    heard = (FIRST, "And then.", "And so.", "And on.")
    hearing(tts, *heard)
    speech = tts(LONG, voice="ann", seed=SEED, check=True)
    hearing(tts, *heard)
    chunks = list(tts.stream(LONG, voice="ann", seed=SEED, check=True))
    assert tuple(chunk.check for chunk in chunks) == speech.checks
    assert [chunk.warnings for chunk in chunks] == [(), speech.warnings]
    np.testing.assert_array_equal(
        np.concatenate([chunk.samples for chunk in chunks]), speech.audio.samples
    )


def test_long_texts_keep_their_checks(
    tts: Llasa, hearing: Callable[..., None], tmp_path: Path
) -> None:
    hearing(tts, FIRST, "And then.")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    settings: dict[str, Any] = {"voice": "ann", "seed": SEED, "check": True, "tries": 2}
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(tts, LONG, tmp_path / "a.wav", progress=stop, **settings)
    hearing(tts, "And then.")
    speech = speak_to_file(tts, LONG, tmp_path / "a.wav", **settings)
    assert speech.resumed == 1
    assert [(check.text, check.ok) for check in speech.checks] == [(FIRST, True), (SECOND, False)]
    assert len(speech.warnings) == 1


def test_best_of_many_by_a_number(tts: Llasa, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def plan(name: str, n: int, language: str) -> Strategy:
        asked.append((name, n, language))
        return partial(best_of_n, n=n, verify="length")

    monkeypatch.setattr("llasa.tts.check.plan", plan)
    monkeypatch.setattr("llasa.tts.check.Selector.load", lambda self: [])
    speech = tts(TEXT, seed=1, best_of=3)
    assert asked == [("best-of", 3, "en")]
    assert len(speech.search[0].candidates) == 3
    list(tts.stream(TEXT, seed=1, best_of=2))
    assert asked[1:] == [("best-of", 2, "en")]
    for more in ({"check": True}, {"search": best_of_n}):
        with pytest.raises(LlasaError, match="Give one of search, best_of and check=True"):
            tts(TEXT, best_of=2, **more)  # type: ignore[arg-type]


def test_bad_settings(tts: Llasa) -> None:
    with pytest.raises(LlasaError, match="tries is 0"):
        Checked(0)
    with pytest.raises(LlasaError, match="length does not listen to words"):
        Checked(verify="length")
    with pytest.raises(LlasaError, match="Give one of search"):
        tts(TEXT, check=True, search=best_of_n)
    with pytest.raises(LlasaError, match="tries belongs to check=True"):
        tts.stream(TEXT, tries=3)
    assert llasa.Checked is Checked
