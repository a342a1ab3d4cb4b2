"""Recognisers with connectionist temporal classification, such as HuBERT-large-ls960-ft."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from llasa.audio.audio import Samples
from llasa.verifiers.asr.base import Transcript, in_pieces
from llasa.verifiers.base import RATE
from llasa.verifiers.inference import LazyModel, in_groups, stacked_clips
from llasa.verifiers.weights import from_transformers

LONGEST, SHORTEST = 30.0, 0.1


class CTC(LazyModel):
    """Greedy transcripts of a CTC model of Transformers (HuBERT, wav2vec 2.0, WavLM).

    Args:
        source: its folder or hub id, such as facebook/hubert-large-ls960-ft, with which the paper
            counts the words of LibriSpeech.
        language: of the speech.
        device: by default a GPU where CUDA finds one.
    """

    def __init__(self, source: str | Path, language: str = "en", device: str | None = None) -> None:
        super().__init__(source, device)
        self.language, self.name = language, f"ctc:{source}"

    @property
    def family(self) -> str:
        return str(self.model[0].config.model_type)

    @cached_property
    def model(self) -> tuple[Any, Any, bool]:
        """The network, its tokenizer, and whether its clips are normalised."""
        classes = "AutoModelForCTC", "Wav2Vec2CTCTokenizer", "AutoFeatureExtractor"
        model, tokenizer, features = from_transformers(self.source, "a CTC model", *classes)
        return model.to(self.device).eval(), tokenizer, bool(features.do_normalize)

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """One transcript a clip of 16 kHz speech."""
        return in_pieces(clips, LONGEST, lambda short: in_groups(short, len, self._run))

    def _run(self, clips: Sequence[Samples]) -> list[Transcript]:
        import torch

        model, tokenizer, normalize = self.model
        audio = stacked_clips(clips, normalize)
        short = max(0, round(SHORTEST * RATE) - audio.shape[1])
        audio = np.pad(audio, ((0, 0), (0, short)))
        with torch.inference_mode():
            logits = model(torch.from_numpy(audio).float().to(self.device)).logits
            best = logits.float().log_softmax(-1).max(-1)
        texts = [tokenizer.decode(ids) for ids in best.indices.tolist()]
        sure = best.values.mean(1).tolist()
        return [Transcript(text, value) for text, value in zip(texts, sure, strict=True)]
