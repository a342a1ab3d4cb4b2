"""Sizes and options of the codec; the defaults are those of the released X-codec2."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import gcd, prod
from typing import Any, ClassVar

from llasa.audio.audio import SPEECH_RATE
from llasa.base.errors import LlasaError
from llasa.base.names import check_choice, number, whole
from llasa.codec.heads import HEADS

LARGEST_EMBEDDING = 4096
FORMER_KEYS = {"timbre_size": "speaker_size"}
"""Settings of older files, by their names of today."""
OUTPUT_RATES = (8_000, 48_000)
"""The lowest and the highest, in Hz."""
MOST, MOST_LAYERS, MOST_STEPS = 1 << 24, 1000, 24
"""Bounds far above the sizes of any codec."""


@dataclass(frozen=True)
class SemanticConfig:
    """Semantic branch. ``kind`` is ``w2v-bert`` (released weights) or ``conv`` (distilled, small).

    ``layers``, ``size``, ``mlp_size`` and ``heads`` describe either encoder; ``extra`` holds
    further keyword arguments of ``transformers.Wav2Vec2BertConfig`` and is ignored by ``conv``.
    """

    kind: str = "w2v-bert"
    layers: int = 16
    size: int = 1024
    mlp_size: int = 4096
    heads: int = 16
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole("semantic.layers", self.layers, 0, MOST_LAYERS)
        for name in ("size", "mlp_size", "heads"):
            whole(f"semantic.{name}", getattr(self, name), 1, MOST)
        if not isinstance(self.extra, dict):
            raise LlasaError("semantic.extra must be an object.")


@dataclass(frozen=True)
class CodecConfig:
    """Every size of the codec. Facts: paper section 3.2 and the released code.

    The encoder takes audio at ``input_rate``, always 16 kHz, and the decoder makes it at
    ``output_rate``: with 24,000 the same codes are heard up to 12 kHz.
    ``relu_skip``, ``double_bound`` and ``time_rotary`` are the quirks of the released weights; a
    codec trained from scratch may switch them off. With ``decoder_window`` a frame of sound
    depends on a bounded stretch of codes, so that it can be streamed exactly. ``decoder_head`` is
    ``istft`` (paper) or ``harmonic`` (see ``llasa.codec.heads.harmonic``), for small decoders. With
    ``speaker_size`` the decoder is told of the voice (see ``llasa.codec.speaker_encoder``).
    """

    input_rate: ClassVar[int] = SPEECH_RATE
    output_rate: int = SPEECH_RATE
    encoder_channels: int = 48
    strides: tuple[int, ...] = (2, 2, 4, 4, 5)
    dilations: tuple[int, ...] = (1, 3, 9)
    acoustic_size: int = 1024
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    levels: tuple[int, ...] = (4,) * 8
    decoder_size: int = 1024
    decoder_layers: int = 12
    decoder_heads: int = 16
    decoder_mlp_size: int = 4096
    norm_groups: int = 32
    dropout: float = 0.1
    relu_skip: bool = True  # the adapter's skip adds ReLU(x), not x (in-place ReLU in the original)
    double_bound: bool = True  # ResidualFSQ bounds once, FSQ bounds again
    time_rotary: bool = False  # released attention has no positions; True adds rotary time ones
    decoder_window: int = 0  # frames back that the decoder attends to (norms by frame); 0: all
    decoder_head: str = "istft"
    speaker_size: int = 0  # numbers in a speaker embedding; 0: the codes alone make the voice

    def __post_init__(self) -> None:
        check_choice(self.decoder_head, tuple(HEADS), "decoder_head")
        whole("speaker_size", self.speaker_size, 0, LARGEST_EMBEDDING)
        whole("decoder_layers", self.decoder_layers, 0, MOST_LAYERS)
        whole("decoder_window", self.decoder_window, 0, MOST)
        number("dropout", self.dropout, 0, 1)
        for name in ("encoder_channels", "acoustic_size", "decoder_size", "decoder_mlp_size"):
            whole(name, getattr(self, name), 1, MOST)
        for name in ("decoder_heads", "norm_groups"):
            whole(name, getattr(self, name), 1, self.decoder_size)
        for name, most in (("strides", 1000), ("dilations", 1000), ("levels", 1 << 16)):
            if not 0 < len(sizes := getattr(self, name)) <= MOST_STEPS:
                raise LlasaError(f"{name} has {len(sizes)} entries; give 1 to {MOST_STEPS}.")
            for size in sizes:
                whole(name, size, 1, most)
        whole("the number of codes", self.codebook_size, 1, MOST)
        if self.input_hop % 160:
            raise LlasaError(
                f"The strides give a hop of {self.input_hop} samples: it must be a multiple of 160."
            )
        self._check_output()
        if self.decoder_size % self.decoder_heads or self.decoder_size % self.norm_groups:
            raise LlasaError(
                f"decoder_size is {self.decoder_size}, but it must be a multiple of decoder_heads "
                f"({self.decoder_heads}) and of norm_groups ({self.norm_groups})."
            )

    def _check_output(self) -> None:
        lowest, highest = OUTPUT_RATES
        whole("output_rate", self.output_rate, lowest)
        # Windows of four hops, or of four half ones, lie evenly around the hop.
        if self.output_rate > highest or self.output_rate * self.input_hop % (4 * self.input_rate):
            step = 4 * self.input_rate // gcd(self.input_hop, 4 * self.input_rate)
            raise LlasaError(
                f"output_rate is {self.output_rate}: give a multiple of {step} Hz from {lowest} to "
                f"{highest}, such as 24000."
            )

    @property
    def reach(self) -> tuple[int, int] | None:
        """Frames before and after a frame on which its sound depends; None: the whole clip.

        The phases of a harmonic head also depend on the pitch of all frames before: see
        ``PhaseState``.
        """
        if not self.decoder_window:
            return None
        near = 3 + 8 + 2  # a k7 convolution, eight k3, and the windows of the head
        return near + self.decoder_layers * self.decoder_window, near

    @property
    def head(self) -> tuple[str, int, int, int]:
        """What `build_head` takes: name, width, samples per frame, sample rate."""
        return self.decoder_head, self.decoder_size, self.output_hop, self.output_rate

    @property
    def input_hop(self) -> int:
        """Input samples per token."""
        return prod(self.strides)

    @property
    def output_hop(self) -> int:
        """Output samples per token."""
        return self.output_rate * self.input_hop // self.input_rate

    @property
    def frame_rate(self) -> float:
        """Tokens per second."""
        return self.input_rate / self.input_hop

    @property
    def codebook_size(self) -> int:
        """Number of distinct codes."""
        return prod(self.levels)

    @property
    def latent_size(self) -> int:
        """Width of the fused latent: semantic channels first, acoustic second."""
        return self.semantic.size + self.acoustic_size

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CodecConfig:
        """Build from parsed JSON or YAML, also with `FORMER_KEYS`.

        Raises ``ValueError`` for unknown keys, and `LlasaError` for values that do not work.
        """
        values = {FORMER_KEYS.get(name, name): value for name, value in dict(values).items()}
        rate = values.pop("sample_rate", SPEECH_RATE)  # older files give it
        if rate != SPEECH_RATE:
            raise LlasaError(f"sample_rate is {rate} Hz, but a codec works at {SPEECH_RATE} Hz.")
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown codec setting {unknown[0]!r}")
        if "semantic" in values:
            values["semantic"] = SemanticConfig(**values["semantic"])
        for name in ("strides", "dilations", "levels"):
            if name in values:
                values[name] = tuple(values[name])
        return cls(**values)
