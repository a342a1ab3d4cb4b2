"""Emotion: how alike two recordings sound to a classifier of emotions (paper table 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from llasa.audio.audio import Samples
from llasa.verifiers.inference import ClipEmbedder, stacked_clips
from llasa.verifiers.weights import Embeddings, from_transformers


class EmotionEmbedder(ClipEmbedder):
    """An audio classifier of Transformers, such as superb/hubert-large-superb-er.

    The embedding is the mean of its last layer over time, as the paper takes that of emotion2vec+.
    `source`: its folder or hub id; the family is the kind of network.
    """

    kind = "emotion"

    @property
    def family(self) -> str:
        return f"emotion-{self.model[0].config.model_type}"

    @cached_property
    def model(self) -> tuple[Any, bool]:
        """The network without its classifier, and whether its clips are normalised."""
        classes = "AutoModelForAudioClassification", "AutoFeatureExtractor"
        model, features = from_transformers(self.source, "an audio classifier", *classes)
        return model.base_model.to(self.device).eval(), bool(features.do_normalize)

    def _run(self, clips: Sequence[Samples]) -> Embeddings:
        import torch

        model, normalize = self.model
        audio = stacked_clips(clips, normalize)
        with torch.inference_mode():
            found = model(torch.from_numpy(audio).float().to(self.device)).last_hidden_state
            return found.mean(1).cpu().numpy()
