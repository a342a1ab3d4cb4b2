"""All settings of the language model trainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from llasa.base.errors import LlasaError
from llasa.base.names import whole
from llasa.lm.lora import LoraSettings
from llasa.training.auxiliary.alignment import AlignmentSettings
from llasa.training.auxiliary.phones import PhoneSettings
from llasa.training.lm.data import LMDataSettings
from llasa.training.lm.preference import PreferenceSettings
from llasa.training.lm.sharding import ParallelSettings
from llasa.training.optimizer import OptimizerSettings
from llasa.training.schedules import ScheduleSettings
from llasa.training.settings import RunSettings, check_begin


@dataclass
class LMOptimizerSettings(OptimizerSettings):
    """The defaults are the paper's and the release's; ``accumulate`` batches make a step.

    ``muon`` updates the matrices of the layers by Muon (Jordan et al. 2024), at steps as large as
    AdamW's, and only the rest by AdamW: a new model needs far fewer tokens. Not in the paper.
    """

    rate: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.95)
    accumulate: int = 1
    muon: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("Setting optimizer.accumulate", self.accumulate)

    def build(self, model: nn.Module, layers: nn.Module) -> list[torch.optim.Optimizer]:
        """Optimizers that share out all parameters of a model; Muon takes matrices of layers."""
        everything = [p for p in model.parameters() if p.requires_grad]
        if not self.muon:
            return [self.adamw(everything, decay_vectors=False)]
        matrices = [p for p in layers.parameters() if p.ndim == 2 and p.requires_grad]
        known = set(matrices)
        muon = torch.optim.Muon(
            matrices,
            lr=self.rate,
            weight_decay=self.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        rest = [p for p in everything if p not in known]
        return [muon, self.adamw(rest, decay_vectors=False)]


@dataclass
class LMTraining:
    """All settings of ``llasa train lm``.

    ``vocabulary`` is a folder with tokenizer and vocabulary. ``init`` is a Llama folder or hub id
    to start from (its embedding grows to the vocabulary); without it ``model`` gives the sizes of a
    new one.
    ``full_vocabulary`` puts text ids into the softmax, too, as the paper does; without, only speech
    and control ids compete, as they do when speaking (not where ``data.hear`` makes it write, too).
    ``checkpointing`` saves memory by recomputing layers and logits in the backward pass.
    ``code_levels`` are the FSQ levels of the codec: with them the embeddings of codes that share a
    digit share a part while they train, so that one frame teaches many codes. With ``lora.rank``
    only adapters learn, and a checkpoint has them merged, and alone in ``adapter``.
    ``sample_texts`` are spoken at every evaluation and decoded with ``codec``, a codec folder or
    hub id.
    """

    vocabulary: str
    run: RunSettings = field(default_factory=RunSettings)
    data: LMDataSettings = field(default_factory=LMDataSettings)
    model: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    full_vocabulary: bool = True
    checkpointing: bool = False
    code_levels: list[int] = field(default_factory=list)
    lora: LoraSettings = field(default_factory=LoraSettings)
    sample_texts: list[str] = field(default_factory=list)
    codec: str | None = None
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)
    phones: PhoneSettings = field(default_factory=PhoneSettings)
    preference: PreferenceSettings = field(default_factory=PreferenceSettings)
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    optimizer: LMOptimizerSettings = field(default_factory=LMOptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=lambda: ScheduleSettings(warmup_ratio=0.03))

    def __post_init__(self) -> None:
        check_begin(self.run, self.init)
        if self.lora.rank and (self.init is None or self.code_levels):
            raise LlasaError("Setting lora needs init, and no code_levels: embeddings stay.")
        extras = self.alignment.weight or self.phones.weight or self.sample_texts
        if self.data.global_tokens and self.optimizer.accumulate > 1:
            raise LlasaError(
                "Settings data.global_tokens and optimizer.accumulate both say how much one step "
                "learns from: give one of them."
            )
        if self.data.task != "tts" and extras:
            raise LlasaError("Settings alignment, phones and sample_texts need data.task=tts.")
        if self.preference.pairs and (self.init is None or self.data.task != "tts"):
            raise LlasaError(
                "Setting preference needs data.task=tts and init, the model that made the pairs."
            )
