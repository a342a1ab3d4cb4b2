"""Where the words of a prompt stand, and phones among codes."""

from __future__ import annotations

import pytest

from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary
from tests.tiny_model import TEXTS


@pytest.mark.parametrize("style", ["compact", "llama3"])
def test_places_of_text(style: str, compact: Vocabulary, llama3: Vocabulary) -> None:
    vocabulary = {"compact": compact, "llama3": llama3}[style]
    text = "The lazy dog, é!"
    for lead in (None, "The fox."):
        codes = None if lead is None else [1, 2]
        prompt = vocabulary.tts_prompt(text, lead, codes, speaker="ann")
        places = vocabulary.places_of_text(text, lead, speaker="ann")
        assert vocabulary.decode_text(prompt[place] for place, _, _ in places) == text
        assert max(stop for _, _, stop in places) == len(text)
        covered: set[int] = set()
        for place, start, stop in places:
            said = vocabulary.decode_text([prompt[place]])
            assert text[start:stop].strip() == said or not said.isascii()
            covered.update(range(start, stop))
        assert {n for n, char in enumerate(text) if not char.isspace()} <= covered


def test_a_space_before_all_texts_stands_for_nothing() -> None:
    tokenizer = train_bpe(TEXTS, 300)
    vocabulary = Vocabulary.extend(tokenizer, 64)
    first, *others = vocabulary.places_of_text("The dog.")
    spaced = vocabulary.decode_text([vocabulary.encode_text("The dog.")[0]]) == ""
    assert (first[1:] == (0, 0)) == spaced
    assert [span for _, *span in others if span == [0, 0]] == []


def test_named_ids_and_back() -> None:
    vocabulary = Vocabulary.extend(train_bpe(TEXTS, 300), 64, phones=("a", "b", " "))
    phones = [(" ", 0), ("a", 0), ("b", 2), ("a", 3)]
    ids = vocabulary.named_ids([5, 6, 7, 8], phones)
    assert vocabulary.ids_to_codes(ids).tolist() == [5, 6, 7, 8]
    assert vocabulary.ids_to_phones(ids) == phones
    row, _ = vocabulary.interleaved([5, 6, 7, 8], [("a", 2.0), ("b", 3.0), ("a", 4.0)])
    assert row == vocabulary.named_ids([5, 6, 7, 8], phones[1:]).tolist()
    assert vocabulary.named_ids([5], []).tolist() == vocabulary.codes_to_ids([5]).tolist()
