"""Settings of the codec trainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.training.codec.data import AudioDataSettings
from llasa.training.codec.discriminators import DiscriminatorSettings
from llasa.training.optimizer import OptimizerSettings
from llasa.training.schedules import ScheduleSettings
from llasa.training.settings import RunSettings, check_begin

SHORTEST_VOICE = 0.3
"""Seconds from which CAM++ can recognise a speaker."""


@dataclass
class CodecLossSettings:
    """Weights and start; the defaults are the released ones.

    With ``mel``, ``adversarial`` and ``perceptual`` at 0 nothing is decoded: the encoder alone
    learns its codes. ``adversarial_from`` is the step at which the discriminators join.
    ``perceptual`` weighs the distance in the features of ``perceptual_model``, a speech model
    folder for Transformers, or without one in those of the codec's own semantic encoder; it counts
    from the step ``perceptual_from`` on (paper: the last seventh of the run).
    ``phones`` asks each code by itself, without its neighbours, which of ``data.phones`` it is:
    a language model learns such codes far sooner. ``prior`` pulls each code towards what the phones
    and the pitch around it predict (see ``CodePrior``). ``spread`` keeps the codes of a small codec
    in even use (see ``spread_loss``). ``pitch`` teaches a harmonic head the pitch of the
    recordings. ``voice`` also decodes half of the segments with the speaker embedding of another
    one, to sound like that speaker (see ``SpeakerLoss``), at about that pitch (weighted by
    ``pitch``) and with the same words (weighted by ``perceptual``). None of these is in the paper.
    """

    mel: float = 15.0
    mel_windows: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)
    mel_bins: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320)
    adversarial: float = 1.0
    feature_matching: float = 1.0
    adversarial_from: int = 0
    semantic: float = 5.0
    phones: float = 0.0
    prior: float = 0.0
    spread: float = 0.0
    pitch: float = 5.0
    voice: float = 0.0
    perceptual: float = 0.0
    perceptual_model: str | None = None
    perceptual_from: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name not in ("mel_windows", "mel_bins", "perceptual_model"):
                number(f"Setting loss.{name}", value, 0)

    @property
    def audible(self) -> bool:
        """Whether any loss needs the decoded waveform."""
        return any((self.mel, self.adversarial, self.perceptual))


@dataclass
class CodecTraining:
    """All settings of ``llasa train codec``.

    ``codec`` overrides sizes of ``CodecConfig``. ``init`` is a codec folder to start from, whose
    sizes stay; another ``codec.decoder_head``, ``codec.output_rate`` or ``codec.speaker_size`` than
    its own begins with new weights.
    ``semantic_weights`` is a safetensors file for the semantic encoder of a new codec, or for
    ``w2v-bert`` its Transformers folder or hub id; that encoder stays frozen. ``freeze_encoder``
    trains on fixed codes: the decoder and the speaker encoder. The codes are those of whole clips,
    each encoded once, unless ``data.perturb`` changes the input. ``encoder_from`` is the step
    at which the encoder joins, so that a new decoder does not spoil the codes it begins with.
    ``weight_norm`` trains the acoustic encoder's convolutions as direction and length (released
    trainer); the files hold plain weights.
    ``discriminator_weights`` is a safetensors file of discriminators that another run trained.
    ``ema`` is the decay of the averaged weights, 0 for none.
    """

    run: RunSettings = field(default_factory=RunSettings)
    data: AudioDataSettings = field(default_factory=AudioDataSettings)
    codec: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    semantic_weights: str | None = None
    discriminator_weights: str | None = None
    freeze_encoder: bool = False
    encoder_from: int = 0
    weight_norm: bool = True
    loss: CodecLossSettings = field(default_factory=CodecLossSettings)
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(1e-4, (0.8, 0.9))
    )
    schedule: ScheduleSettings = field(
        default_factory=lambda: ScheduleSettings("codec", 3000, 400_000, 0.2)
    )
    ema: float = 0.0

    def __post_init__(self) -> None:
        whole("Setting encoder_from", self.encoder_from, 0)
        check_begin(self.run, self.init)
        if not 0 <= self.ema < 1:
            raise LlasaError(f"Setting ema is {self.ema}; give a number in [0, 1).")
        if not (self.loss.audible or self.loss.semantic or self.loss.phones):
            raise LlasaError(
                "Nothing would be learnt: set one of the weights mel, adversarial, perceptual, "
                "semantic and phones in loss above 0."
            )
        if self.loss.voice and not self.loss.audible:
            raise LlasaError(
                "Setting loss.voice needs decoded sound: set one of the weights mel, adversarial "
                "and perceptual in loss above 0."
            )
        if self.loss.voice and (self.data.batch < 2 or self.data.seconds < SHORTEST_VOICE):
            raise LlasaError(
                "Setting loss.voice needs segments long enough to recognise their speakers: set "
                f"data.batch to 2 or more and data.seconds to {SHORTEST_VOICE:g} or more."
            )
        if self.loss.prior and self.freeze_encoder:
            raise LlasaError("Setting loss.prior teaches the encoder: set freeze_encoder to false.")
        for name in ("phones", "prior"):
            if getattr(self.loss, name) and not self.data.phones:
                raise LlasaError(
                    f"Setting loss.{name} needs data.phones, the symbols of the manifests."
                )
