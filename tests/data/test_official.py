"""The released memmap format, as numpy writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset
from llasa.training.lm.data import LMBatches, LMDataSettings
from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary

LONG = list(range(3000))


def stored_row(llama3: Vocabulary, text: str, codes: list[int]) -> np.ndarray:
    """What the released script stores, from ids alone."""
    words = llama3.encode_text(text)
    ids = [128_258, *words, 128_259, 128_260, *(128_264 + c for c in codes), 128_261]
    ids = ids[:2048]
    return np.array(ids + [128_009] * (2048 - len(ids)), dtype=np.int32)


def write(folder: Path, rows: np.ndarray, split: str = "train") -> Path:
    """The two files of a split."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{split}_input_ids.memmap"
    data = np.memmap(path, dtype="int32", mode="w+", shape=rows.shape)
    data[:] = rows
    data.flush()
    np.save(folder / f"{split}_input_ids_shape.npy", rows.shape)
    return path


@pytest.fixture
def released(llama3: Vocabulary, tmp_path: Path) -> Path:
    """Three utterances, one too long for its row, and a text that fills its row alone."""
    items = [("The dog.", [1, 2, 65_535]), ("fox " * 3000, [5]), ("A fox.", LONG), (" dog", [0])]
    return write(tmp_path / "set", np.stack([stored_row(llama3, *item) for item in items]), "val")


def test_rows_come_back(llama3: Vocabulary, released: Path) -> None:
    data = TokenDataset(released)
    assert (len(data), data.codebook_size, data.text_base) == (3, 65_536, 128_256)
    assert data[0].codes.tolist() == [1, 2, 65_535]
    assert [item.text for item in data] == [
        llama3.encode_text(text) for text in ("The dog.", "A fox.", " dog")
    ]
    assert data[1].codes.tolist() == LONG[: len(data[1].codes)]
    assert data.lengths().tolist() == [3, len(data[1].codes), 1]
    assert data.speakers() == []


def test_trains_as_released(llama3: Vocabulary, released: Path) -> None:
    """Also where a stored row has lost its END."""
    settings = LMDataSettings(released=True, tokens=10_000)
    data = LMBatches(settings, TokenDataset(released), llama3, seed=0)
    for number, (text, codes) in enumerate([("The dog.", [1, 2, 65_535]), ("A fox.", LONG)]):
        whole = llama3.training_row(text, codes, released=True)
        row = data.row(number)
        assert (row.ids == whole.ids).all()
        assert (row.labels == whole.labels).all()
    assert sum(len(data.batch(i).ids) for i in range(len(data.plan(0)))) == 3


def test_beside_own_shards(llama3: Vocabulary, released: Path, tmp_path: Path) -> None:
    meta = ShardMeta("mine", 65_536, 50.0, 1)
    meta.save(tmp_path / "own")
    with ShardWriter(tmp_path / "own", 0, meta) as writer:
        writer.add("The lazy dog.", [7, 8], "ann")
        writer.add("The fox.", [9], "ann")
    dataset = TokenDataset(released, tmp_path / "own")
    data = LMBatches(LMDataSettings(prompted=1.0, speaker_names=True), dataset, llama3, seed=0)
    assert data.prompts(0).tolist() == [-1, -1, -1, 4, 3]
    assert len(data.batch(0).ids) == 5
    ShardMeta("mine", 4096, 50.0, 0).save(tmp_path / "small")
    with pytest.raises(LlasaError, match=r"different codecs \(codebook_size is 4096 or 65536"):
        TokenDataset(tmp_path / "small", released)


def test_failures(llama3: Vocabulary, released: Path, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"give a file such as train_input_ids\.memmap"):
        TokenDataset(released.parent)
    with pytest.raises(LlasaError, match="missing or incomplete"):
        TokenDataset(released.with_name("train_input_ids.memmap"))
    other = stored_row(llama3, "dog", [1, 2])
    other[0] = 5
    with pytest.raises(LlasaError, match="Row 0 of .* made with another tokenizer"):
        TokenDataset(write(tmp_path, other[None]))[0]
    small = Vocabulary.extend(train_bpe(["a dog"], 256), 65_536)
    with pytest.raises(LlasaError, match="needs the 128,256 text tokens .* has 256"):
        LMBatches(LMDataSettings(), TokenDataset(released), small, seed=0)
    released.write_bytes(released.read_bytes()[:-4])
    with pytest.raises(LlasaError, match="missing or incomplete"):
        TokenDataset(released)


def test_codes_are_counted_once(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = TokenDataset(released).lengths().tolist()
    kept = released.with_name("val_input_ids_codes.npy")
    assert kept.exists()
    assert not list(released.parent.glob("*.lock"))

    def refuse(*_: object) -> None:
        raise AssertionError("counted again")

    with monkeypatch.context() as patch:
        patch.setattr("llasa.data.official.OfficialRows._counted", refuse)
        assert TokenDataset(released).lengths().tolist() == lengths
    kept.write_bytes(kept.read_bytes()[:-1])  # damaged
    assert TokenDataset(released).lengths().tolist() == lengths
    kept.unlink()

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", read_only)
    assert TokenDataset(released).lengths().tolist() == lengths
    assert not kept.exists()
