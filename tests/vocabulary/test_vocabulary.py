"""Ids, prompts and rows against the released facts, and against Transformers as an oracle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from llasa.base.errors import LlasaError
from llasa.vocabulary.rows import IGNORE
from llasa.vocabulary.tokenizer import CONTROL_TOKENS, HEADER_TOKENS, train_bpe
from llasa.vocabulary.vocabulary import Vocabulary

from .tools import spoken_phones

PROMPT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    "Convert the text to speech:"
    "<|TEXT_UNDERSTANDING_START|>{text}<|TEXT_UNDERSTANDING_END|>"
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{speaker}"
    "<|SPEECH_GENERATION_START|>{speech}"
)
TEMPLATE = (
    "{{ '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>' }}"
    "{%- for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
)

EOT = 128_009
START, END = 128_260, 128_261


def render(vocabulary: Vocabulary, ids: list[int]) -> str:
    """The ids as one string, every header, control and speech token written out."""
    marks = {id_: name for name, id_ in vocabulary.added_tokens.items()}
    marks |= dict(enumerate(CONTROL_TOKENS, vocabulary.base_size))
    found, start = vocabulary.speech_start, 0
    pieces: list[str] = []
    for stop, id_ in enumerate([*ids, vocabulary.size]):
        if id_ in marks or id_ >= found:
            pieces.append(
                vocabulary.text_tokenizer.decode(ids[start:stop], skip_special_tokens=False)
            )
            pieces.append(marks.get(id_) or f"<|s_{id_ - found}|>")
            start = stop + 1
    return "".join(pieces[:-1])


def test_released_ids(llama3: Vocabulary) -> None:
    ids = [
        llama3.control_id("TEXT_GENERATION_START"),
        llama3.control_id("TEXT_GENERATION_END"),
        llama3.control_id("TEXT_UNDERSTANDING_START"),
        llama3.control_id("TEXT_UNDERSTANDING_END"),
        llama3.control_id("SPEECH_GENERATION_START"),
        llama3.control_id("SPEECH_GENERATION_END"),
        llama3.control_id("SPEECH_UNDERSTANDING_START"),
        llama3.control_id("SPEECH_UNDERSTANDING_END"),
    ]
    assert ids == list(range(128_256, 128_264))
    assert render(llama3, ids) == "".join(CONTROL_TOKENS)
    assert (llama3.speech_start, llama3.end, llama3.eot) == (128_264, END, EOT)
    assert (llama3.size, llama3.style) == (193_800, "llama3")
    codes = np.array([0, 1, 65_535])
    assert llama3.codes_to_ids(codes).tolist() == [128_264, 128_265, 193_799]
    assert llama3.ids_to_codes(llama3.codes_to_ids(codes)).tolist() == codes.tolist()


def test_prompts_read_as_released(llama3: Vocabulary) -> None:
    plain = llama3.tts_prompt("The lazy dog.")
    assert render(llama3, plain) == PROMPT.format(text="The lazy dog.", speaker="", speech="")
    clone = llama3.tts_prompt("The dog.", prompt_text="A fox.", prompt_codes=[7, 65_535])
    assert render(llama3, clone) == PROMPT.format(
        text="A fox. The dog.", speaker="", speech="<|s_7|><|s_65535|>"
    )
    named = llama3.tts_prompt("The dog.", speaker="kore")
    assert render(llama3, named) == PROMPT.format(
        text="The dog.", speaker="Speaker kore", speech=""
    )
    asr = render(llama3, llama3.asr_prompt([3]))
    assert "Convert the speech to text:<|SPEECH_UNDERSTANDING_START|><|s_3|>" in asr
    assert asr.endswith("<|end_header_id|>\n\n<|TEXT_GENERATION_START|>")


@pytest.mark.parametrize("text", ["The quick brown fox.", " two  spaces ", "Größe 12.5°", "你好"])
def test_prompt_equals_transformers_chat_template(
    llama3: Vocabulary, llama3_base: Tokenizer, text: str
) -> None:
    """The release builds its prompt with apply_chat_template over add_tokens."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(llama3_base.to_str()), chat_template=TEMPLATE
    )
    tokenizer.add_tokens([*CONTROL_TOKENS, *(f"<|s_{code}|>" for code in range(100))])
    wrapped = f"<|TEXT_UNDERSTANDING_START|>{text}<|TEXT_UNDERSTANDING_END|>"
    chat = [
        {"role": "user", "content": "Convert the text to speech:" + wrapped},
        {"role": "assistant", "content": "<|SPEECH_GENERATION_START|><|s_5|><|s_99|>"},
    ]
    ids = tokenizer.apply_chat_template(
        chat, tokenize=True, continue_final_message=True, return_dict=False
    )
    assert llama3.tts_prompt(text) == ids[:-2]
    first, _, rest = text.partition(" ")
    if rest:
        assert llama3.tts_prompt(rest, prompt_text=first, prompt_codes=[5, 99]) == ids


def expanded(base: Tokenizer, codes: int) -> Tokenizer:
    """A tokenizer as the release made it: everything through add_tokens."""
    tokenizer = Tokenizer.from_str(base.to_str())
    tokenizer.add_tokens([*CONTROL_TOKENS, *(f"<|s_{code}|>" for code in range(codes))])
    return tokenizer


@pytest.fixture(scope="module")
def released(llama3_base: Tokenizer) -> Tokenizer:
    """The tokenizer of the released models."""
    return expanded(llama3_base, 65_536)


def test_released_tokenizer_parses_our_prompts(llama3: Vocabulary, released: Tokenizer) -> None:
    assert released.get_vocab_size() == 193_800
    assert released.token_to_id("<|s_65535|>") == 193_799
    prompt = llama3.tts_prompt("The dog.", prompt_text="A fox.", prompt_codes=[0, 65_535])
    assert released.encode(render(llama3, prompt), add_special_tokens=False).ids == prompt
    assert released.decode(prompt[-2:], skip_special_tokens=True) == "<|s_0|><|s_65535|>"


def test_compact_prompts(compact: Vocabulary) -> None:
    assert (compact.style, compact.base_size, compact.size) == ("compact", 300, 300 + 8 + 64)
    assert render(compact, compact.tts_prompt("The dog.")) == (
        "<|TEXT_UNDERSTANDING_START|> The dog.<|TEXT_UNDERSTANDING_END|><|SPEECH_GENERATION_START|>"
    )
    assert render(compact, compact.tts_prompt("Fox", speaker="ann")) == (
        "<|TEXT_UNDERSTANDING_START|> Fox<|TEXT_UNDERSTANDING_END|> Speaker ann"
        "<|SPEECH_GENERATION_START|>"
    )
    assert render(compact, compact.asr_prompt([1, 63])) == (
        "<|SPEECH_UNDERSTANDING_START|><|s_1|><|s_63|><|SPEECH_UNDERSTANDING_END|>"
        "<|TEXT_GENERATION_START|>"
    )
    # One tokenization inside and at the start of a text.
    assert compact.encode_text("dog dog") == compact.encode_text("dog") * 2


@pytest.mark.parametrize(
    "text", ["<|s_5|>", "a<|SPEECH_GENERATION_END|>b", "<|eot_id|>", "<|begin_of_text|> hi"]
)
def test_text_cannot_inject_tokens(llama3: Vocabulary, compact: Vocabulary, text: str) -> None:
    for vocabulary, text_ids in ((llama3, 128_000), (compact, compact.base_size)):
        ids = vocabulary.encode_text(text)
        assert max(ids) < text_ids
        assert vocabulary.decode_text(ids) == text
        prompt = vocabulary.tts_prompt(text, speaker=text)
        harmless = vocabulary.tts_prompt("a", speaker="b")
        assert [i for i in prompt if i >= text_ids] == [i for i in harmless if i >= text_ids]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back(compact: Vocabulary, text: str) -> None:
    ids = compact.encode_text(text)
    assert all(0 <= id_ < compact.base_size for id_ in ids)
    assert compact.decode_text(ids) == text.strip()


def test_released_folder_loads(llama3: Vocabulary, released: Tokenizer, tmp_path: Path) -> None:
    """A tokenizer.json as the release wrote it, no file of ours."""
    released.save(str(tmp_path / "tokenizer.json"))
    loaded = Vocabulary.load(tmp_path)
    assert (loaded.base_size, loaded.codebook_size, loaded.size) == (128_256, 65_536, 193_800)
    assert loaded.style == "llama3"
    assert loaded.tts_prompt("The dog.") == llama3.tts_prompt("The dog.")


def test_save_and_load(compact: Vocabulary, tmp_path: Path) -> None:
    compact.save(tmp_path)
    again = Vocabulary.load(tmp_path)
    prompt = compact.tts_prompt("The dog.", "A fox.", [1, 2])
    assert again.tts_prompt("The dog.", "A fox.", [1, 2]) == prompt
    assert (again.size, again.style) == (compact.size, compact.style)
    # A released tokenizer.json may lie beside our file.
    base = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    expanded(base, 64).save(str(tmp_path / "tokenizer.json"))
    assert Vocabulary.load(tmp_path).tts_prompt("The dog.", "A fox.", [1, 2]) == prompt


def test_chosen_style_survives_saving(tmp_path: Path) -> None:
    base = train_bpe(["a dog"], 256)
    base.add_special_tokens(list(HEADER_TOKENS))
    for style in ("llama3", "compact"):
        vocabulary = Vocabulary.extend(base, 16, style=style)  # type: ignore[arg-type]
        vocabulary.save(tmp_path)
        loaded = Vocabulary.load(tmp_path)
        assert (loaded.style, loaded.base_size, loaded.eot) == (style, 260, 259)
        assert loaded.tts_prompt("dog") == vocabulary.tts_prompt("dog")
    assert Vocabulary.extend(base, 16).style == "llama3"


def test_row(compact: Vocabulary) -> None:
    row = compact.training_row("The dog.", [5, 6, 7], speaker="ann")
    prompt = compact.tts_prompt("The dog.", speaker="ann")
    speech = compact.codes_to_ids([5, 6, 7]).tolist()
    assert row.ids.tolist() == [*prompt, *speech, compact.end]
    assert row.speech_start == len(prompt) - 1
    assert row.ids[slice(*row.text_span)].tolist() == compact.encode_text("The dog.")
    learnt = [compact.control_id("SPEECH_GENERATION_START"), *speech, compact.end]
    assert row.labels.tolist() == [IGNORE] * (len(prompt) - 1) + learnt
    assert row.attention_mask.all()
    assert row.cut == 0


def test_row_with_voice_prompt(compact: Vocabulary) -> None:
    row = compact.training_row("The dog.", [5], prompt_text="A fox.", prompt_codes=[1, 2])
    assert row.ids[:-2].tolist() == compact.tts_prompt("The dog.", "A fox.", [1, 2])
    assert row.ids[row.speech_start] == compact.control_id("SPEECH_GENERATION_START")
    assert row.labels[row.speech_start :].tolist() == row.ids[row.speech_start :].tolist()
    assert row.prompt == (len(compact.encode_text("A fox.")), 2)
    assert compact.training_row("The dog.", [5]).prompt == (0, 0)


def test_asr_row(compact: Vocabulary) -> None:
    row = compact.training_row("The dog.", [5, 6], task="asr")
    words = compact.encode_text("The dog.")
    learnt = [
        compact.control_id("TEXT_GENERATION_START"),
        *words,
        compact.control_id("TEXT_GENERATION_END"),
    ]
    assert row.ids.tolist() == [*compact.asr_prompt([5, 6]), *learnt[1:]]
    assert row.labels[-len(learnt) :].tolist() == learnt
    assert (row.labels[: -len(learnt)] == IGNORE).all()
    assert row.ids[slice(*row.text_span)].tolist() == words
    assert row.ids[row.speech_start] == compact.control_id("SPEECH_UNDERSTANDING_START")


@pytest.mark.parametrize("task", ["tts", "asr"])
@given(codes=st.lists(st.integers(0, 63), min_size=1, max_size=80), room=st.integers(30, 90))
@settings(max_examples=40, deadline=None)
def test_cut_rows_keep_their_end(
    compact: Vocabulary, task: str, codes: list[int], room: int
) -> None:
    row = compact.training_row("The dog.", codes, task=task, max_tokens=room)  # type: ignore[arg-type]
    whole = compact.training_row("The dog.", codes, task=task)  # type: ignore[arg-type]
    assert len(row.ids) == len(row.labels) == min(room, len(whole.ids))
    assert row.cut == len(whole.ids) - len(row.ids)
    closing = compact.end if task == "tts" else compact.control_id("TEXT_GENERATION_END")
    assert row.ids[-1] == row.labels[-1] == closing
    speech = row.ids[row.ids >= compact.speech_start]
    assert compact.ids_to_codes(speech).tolist() == codes[: len(codes) - row.cut]


def released_row_oracle(
    llama3: Vocabulary, text: str, codes: list[int], length: int
) -> tuple[list[int], list[int], list[int]]:
    """Section 2.4 of the facts in plain loops: the released trainer's row, labels and mask."""
    ids = [*llama3.tts_prompt(text), *(128_264 + code for code in codes), END, EOT]
    start = ids.index(START)
    labels = [id_ if i >= start and id_ != EOT else -100 for i, id_ in enumerate(ids)]
    mask = [int(id_ != EOT) for id_ in ids]
    pad = max(0, length - len(ids))
    return (
        (ids + [EOT] * pad)[:length],
        (labels + [-100] * pad)[:length],
        (mask + [0] * pad)[:length],
    )


@pytest.mark.parametrize("count", [1, 50, 1800, 1944, 1945, 1946, 1947, 1948, 1949, 1950, 2100])
def test_released_rows(llama3: Vocabulary, count: int) -> None:
    codes = [(7 * i) % 65_536 for i in range(count)]
    row = llama3.training_row("The dog.", codes, released=True)
    ids, labels, mask = released_row_oracle(llama3, "The dog.", codes, 2048)
    assert row.ids.tolist() == ids
    assert row.labels.tolist() == labels
    assert row.attention_mask.tolist() == mask
    kept = int((row.ids >= 128_264).sum())
    assert row.cut == count - kept
    first_eot = row.ids.tolist().index(EOT)
    assert first_eot < row.speech_start
    assert not row.attention_mask[first_eot]


def test_released_rows_from_text_ids(llama3: Vocabulary) -> None:
    ids = llama3.encode_text("The dog.")
    by_ids = llama3.training_row(ids, [1, 2], released=True)
    by_text = llama3.training_row("The dog.", [1, 2], released=True)
    assert (by_ids.ids == by_text.ids).all()


def test_bad_requests(compact: Vocabulary, llama3_base: Tokenizer) -> None:
    with pytest.raises(LlasaError, match="empty"):
        compact.tts_prompt("  ")
    with pytest.raises(LlasaError, match="empty"):
        compact.training_row("", [1])
    with pytest.raises(LlasaError, match="empty"):
        compact.training_row("", [1], task="asr")
    with pytest.raises(LlasaError, match="no codes"):
        compact.training_row("a", [])
    with pytest.raises(LlasaError, match="words are missing"):
        compact.tts_prompt("a", prompt_codes=[1])
    with pytest.raises(LlasaError, match="codes are missing"):
        compact.tts_prompt("a", prompt_text="b")
    with pytest.raises(LlasaError, match="64 codes"):
        compact.asr_prompt([64])
    with pytest.raises(LlasaError, match="name is empty"):
        compact.tts_prompt("a", speaker=" ")
    with pytest.raises(LlasaError, match="no room"):
        compact.training_row("The dog.", [1], max_tokens=5)
    with pytest.raises(LlasaError, match="between 0 and"):
        compact.training_row([compact.end], [1])
    with pytest.raises(LlasaError, match="between 0 and"):
        compact.training_row([compact.end], [1], task="asr")
    with pytest.raises(LlasaError, match="words, not ids"):
        compact.training_row([5], [1], prompt_text="b", prompt_codes=[1])
    with pytest.raises(LlasaError, match="no voice prompt"):
        compact.training_row("a", [1], prompt_text="b", prompt_codes=[1], released=True)
    with pytest.raises(LlasaError, match="style llama3"):
        compact.training_row("a", [1], released=True)
    with pytest.raises(LlasaError, match="text and codes only"):
        compact.training_row("a", [1], task="asr", speaker="ann")
    with pytest.raises(LlasaError, match="not all speech"):
        compact.ids_to_codes([compact.end])
    with pytest.raises(LlasaError, match="style llama3 needs"):
        Vocabulary.extend(train_bpe(["a"], 256), 4, style="llama3")
    with pytest.raises(LlasaError, match="codebook_size is 0; give a whole number of at least 1"):
        Vocabulary.extend(llama3_base, 0)
    with pytest.raises(LlasaError, match="already"):
        Vocabulary.extend(expanded(train_bpe(["a"], 256), 1), 4)
    with pytest.raises(LlasaError, match="256"):
        train_bpe(["a"], 100)


def test_bad_folders(compact: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="does not exist"):
        Vocabulary.load(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text("{")
    with pytest.raises(LlasaError, match="damaged"):
        Vocabulary.load(tmp_path)
    path.write_text("{}")
    with pytest.raises(LlasaError, match="not a Hugging Face"):
        Vocabulary.load(tmp_path)
    path.write_text(json.dumps({"added_tokens": [], "model": {"type": "BPE"}}))
    (tmp_path / "vocabulary.json").write_text(
        json.dumps({"base_size": 1, "codebook_size": 1, "style": "compact"})
    )
    with pytest.raises(LlasaError, match="tokenizer file is damaged"):
        Vocabulary.load(tmp_path)
    (tmp_path / "vocabulary.json").unlink()
    train_bpe(["a"], 256).save(str(path))
    with pytest.raises(LlasaError, match="text model"):
        Vocabulary.load(tmp_path)
    swapped = train_bpe(["a"], 256)
    swapped.add_tokens([*CONTROL_TOKENS[::-1], "<|s_0|>"])
    swapped.save(str(path))
    with pytest.raises(LlasaError, match="released order"):
        Vocabulary.load(tmp_path)
    compact.save(tmp_path)
    base = Tokenizer.from_file(str(path))
    expanded(base, 64).save(str(path))
    settings = json.loads((tmp_path / "vocabulary.json").read_text())
    (tmp_path / "vocabulary.json").write_text(json.dumps({**settings, "codebook_size": 32}))
    with pytest.raises(LlasaError, match="different models"):
        Vocabulary.load(tmp_path)
    (tmp_path / "vocabulary.json").write_text("{}")
    with pytest.raises(LlasaError, match="must give base_size"):
        Vocabulary.load(tmp_path)


def test_train_bpe_keeps_case_and_shares_word_starts() -> None:
    tokenizer = train_bpe(["hello Hello world"] * 20, 280)
    tokens = tokenizer.encode("hello Hello hello").tokens
    assert tokens == ["Ġhello", "ĠHello", "Ġhello"]
    again = train_bpe(["hello Hello world"] * 20, 280)
    assert again.get_vocab() == tokenizer.get_vocab()


@pytest.fixture
def speaking_phones(compact: Vocabulary) -> Vocabulary:
    """A vocabulary with phone tokens."""
    spec = Tokenizer.from_str(compact.text_tokenizer.to_str())
    return Vocabulary.extend(spec, 64, "compact", [" ", "a", "b"])


def test_phones_stand_before_their_codes(speaking_phones: Vocabulary) -> None:
    vocabulary, first = speaking_phones, speaking_phones.speech_start
    pause, a, b = range(first + 64, first + 67)
    phones = [(" ", 1.4), ("a", 2.0), ("a", 3.6), ("?", 4.0), ("b", 4.2), ("b", 9.0)]
    row = vocabulary.training_row("Hi.", range(6), phones=phones)
    answer = row.ids[row.speech_start + 1 :].tolist()
    codes = [first + code for code in range(6)]
    assert answer == [pause, codes[0], a, *codes[1:4], b, *codes[4:], vocabulary.end]
    assert row.moments.tolist() == [0.0, 0.5, 1.4, 1.5, 2.5, 3.5, 4.0, 4.5, 5.5, 6.5]
    assert vocabulary.size == first + 67
    assert vocabulary.ids_to_codes(answer[:-1]).tolist() == list(range(6))
    assert spoken_phones(vocabulary, answer[:-1]) == [(" ", 1), ("a", 4), ("b", 6)]


def test_phones_shorter_than_a_code_are_said(speaking_phones: Vocabulary) -> None:
    vocabulary, first = speaking_phones, speaking_phones.speech_start
    phones = [("a", 0.9), ("b", 1.2), ("a", 3.0), ("b", 3.4)]
    row = vocabulary.training_row("Hi.", range(3), phones=phones)
    answer = row.ids[row.speech_start + 1 : -1]
    a, b = first + 65, first + 66
    assert answer.tolist() == [a, first, b, a, first + 1, first + 2]
    assert spoken_phones(vocabulary, answer) == [("a", 1), ("b", 1), ("a", 3)]


def test_phones_of_a_prompted_row(speaking_phones: Vocabulary) -> None:
    vocabulary, first = speaking_phones, speaking_phones.speech_start
    row = vocabulary.training_row(
        "Hi.",
        [7],
        prompt_text="Oh.",
        prompt_codes=[5, 6],
        phones=[("b", 1.0)],
        prompt_phones=[("a", 1.0), ("b", 2.0)],
    )
    a, b = first + 65, first + 66
    answer = row.ids[row.speech_start + 1 :].tolist()
    assert answer == [a, first + 5, b, first + 6, b, first + 7, vocabulary.end]
    assert row.moments.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.5]
    assert row.prompt == (len(vocabulary.encode_text("Oh.")), 2)


def test_what_is_heard_has_no_phones(speaking_phones: Vocabulary) -> None:
    vocabulary = speaking_phones
    row = vocabulary.training_row("Hi.", range(3), phones=[("a", 3.0)], task="asr")
    prompt = vocabulary.asr_prompt(range(3))
    assert row.ids[: len(prompt)].tolist() == prompt


def test_phones_survive_saving(speaking_phones: Vocabulary, tmp_path: Path) -> None:
    speaking_phones.save(tmp_path)
    again = Vocabulary.load(tmp_path)
    assert (again.phones, again.size) == (speaking_phones.phones, speaking_phones.size)
    spec = Tokenizer.from_str(speaking_phones.text_tokenizer.to_str())
    with pytest.raises(LlasaError, match="differ"):
        Vocabulary.extend(spec, 64, "compact", ["a", "a"])
