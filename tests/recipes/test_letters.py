"""Letters and phones: learned from the words alone."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from llasa.data.manifest import Utterance, read_manifest, write_manifest

RECIPE = Path(__file__).parents[2] / "recipes" / "nano"
if str(RECIPE) not in sys.path:
    sys.path.insert(0, str(RECIPE))

import letters  # noqa: E402

WORDS = {
    "mad": "mæd", "made": "mAd", "tap": "tæp", "tape": "tAp", "mat": "mæt", "mate": "mAt",
    "sham": "ʃæm", "shame": "ʃAm", "ash": "æʃ", "dash": "dæʃ", "has": "hæz", "hat": "hæt",
    "box": "bɑks", "tax": "tæks", "bat": "bæt", "pat": "pæt", "sat": "sæt",
    "fix": "fɪks", "mix": "mɪks", "six": "sɪks", "wax": "wæks", "ox": "ɑks",
    "dot": "dɑt", "top": "tɑp",
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> letters.LetterModel:
    return letters.LetterModel(Counter(dict.fromkeys(WORDS.items(), 2)))


@pytest.mark.parametrize(
    ("word", "made"),
    [("hat", [1, 1, 1]), ("made", [1, 1, 1, 0]), ("box", [1, 1, 2]), ("tape", [1, 1, 1, 0])],
)
def test_silent_and_double_letters(model: letters.LetterModel, word: str, made: list[int]) -> None:
    assert model.align(word, WORDS[word]) == made


def test_h_after_s_is_silent(model: letters.LetterModel) -> None:
    made = model.align("shame", "ʃAm")
    assert made is not None
    assert sorted(made[:2]) == [0, 1]
    assert made[2:] == [1, 1, 0]


def test_too_many_phones(model: letters.LetterModel) -> None:
    assert model.align("a", "æææææ") is None


def clip(text: str, phones: str) -> Utterance:
    times = tuple((phone, 0.1 * number) for number, phone in enumerate(phones, 1))
    return Utterance(Path("a.wav"), text, timing=((0, 0.0),), phones=times)


def test_times_of_letters(model: letters.LetterModel) -> None:
    """A pause, `made` with a long vowel, a pause, `hat`."""
    times = letters.letter_times(clip("“Made hat.”", " mAAd  hæt  "), model)
    places = [place for place, _ in times]
    assert places == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    expected = [0.1, 0.2, 0.4, 0.5, 0.5, 0.7, 0.8, 0.9, 1.0]
    assert [time for _, time in times] == pytest.approx(expected)


def test_words_that_do_not_pair_keep_their_times(model: letters.LetterModel) -> None:
    assert letters.letter_times(clip("In 1984.", " hæt "), model) == [(0, 0.0)]


def test_manifests_are_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, [clip(word, f" {phones} ") for word, phones in WORDS.items()])
    monkeypatch.setattr(sys, "argv", ["letters.py", str(path)])
    letters.main()
    (mad, *_), words = read_manifest(path), list(WORDS)
    assert (mad.text, mad.path.name) == (words[0], "a.wav")
    assert [place for place, _ in mad.timing] == [0, 1, 2, 3]
