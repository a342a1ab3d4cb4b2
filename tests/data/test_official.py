"""The released memmap format, compared with what numpy writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.data.official import OfficialDataset, parse_row, stored_row, write_official
from llasa.errors import LlasaError
from llasa.vocabulary import Vocabulary


def released_row(llama3: Vocabulary, text: str, codes: list[int]) -> np.ndarray:
    """What the released script stores, from ids alone."""
    words = llama3.encode_text(text)
    ids = [128_258, *words, 128_259, 128_260, *(128_264 + c for c in codes), 128_261]
    ids = ids[:2048]
    return np.array(ids + [128_009] * (2048 - len(ids)), dtype=np.int32)


def test_files_equal_numpy_memmaps(llama3: Vocabulary, tmp_path: Path) -> None:
    items = [("The dog.", [1, 2, 65_535]), ("A fox.", list(range(3000))), ("dog", [0])]
    rows = np.stack([released_row(llama3, *item) for item in items])
    theirs = np.memmap(tmp_path / "theirs", dtype="int32", mode="w+", shape=rows.shape)
    theirs[:] = rows
    theirs.flush()
    np.save(tmp_path / "shape.npy", rows.shape)

    ours = tmp_path / "ours"
    assert write_official(ours, "val", (stored_row(llama3, *item) for item in items)) == (3, 2048)
    assert (ours / "val_input_ids.memmap").read_bytes() == (tmp_path / "theirs").read_bytes()
    shape = (ours / "val_input_ids_shape.npy").read_bytes()
    assert shape == (tmp_path / "shape.npy").read_bytes()

    data = OfficialDataset(ours, llama3, "val")
    assert len(data) == 3
    for item, (text, codes) in zip([data[0], data[2]], [items[0], items[2]], strict=True):
        assert llama3.decode_text(item.text_ids) == text
        assert (item.codes.tolist(), item.complete) == (codes, True)
    long = data[1]
    assert not long.complete
    assert len(long.codes) == 2048 - len(long.text_ids) - 3


def test_rows_train_as_released(llama3: Vocabulary) -> None:
    """A stored row that lost its END gives the same training row as the whole utterance."""
    codes = list(range(3000))
    item = parse_row(llama3, stored_row(llama3, "The dog.", codes))
    ours = llama3.training_row(item.text_ids, item.codes, released=True)
    whole = llama3.training_row("The dog.", codes, released=True)
    assert (ours.ids == whole.ids).all()
    assert (ours.labels == whole.labels).all()


@given(
    text=st.text(st.characters(codec="utf-8", categories=["L", "P"]), min_size=1, max_size=30),
    codes=st.lists(st.integers(0, 65_535), max_size=50),
)
@settings(max_examples=40, deadline=None)
def test_round_trip(llama3: Vocabulary, text: str, codes: list[int]) -> None:
    item = parse_row(llama3, stored_row(llama3, text, codes, 400))
    assert item.text_ids == llama3.encode_text(text)
    assert (item.codes.tolist(), item.complete) == (codes, True)


def test_failures(llama3: Vocabulary, compact: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="readable split 'train'"):
        OfficialDataset(tmp_path, llama3)
    write_official(tmp_path, "train", [stored_row(llama3, "dog", [1])])
    path = tmp_path / "train_input_ids.memmap"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(LlasaError, match="does not fit the shape"):
        OfficialDataset(tmp_path, llama3)
    with pytest.raises(LlasaError, match="eot_id"):
        stored_row(compact, "dog", [1])
    with pytest.raises(LlasaError, match="another tokenizer"):
        parse_row(compact, stored_row(llama3, "dog", [1]))
    row = stored_row(llama3, "dog", [1, 2])
    row[row == llama3.speech_start + 1] = 5
    with pytest.raises(LlasaError, match="not all speech"):
        parse_row(llama3, row)
    with pytest.raises(LlasaError, match="no rows"):
        write_official(tmp_path, "val", [])
    with pytest.raises(LlasaError, match="shape"):
        write_official(tmp_path, "val", [np.zeros(4, np.int32), np.zeros(5, np.int32)])
    assert not (tmp_path / "val_input_ids.memmap").exists()
