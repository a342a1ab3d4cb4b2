"""Opens a model: vocabulary, codec and language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes
from llasa.base.threads import threads_for
from llasa.codec.protocol import CodecLike
from llasa.lm.config import read_config
from llasa.lm.engine import Engine
from llasa.lm.open_engine import open_engine
from llasa.models.folder import ModelFiles, check_fit, check_heads
from llasa.models.identity import variant_of
from llasa.vocabulary.vocabulary import Vocabulary


class OpenModel(NamedTuple):
    """What a `Llasa` is made of."""

    files: ModelFiles
    vocabulary: Vocabulary
    engine: Engine
    codec: CodecLike
    variant: Mapping[str, object]


def open_model(
    files: ModelFiles,
    device: str | None = None,
    int8: bool = False,
    engine: str = "torch",
    options: Mapping[str, Any] | None = None,
    fast: bool = False,
) -> OpenModel:
    """Open what `find_model` found; see `Llasa.load`.

    The engine onnx opens an export, which is made on first use, and imports no PyTorch after that.
    """
    sound: CodecLike
    if engine == "onnx":
        if device not in (None, "cpu") or int8 or fast or options:
            raise LlasaError("The engine onnx runs on the CPU only, without int8, fast or options.")
        from llasa.codec.onnx import OnnxCodec
        from llasa.lm.onnx import OnnxEngine
        from llasa.models.export.exported import onnx_files

        files = onnx_files(files)
        threads = threads_for(folder_megabytes(files.lm))
        vocabulary, sound = Vocabulary.load(files.lm), OnnxCodec(files.codec, threads)
        codes = _check(files, vocabulary, sound)
        lm: Engine = OnnxEngine(files.lm, codes, [vocabulary.end], threads)
    else:
        from llasa.codec.codec import Codec

        vocabulary, codec = Vocabulary.load(files.lm), Codec.load(files.codec, device)
        sound, codes = codec, _check(files, vocabulary, codec)
        where = (files.lm, codes, [vocabulary.end], files.settings.max_tokens)
        lm = open_engine(*where, codec.device, int8, engine, options, fast, files.draft)
    return OpenModel(files, vocabulary, lm, sound, variant_of(int8, engine, options, fast))


def _check(files: ModelFiles, vocabulary: Vocabulary, codec: CodecLike) -> range:
    """The ids of speech tokens; `LlasaError` if the parts belong to different models."""
    config = read_config(files.lm)
    check_fit(vocabulary, config.vocab_size, codec)
    check_heads(files.settings.alignment, config)
    return range(vocabulary.speech_start, vocabulary.size)
