"""Emotion: how alike two recordings sound to a classifier of emotions (paper table 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError, first_line
from llasa.base.hub import find_folder
from llasa.base.packages import require
from llasa.verifiers.inference import LazyModel, in_groups, stacked_clips
from llasa.verifiers.weights import Embeddings, unit


class EmotionEmbedder(LazyModel):
    """An audio classifier of Transformers, such as superb/hubert-large-superb-er.

    The embedding is the mean of its last layer over time, as the paper takes that of emotion2vec+.
    `source`: its folder or hub id; the family is the kind of network.
    """

    def __init__(self, source: str | Path, device: str | None = None) -> None:
        super().__init__(source, device)
        self.name = f"emotion:{source}"

    @property
    def family(self) -> str:
        return f"emotion-{self.model[0].config.model_type}"

    @cached_property
    def model(self) -> tuple[Any, bool]:
        """The network without its classifier, and whether its clips are normalised."""
        library, folder = require("transformers"), find_folder(str(self.source))
        try:
            local = {"local_files_only": True, "trust_remote_code": False}
            model = library.AutoModelForAudioClassification.from_pretrained(folder, **local)
            features = library.AutoFeatureExtractor.from_pretrained(folder, **local)
            return model.base_model.to(self.device).eval(), bool(features.do_normalize)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise LlasaError(
                f"{folder} isn't an audio classifier of Transformers: {first_line(error)}."
            ) from error

    def embed(self, clips: Sequence[Samples]) -> Embeddings:
        """Unit vectors (n, size); clips of equal length are run together."""
        return unit(in_groups(clips, len, self._run))

    def _run(self, clips: Sequence[Samples]) -> Embeddings:
        import torch

        model, normalize = self.model
        audio = stacked_clips(clips, normalize)
        with torch.inference_mode():
            found = model(torch.from_numpy(audio).float().to(self.device)).last_hidden_state
            return found.mean(1).cpu().numpy()
