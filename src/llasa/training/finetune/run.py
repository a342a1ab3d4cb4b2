"""The stages of fine-tuning; each resumes where it was interrupted and runs once."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, read_json
from llasa.base.names import check_name
from llasa.codec.codec import Codec
from llasa.data.manifest import Utterance, read_manifest
from llasa.data.ranks import own_place
from llasa.data.shards import TokenDataset
from llasa.data.tokenize import tokenize
from llasa.lm.config import read_config
from llasa.lm.llama import Llama
from llasa.lm.lora import LoraSettings
from llasa.models.find import find_model
from llasa.models.identity import identity, model_identity
from llasa.models.pack import check_target, pack_model
from llasa.models.voice import Voice, voice_files
from llasa.text import Form
from llasa.training.auxiliary.alignment import kept_heads
from llasa.training.checkpoint import checkpoints
from llasa.training.finetune import rows
from llasa.training.finetune.settings import FULL_RATES, LORA_RATE, OWN_SPEECH, SMALL, Finetuning
from llasa.training.finetune.speech import MOST_OWN, own_speech, typical
from llasa.training.lm.data import LMBatches, LMDataSettings
from llasa.training.lm.settings import LMOptimizerSettings, LMTraining
from llasa.training.lm.trainer import ADAPTER, LMTrainer
from llasa.training.pinned import pin
from llasa.training.settings import RunSettings
from llasa.tts.llasa import Llasa
from llasa.vocabulary.vocabulary import Vocabulary

_ELSEWHERE = {"out", "device"}
"""Settings that do not change the result."""


class Finetune:
    """One fine-tuning: call `prepare`, `train` and `pack` in this order.

    Raises `LlasaError` where base, data and settings do not fit, or the work in progress beside
    `out` was begun with other settings.
    """

    def __init__(self, settings: Finetuning) -> None:
        self.settings = settings
        self.files = find_model(settings.base, settings.codec)
        check_name(settings.out.resolve().name, "model name")
        check_target(settings.out)
        if own_place().world > 1:
            raise LlasaError(
                "A fine-tuning is one process: for several, use llasa data tokenize, llasa train "
                "lm and llasa pack."
            )
        self.vocabulary = Vocabulary.load(self.files.lm)
        self._clips: dict[str, Utterance | None] = {}
        if self.vocabulary.phones and settings.own_speech:
            raise LlasaError(
                "This model has phone tokens, which its own speech lacks: use own_speech 0."
            )
        self.work = make_folder(settings.out.with_name(f"{settings.out.name}-run"))
        self._pin()

    def _pin(self) -> None:
        """Refuse a work folder that was begun with other settings."""
        own = {k: v for k, v in asdict(self.settings).items() if k not in _ELSEWHERE}
        values = {k: str(v) for k, v in own.items()}
        values["identity"] = model_identity(self.files, {})
        values["files"] = identity([rows.contents(self.settings.data)])
        pin(self.work, values)

    @cached_property
    def codec(self) -> Codec:
        return Codec.load(self.files.codec, self.settings.device)

    @cached_property
    def base(self) -> Llasa:
        """The model to start from."""
        return Llasa.open(self.files, self.settings.device)

    @property
    def manifests(self) -> tuple[Path, Path]:
        """Manifests of the training and held-out recordings; absent for token shards."""
        return self.work / "train.jsonl", self.work / "test.jsonl"

    @property
    def tokens(self) -> tuple[Path, Path]:
        """The same as token shards."""
        return self.work / "tokens" / "train", self.work / "tokens" / "test"

    @cached_property
    def train_rows(self) -> list[Utterance]:
        """Recordings to train on; none where there are only tokens."""
        return read_manifest(self.manifests[0]) if self.manifests[0].exists() else []

    @cached_property
    def test_rows(self) -> list[Utterance]:
        """Recordings that were held out."""
        return read_manifest(self.manifests[1]) if self.manifests[1].exists() else []

    @cached_property
    def train_tokens(self) -> TokenDataset:
        """Utterances to train on."""
        return TokenDataset(self.tokens[0])

    @cached_property
    def test_tokens(self) -> TokenDataset:
        """What was held out, as tokens."""
        return TokenDataset(self.tokens[1])

    @cached_property
    def speakers(self) -> list[str]:
        """Names of the new voices."""
        told = (item.speaker for item in self.train_rows or self.train_tokens)
        found = rows.named(told)
        known = voice_files(*self.files.voices)
        if taken := sorted(set(found) & known.keys()):
            raise LlasaError(
                f"{self.settings.base} has a voice {taken[0]} already: choose another name."
            )
        return found

    @property
    def form(self) -> Form:
        """The text form of the new model."""
        path = self.work / rows.FORM_FILE
        return Form.of(read_json(path)) if path.exists() else self.files.settings.form

    def prepare(self) -> None:
        """Check and split the data, and turn it into tokens."""
        if rows.is_tokens(self.settings.data):
            rows.split_tokens(self.settings, self.tokens)
        else:
            if not self.manifests[0].exists():
                rows.split_recordings(self.settings, self.files.settings, self.manifests)
            _ = self.speakers
            for manifest, out in zip(self.manifests, self.tokens, strict=True):
                tokenize(manifest, out, self.codec)
        tokens = TokenDataset(*self.tokens)
        if tokens.codec not in ("", self.codec.id):
            raise LlasaError(
                f"{self.settings.data} holds codes of {tokens.codec}, but the codec is "
                f"{self.codec.id}: tokenize the recordings again."
            )
        if self.vocabulary.phones and not all(item.phones for item in tokens):
            raise LlasaError(
                f"{self.settings.base} names phones before its codes: give a manifest that tells "
                "the phones of each recording."
            )

    @property
    def language(self) -> str | None:
        """Language of the data; None if neither settings, nor data, nor model tell."""
        told = [self.settings.language, *(row.language for row in self.train_rows[:1])]
        return next(filter(None, [*told, *self.files.settings.languages[:1]]), None)

    def clip(self, speaker: str) -> Utterance | None:
        """The most typical recording of a voice; None where there are only tokens."""
        if speaker not in self._clips:
            own = [row for row in self.train_rows if row.speaker == speaker]
            self._clips[speaker] = typical(own, self.codec) if own else None
        return self._clips[speaker]

    @cached_property
    def voices(self) -> list[Voice]:
        """The new voices: the names that the model learns, with their speaker embeddings."""
        folder = make_folder(self.work / "voices")
        made = []
        for name in self.speakers:
            path = folder / f"{name}.safetensors"
            if not path.exists():
                clip = self.clip(name)
                sound = self.settings.clip or (None if clip is None else clip.path)
                embedding = None
                if sound is not None:
                    embedding = self.codec.speaker_embedding(read_audio(sound).mono())
                about = (self.codec.id, self.codec.frame_rate, name, embedding)
                Voice(name, "", np.zeros(0, np.int64), *about).save(path)
            made.append(Voice.load(path))
        return made

    @property
    def lm_run(self) -> Path:
        """Folder of the training run."""
        return self.work / "lm"

    def train(self) -> Path:
        """Teach the language model the new voices; returns its folder."""
        settings = self.training()
        found = checkpoints(self.lm_run)
        if not found or found[-1][0] < settings.run.steps:
            self.__dict__.pop("base", None)  # its memory is needed
            LMTrainer(settings).train()
        return checkpoints(self.lm_run)[-1][1]

    def training(self) -> LMTraining:
        """Settings of the training run; also makes the model's own speech that is mixed in."""
        own, lora = self.settings, self.settings.method == "lora"
        longest = min(self.files.settings.max_tokens, LMDataSettings.max_tokens)
        data = LMDataSettings(
            train=[str(self.tokens[0]), *map(str, self._own_speech())],
            valid=[str(self.tokens[1])],
            tokens=own.tokens,
            max_tokens=longest,
            speaker_names=True,
        )
        steps = own.steps
        if steps is None:
            batches = LMBatches(data, TokenDataset(*data.train), self.vocabulary, own.seed)
            steps = max(1, round(own.epochs * len(batches.plan(0))))
        with torch.device("meta"):
            size = sum(p.numel() for p in Llama(read_config(self.files.lm)).parameters())
        usual = LORA_RATE if lora else FULL_RATES[size >= SMALL]
        every = max(1, steps // 5)
        run = RunSettings(str(self.lm_run), steps, own.seed, 10, every, every, 1)
        return LMTraining(
            str(self.files.lm),
            replace(run, device=own.device or "auto", bf16=own.bf16),
            data,
            init=str(self.files.lm),
            full_vocabulary=False,
            checkpointing=size >= SMALL,
            lora=own.lora if lora else LoraSettings(),
            alignment=kept_heads(self.files, TokenDataset(*data.train), steps),
            optimizer=LMOptimizerSettings(usual if own.rate is None else own.rate),
        )

    def _own_speech(self) -> list[Path]:
        share, out = self.settings.own_speech, self.work / "own-speech"
        if share is None:
            share = 0.0 if self.vocabulary.phones else OWN_SPEECH[self.settings.method]
        tokens = self.train_tokens
        count = min(MOST_OWN, round(share * len(tokens)))
        if not count:
            return []
        chosen = np.random.default_rng(self.settings.seed).integers(len(tokens), size=count)
        texts = [str(tokens[int(number)].text) for number in chosen]
        own_speech(self.base, texts, out, self.settings.seed, self.language)
        return [out]

    def pack(self, lm: Path) -> Path:
        """Write the model folder with the voices of the base model and the new ones."""
        config, own = self.files.settings, self.settings
        old = [Voice.load(path) for path in voice_files(*self.files.voices).values()]
        voices = [*(voice for voice in old if voice.fits(self.codec)), *self.voices]
        languages = config.languages
        if languages and self.language is not None and self.language not in languages:
            languages = (*languages, self.language)
        changed = config.after_speaking(
            name=own.out.resolve().name,
            default_voice=self.speakers[0],
            languages=languages,
            form=self.form,
        )
        apart = own.method == "lora" and not own.merge
        return pack_model(
            self.files.lm if apart else lm,
            self.files.codec,
            own.out,
            changed,
            voices=voices,
            adapter=lm / ADAPTER if apart else None,
        )
