"""Audible samples of a language model in training."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.lm.engine import generate
from llasa.lm.llama import Llama
from llasa.lm.sampling import SamplingParams
from llasa.lm.torch import TorchEngine
from llasa.models.find import find_codec
from llasa.models.folder import check_fit
from llasa.vocabulary.vocabulary import Vocabulary

TEMPERATURE = 0.8
LONGEST = (2.0, 0.2)
"""Seconds, and seconds a character, after which a sample is cut off."""


class Sampler:
    """Speaks a few texts, each time with the same seeds.

    Args:
        texts: what to say.
        codec: folder, model or hub id of the codec that made the training tokens.
        vocabulary: of the language model.
        device: where the codec runs.
    """

    def __init__(
        self, texts: list[str], codec: str | None, vocabulary: Vocabulary, device: torch.device
    ) -> None:
        if codec is None:
            raise LlasaError(
                "Setting sample_texts needs codec, the folder of the codec that decodes them."
            )
        self.codec = Codec.load(find_codec(codec), device)
        check_fit(vocabulary, vocabulary.size, self.codec)
        self.vocabulary = vocabulary
        self.prompts = [vocabulary.tts_prompt(text) for text in texts]
        start, per_character = LONGEST
        rate = vocabulary.token_rate(self.codec.frame_rate)
        self.params = [
            SamplingParams(
                temperature=TEMPERATURE,
                seed=seed,
                max_tokens=int(rate * (start + per_character * len(text))),
            )
            for seed, text in enumerate(texts)
        ]

    def speak(self, model: Llama) -> Iterator[tuple[int, Samples]]:
        """(number of the text, samples) of each; a text that the model leaves silent is skipped."""
        codes = range(self.vocabulary.speech_start, self.vocabulary.size)
        engine = TorchEngine(model, codes, [self.vocabulary.end])
        for number, generation in enumerate(generate(engine, self.prompts, self.params)):
            spoken = self.vocabulary.ids_to_codes(generation.tokens)
            if len(spoken):
                yield number, self.codec.decode([spoken])[0]
