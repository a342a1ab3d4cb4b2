"""The weights that a run begins with: read from a checkpoint or drawn, whole or some rows only.

Every block of rows is drawn by a generator of its own, so that the processes that share a model
out draw what one process would, and no process ever holds more than its share.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields, replace

import torch
from torch import Tensor

from llasa.base import hub
from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.lm.checkpoint import EMBEDDING, HEAD, LlamaRows
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.models.find import find_lm
from llasa.training.lm.settings import LMTraining
from llasa.vocabulary.vocabulary import Vocabulary

MODEL_SETTINGS = [f"model.{field.name}" for field in fields(LlamaConfig)]
BLOCK = 1024
"""Rows that are drawn together."""
SPREAD = 0.02
"""Standard deviation of a new weight, as in Hugging Face and the release."""


class Start:
    """Sizes and weights with which a run of these settings begins.

    New rows of a vocabulary that grows are drawn as in the release, normal(0, 0.02). Raises
    `LlasaError` where settings, `init` and vocabulary do not fit together.
    """

    def __init__(self, settings: LMTraining, vocabulary: Vocabulary) -> None:
        self._seed = settings.run.seed
        self._read: LlamaRows | None = None
        self._known = 0
        """Rows of the embedding that are read."""
        if settings.init is None:
            for name in settings.model:
                check_choice(f"model.{name}", MODEL_SETTINGS, "Setting")
            sizes = {"vocab_size": vocabulary.size, "eos_token_id": vocabulary.end}
            self.config = LlamaConfig.from_dict({"model_type": "llama", **sizes, **settings.model})
            return
        self._read = LlamaRows(hub.find_folder(find_lm(settings.init)))
        config = self._read.config
        for name, value in settings.model.items():
            if (found := asdict(config).get(name)) != value:
                raise LlasaError(
                    f"Setting model.{name} is {value}, but {settings.init} has {found}: leave out "
                    "model or init."
                )
        if config.vocab_size > vocabulary.size:
            raise LlasaError(
                f"{settings.init} has {config.vocab_size} ids, more than the "
                f"{vocabulary.size} of {settings.vocabulary}: they do not belong together."
            )
        self._known = config.vocab_size
        self.config = replace(config, vocab_size=vocabulary.size)

    def empty(self) -> Llama:
        """The network without weights, on the device "meta"."""
        with torch.device("meta"):
            return Llama(self.config)

    def whole(self) -> Llama:
        """The network with its weights, on the CPU."""
        llama = self.empty()
        state = {
            name: self.rows(name, tuple(tensor.shape), 0, tensor.shape[0])
            for name, tensor in llama.state_dict().items()
        }
        llama.load_state_dict(state, assign=True)
        return llama

    def rows(self, name: str, shape: tuple[int, ...], first: int, stop: int) -> Tensor:
        """Rows `first` to `stop` of a weight by its name in `Llama`, float32."""
        if self._read is None:
            return self._drawn(name, shape, first, stop)
        if name in (EMBEDDING, HEAD):
            known = min(max(first, self._known), stop)
            read = self._read.rows(name, slice(first, known))
            rows = torch.cat([read, self._drawn(name, shape, known, stop)])
        else:
            rows = self._read.rows(name, slice(first, stop))
        if not rows.sum(dtype=torch.float32).isfinite():
            raise LlasaError(f"The weights of init hold NaN or infinite values in {name}.")
        return rows

    def _drawn(self, name: str, shape: tuple[int, ...], first: int, stop: int) -> Tensor:
        rows = torch.ones(stop - first, *shape[1:])
        if len(shape) == 1:  # of a norm
            return rows
        for block in range(first // BLOCK, -(-stop // BLOCK) if stop > first else 0):
            at = block * BLOCK
            drawn = torch.empty(min(BLOCK, shape[0] - at), *shape[1:])
            drawn.normal_(std=SPREAD, generator=self._generator(name, block))
            begin, end = max(first, at), min(stop, at + BLOCK)
            rows[begin - first : end - first] = drawn[begin - at : end - at]
        return rows

    def _generator(self, name: str, block: int) -> torch.Generator:
        key = hashlib.sha256(f"{self._seed} {name} {block}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(key[:7], "little"))
