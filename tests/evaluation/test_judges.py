"""Error rates against jiwer, likeness to the right clips, silence, and families that coincide."""

from __future__ import annotations

import numpy as np
import pytest

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.evaluation.judges import JUDGES, Judges
from llasa.evaluation.statistics import estimate
from llasa.verifiers import Candidate, find_verifier
from llasa.verifiers.content import Content
from tests.tiny_model import tone

from .tools import Echo, Loudness, echo_judges, silence

TEXTS = [
    "The cat, said Mr. Jones, isn't here.",
    "Forty two birds flew over the colour field.",
    "Yes.",
]
HEARD = [
    "the cat said mister jones is not there",
    "42 birds flew over over color field",
    "no yes no",
]


def test_corpus_rates_are_those_of_jiwer() -> None:
    jiwer = pytest.importorskip("jiwer")
    normal = pytest.importorskip("whisper_normalizer.english").EnglishTextNormalizer()
    judges = echo_judges(*HEARD)
    found = [judges(Candidate(text=text, audio=tone(1.0))) for text in TEXTS]
    words = [normal(text) for text in TEXTS], [normal(text) for text in HEARD]
    wer = estimate([f.measures["WER echo"] for f in found]).value
    assert wer == pytest.approx(jiwer.wer(*words))
    letters = [[" ".join(text.replace(" ", "")) for text in side] for side in words]
    cer = estimate([f.measures["CER echo"] for f in found]).value
    assert cer == pytest.approx(jiwer.wer(*letters))
    assert [f.heard["echo"] for f in found] == HEARD
    assert found[2].error_rate == 2.0


def test_chinese_has_no_words() -> None:
    pytest.importorskip("whisper_normalizer")
    judges = Judges([Content(Echo("今天天气很号", language="zh"))], "zh")
    found = judges(Candidate(text="今天天气很好。", audio=tone(1.0)))
    assert found.measures == {"CER echo": (1.0, 6.0)}
    assert found.error_rate == pytest.approx(1 / 6)


@pytest.mark.parametrize("audio", [silence(1.0), Audio(np.zeros(0, np.float32), 16_000)])
def test_in_silence_everything_is_wrong(audio: Audio) -> None:
    pytest.importorskip("whisper_normalizer")
    judges = echo_judges("never asked")
    found = judges(Candidate(text="Two words.", audio=audio, prompt=tone(1.0)))
    assert found.measures["WER echo"] == (2.0, 2.0)
    assert found.heard["echo"] == ""
    assert "SIM loudness" in found.unscored


def test_texts_without_words_are_unscored() -> None:
    pytest.importorskip("whisper_normalizer")
    found = echo_judges("hm")(Candidate(text="...", audio=tone(1.0)))
    assert found.unscored == {"echo": "its text has no words"}


def test_likeness_to_the_prompt_and_to_its_resynthesis() -> None:
    loud, soft = tone(1.0), Audio(tone(1.0).samples / np.float32(10), 16_000)
    judges = Judges([Loudness()])
    both = judges(Candidate(audio=soft, prompt=loud), soft).measures
    assert both["SIM-o loudness"][0] == pytest.approx(-20, abs=0.1)
    assert "SIM-r loudness" not in both  # the very same audio
    twin = Audio(soft.samples.copy(), 16_000)
    assert judges(Candidate(audio=soft, prompt=loud), twin).measures["SIM-r loudness"][0] == 0
    assert list(judges(Candidate(audio=soft, prompt=loud)).measures) == ["SIM loudness"]


def test_an_opening_is_heard_by_content_alone() -> None:
    pytest.importorskip("whisper_normalizer")
    echo = Echo("hello there")
    judges = Judges([Content(echo), Loudness()])
    audio, opening = tone(1.0), Audio(tone(0.5, 24_000).samples * 0, 24_000)
    found = judges(Candidate("Hello there.", audio, prompt=tone(1.0)), opening=opening)
    assert echo.seconds == [1.5]
    assert found.measures["SIM loudness"][0] == 0


def test_families_that_chose_are_listed_apart_and_warned_of() -> None:
    judges = Judges("whisper,ge2e,distillmos", chosen_by="moonshine,ge2e")
    assert judges.families == ["whisper", "ge2e", "distillmos"]
    assert judges.choosing_families == ["moonshine", "ge2e"]
    (warning,) = judges.warnings
    assert "ge2e" in warning
    assert Judges(JUDGES, chosen_by="content,speaker").warnings == []


def test_another_size_of_a_family_is_still_that_family() -> None:
    judges = Judges("whisper", chosen_by=[find_verifier("whisper:openai/whisper-tiny")])
    assert len(judges.warnings) == 1


def test_judges_must_hear_the_language() -> None:
    with pytest.raises(LlasaError, match="English only"):
        Judges("moonshine", "de")


def test_judges_that_were_never_compared_with_the_original_say_so() -> None:
    judges = Judges("wavlm:w.pth,utmos:u.pt,dnsmos", chosen_by="wavlm:w.pth")
    biased, first, second = judges.warnings
    assert "also chose" in biased
    assert first.startswith("The judge wavlm:w.pth runs published weights in a network of our own")
    assert second.startswith("The judge utmos:u.pt ")
