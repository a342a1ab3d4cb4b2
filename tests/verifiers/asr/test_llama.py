"""A Llasa model as a recogniser: what it may write, and that it learns to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta
from llasa.models.find import find_model
from llasa.models.folder import ModelConfig
from llasa.models.pack import pack_model
from llasa.training.config import build
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer
from llasa.tts.llasa import Llasa
from llasa.verifiers.asr.llama import LlamaRecognizer
from llasa.verifiers.content import Content
from llasa.verifiers.registry import find_verifier
from llasa.vocabulary.vocabulary import Vocabulary
from tests.tiny_model import tiny_voice, tone, write_tiny_model

HEARS = ModelConfig("tiny", hearing=True, languages=("en",))
WORDS = ("The lazy dog.", "A quick fox jumps.", "Convert the text.")


def clips(count: int) -> list[np.ndarray]:
    """Sounds of different length and pitch."""
    return [tone(0.4 + 0.2 * n).samples * (1 - n / 10) for n in range(count)]


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights that says it was trained to hear."""
    return write_tiny_model(tmp_path_factory.mktemp("hearing"), HEARS)


def test_only_text_is_written(hearing: Path) -> None:
    recognizer = LlamaRecognizer(hearing, "cpu")
    vocabulary, engine, codec = recognizer.model
    assert vocabulary.text_ids == range(300)
    (codes,) = codec.encode(clips(1))
    prompt = vocabulary.asr_prompt(codes)
    assert prompt[1 : len(codes) + 1] == vocabulary.codes_to_ids(codes).tolist()
    found = recognizer.transcribe(clips(3))
    assert [heard.text for heard in found] == [
        heard.text for clip in clips(3) for heard in recognizer.transcribe([clip])
    ]
    assert all(heard.logprob < 0 for heard in found)
    assert not engine.running  # type: ignore[attr-defined]


def test_chat_vocabularies_never_write_their_header_tokens(llama3: Vocabulary) -> None:
    assert llama3.text_ids == range(128_000)
    assert llama3.text_end == llama3.control_id("TEXT_GENERATION_END")


def test_recordings_are_heard_in_pieces_that_fit(hearing: Path) -> None:
    recognizer = LlamaRecognizer(hearing, "cpu")
    assert recognizer.longest == 20.0
    recognizer.model.engine._context = 300  # type: ignore[attr-defined]  # noqa: SLF001
    assert recognizer.longest == pytest.approx((300 - 3 - 17) / 75)
    (heard,) = recognizer.transcribe([tone(9.0).samples])
    assert heard.text


def test_models_that_were_not_trained_to_hear(tiny: Path) -> None:
    with pytest.raises(LlasaError, match="Model tiny was not trained to hear: take one that was"):
        LlamaRecognizer(tiny)
    with pytest.raises(LlasaError, match="Model tiny was not trained to hear"):
        Llasa.load(tiny, device="cpu").transcribe(tone(1.0))
    with pytest.raises(LlasaError, match="The verifier llasa needs a model"):
        find_verifier("llasa")


def test_one_object_speaks_and_hears(hearing: Path, tmp_path: Path) -> None:
    tts = Llasa.load(hearing, device="cpu")
    tone(1.0).write(tmp_path / "a.wav")
    heard = tts.transcribe(tmp_path / "a.wav")
    alone = LlamaRecognizer(hearing, "cpu").transcribe([tone(1.0).samples])[0]
    assert heard.logprob == pytest.approx(alone.logprob, abs=0.05)  # the file has 16 bits
    assert tts("A quick fox.", voice=tiny_voice(tts.codec), seed=1).seconds > 0


def test_it_is_a_verifier_of_its_own_family(hearing: Path) -> None:
    verifier = find_verifier(f"llasa:{hearing}")
    assert isinstance(verifier, Content)
    assert verifier.family == "llasa"
    assert verifier.name == f"llasa:{hearing}"


@pytest.mark.slow
def test_a_model_learns_to_hear_and_still_speaks(hearing: Path, tmp_path: Path) -> None:
    """Three sounds and their words, from codes to the transcript of the packed model."""
    files = find_model(hearing)
    codec = Codec.load(files.codec, "cpu")
    sounds = clips(len(WORDS))
    meta = ShardMeta(codec.id, codec.codebook_size, codec.frame_rate, 1)
    meta.save(tmp_path / "tokens")
    with ShardWriter(tmp_path / "tokens", 0, meta) as writer:
        for words, codes in zip(WORDS, codec.encode(sounds), strict=True):
            writer.add(words, codes)
    values = {
        "vocabulary": str(files.lm),
        "init": str(files.lm),
        "run": {"out": str(tmp_path / "run"), "steps": 150, "device": "cpu"},
        "data": {"train": [str(tmp_path / "tokens")], "tokens": 2000, "hear": 0.7},
        "optimizer": {"rate": 1e-2},
    }
    LMTrainer(build(LMTraining, values)).train()
    run = tmp_path / "run" / "step-00000150"
    model = pack_model(run, files.codec, tmp_path / "model", HEARS)
    found = LlamaRecognizer(model, "cpu").transcribe(sounds)
    assert [heard.text for heard in found] == list(WORDS)
    assert Llasa.load(model, device="cpu")("The lazy dog.", voice="random", seed=1).seconds > 0
