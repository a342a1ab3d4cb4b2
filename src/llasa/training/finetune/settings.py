"""Settings of a fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice, check_name, number, whole
from llasa.lm.lora import LoraSettings
from llasa.models.find import DEFAULT_MODEL
from llasa.text.languages import language_code

METHODS = ("full", "lora")
SMALL = 50_000_000
"""Models with fewer parameters learn at a higher rate."""
FULL_RATES, LORA_RATE = (5e-4, 1e-5), 5e-4
"""Peak rates: of small and of other models (the released recipes), and of adapters."""
OWN_SPEECH = {"full": 0.25, "lora": 0.0}
"""Default number of rows of the model's own speech for each row of the data."""


@dataclass
class Finetuning:
    """Settings of ``llasa finetune``.

    Args:
        data: a folder of clips, a manifest, a corpus (with `format`), or a folder of token shards.
        out: the model folder to write; work in progress lies beside it, in `out`-run.
        base, codec: the model to begin with, and another codec for it.
        method: `full` trains all weights, `lora` adapters.
        voice: whose voice it is; by default each speaker that the data names is a voice.
        format: of the data (see `llasa.data.importers`); by default found out.
        language: of rows that do not tell.
        test: a manifest of clips to judge by; by default a twentieth of the texts is held out.
        clip: recording that the decoder takes the voice from; by default the most typical one.
        epochs, steps: how long; steps win.
        rate: peak learning rate.
        tokens: of a batch.
        own_speech: rows that the model itself speaks for every row of the data, against forgetting.
        merge: with `lora`, whether the model folder holds merged weights, or the adapter beside
            the weights that it began with.
    """

    data: Path
    out: Path
    base: str = DEFAULT_MODEL
    codec: str | None = None
    method: Literal["full", "lora"] = "full"
    voice: str | None = None
    format: str | None = None
    language: str | None = None
    test: Path | None = None
    clip: Path | None = None
    epochs: float = 3.0
    steps: int | None = None
    rate: float | None = None
    tokens: int = 4096
    own_speech: float | None = None
    merge: bool = True
    lora: LoraSettings = field(default_factory=lambda: LoraSettings(rank=8))
    seed: int = 0
    device: str | None = None
    bf16: bool = False

    def __post_init__(self) -> None:
        check_choice(self.method, METHODS, "Method")
        if self.voice is not None:
            check_name(self.voice, "voice name")
        self.language = language_code(self.language)
        number("epochs", self.epochs, 0, above=True)
        for name in ("steps", "tokens"):
            if (value := getattr(self, name)) is not None:
                whole(name, value)
        whole("lora.rank", self.lora.rank)
        if self.rate is not None:
            number("rate", self.rate, 0, above=True)
        if self.own_speech is not None:
            number("own_speech", self.own_speech, 0, 10)
        if not self.merge and self.method != "lora":
            raise LlasaError("Only the adapter of method lora can be kept apart from the weights.")
        if self.clip is not None and self.voice is None:
            raise LlasaError("The clip is a recording of one voice: name the voice, too.")
