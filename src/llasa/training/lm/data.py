"""Batches of training rows for the language model, a pure function of (seed, step)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llasa.base.arrays import Integers
from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.data.reader import TokenItem
from llasa.data.shards import TokenDataset
from llasa.data.texts import TextDataset
from llasa.training.lm.batch import Batch, collate
from llasa.training.lm.forms import as_typed
from llasa.training.lm.mixture import Mixture, RowKind, RowSource, SourceSettings
from llasa.vocabulary.ids import PHONES_PER_CODE
from llasa.vocabulary.prompts import PromptTask
from llasa.vocabulary.rows import TrainingRow
from llasa.vocabulary.vocabulary import Vocabulary

WINDOW = 4096
"""Rows that are sorted by length together."""


@dataclass
class LMDataSettings:
    """Token shards and how they become batches.

    ``train`` and ``valid`` name folders that ``llasa tokenize`` made, or ``*_input_ids.memmap``
    files of the released data; ``valid_rows`` of ``valid`` are scored at each evaluation.

    ``layout``: ``bucket`` pads rows of similar length together; ``pack`` fills sequences of
    ``max_tokens`` with whole rows that do not see each other. ``tokens`` is the size of a batch of
    one worker, padding included. ``short_first`` is the share of the rows, the shortest ones, with
    which the first epoch begins, from the shortest to the longest. ``released`` builds rows as the
    released trainer does (one padded row a sequence).

    ``prompted`` is the share of rows that begin with another utterance of the same speaker, as a
    prompt for zero-shot cloning does; a row whose speaker is unknown or has nothing short enough
    stays plain, and so do those of ``valid``. ``speaker_names`` puts `Speaker NAME` before the
    speech of every row without a prompt, for voices that are called by name.

    ``mixture`` adds sources of other tasks or weights to ``train``, whose rows all come once an
    epoch: see ``SourceSettings``.

    ``global_tokens`` is the size of a step's batch, of whichever number of processes: it is made of
    as many batches of ``tokens`` as come closest. 0 leaves it at ``optimizer.accumulate`` of each
    process. ``epochs`` says how long the run is in passes over the data; 0 leaves it at
    ``run.steps``. ``tokens_per_code`` estimates the length of a row by its codes, text included: a
    tokenizer of bytes takes about 1.4, that of Llama 3 1.07.

    ``typed`` is the share of training rows whose text is put into a form in which people type
    (see ``as_typed``).
    ``hear`` is the share of training rows that go from the codes to the text (paper table 3).
    """

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    valid_rows: int = 64
    layout: Literal["bucket", "pack"] = "bucket"
    tokens: int = 16_384
    max_tokens: int = 2048
    short_first: float = 0.0
    released: bool = False
    task: PromptTask = "tts"
    prompted: float = 0.0
    speaker_names: bool = False
    typed: float = 0.0
    hear: float = 0.0
    mixture: list[SourceSettings] = field(default_factory=list)
    global_tokens: int = 0
    epochs: float = 0.0
    tokens_per_code: float = 1.4

    def __post_init__(self) -> None:
        for name in ("valid_rows", "tokens", "max_tokens"):
            whole(f"Setting data.{name}", getattr(self, name))
        whole("Setting data.global_tokens", self.global_tokens, 0)
        number("Setting data.epochs", self.epochs, 0)
        number("Setting data.tokens_per_code", self.tokens_per_code, 1)
        for name in ("prompted", "short_first", "typed", "hear"):
            number(f"Setting data.{name}", getattr(self, name), 0, 1)
        if self.released and self.layout == "pack":
            raise LlasaError("Rows of data.released fill a sequence each: use data.layout=bucket.")
        if self.prompted and self.released:
            raise LlasaError("Rows of data.released have no prompt: use data.prompted=0.")
        if self.task == "asr" and (self.prompted or self.speaker_names):
            raise LlasaError("Settings data.prompted and data.speaker_names need data.task=tts.")
        if self.hear and (self.task == "asr" or self.released):
            raise LlasaError("Setting data.hear needs data.task=tts and data.released=false.")
        if self.released and any(source.task != "tts" for source in self.mixture):
            raise LlasaError("Rows of data.released speak: leave other tasks out of data.mixture.")

    @property
    def writes(self) -> bool:
        """Whether any row ends in text."""
        return self.hear > 0 or any(task != "tts" for task in self.tasks)

    @property
    def tasks(self) -> list[str]:
        """Tasks of all sources."""
        own = [self.task] if self.train else []
        return [*own, *(source.task for source in self.mixture)]


class LMBatches:
    """Plans each epoch from (seed, epoch) and builds the batch of any step.

    Utterances that cannot become a row, such as one whose text fills it, are left out of their
    batch and noted in ``lost``, with the reason. Raises ``LlasaError`` where data and vocabulary do
    not belong together.
    """

    def __init__(
        self,
        settings: LMDataSettings,
        dataset: TokenDataset | Mixture,
        vocabulary: Vocabulary,
        seed: int,
        phones: Sequence[str] = (),
    ) -> None:
        if vocabulary.codebook_size < dataset.codebook_size:
            raise LlasaError(
                f"The data has {dataset.codebook_size} codes, the vocabulary only "
                f"{vocabulary.codebook_size}: tokenize with the codec of this vocabulary."
            )
        if dataset.text_base not in (None, vocabulary.base_size):
            raise LlasaError(
                f"The released data needs the {dataset.text_base:,} text tokens of Llama 3, the "
                f"vocabulary has {vocabulary.base_size:,}: use that of a released model."
            )
        if len(dataset) == 0:
            raise LlasaError("The token shards hold no utterances: run llasa tokenize again.")
        self.settings, self.dataset = settings, dataset
        if isinstance(dataset, TokenDataset):
            dataset = Mixture([RowSource(dataset, settings.task)])
        self.mixture = dataset
        self.vocabulary, self.seed = vocabulary, seed
        self.lost: dict[str, str] = {}
        self._phones = {symbol: number for number, symbol in enumerate(phones)}
        self.lengths = self.mixture.lengths(vocabulary, settings.tokens_per_code)
        self._plans: dict[int, list[Integers]] = {}
        self._starts = [0]
        self._tokens_per_code = settings.tokens_per_code + PHONES_PER_CODE * bool(vocabulary.phones)
        name = "a" if settings.speaker_names else None
        self._overhead = len(vocabulary.tts_prompt("a", speaker=name)) + 1
        groups = self.mixture.speakers() if settings.prompted else []
        self._speakers = [group[np.argsort(self.lengths[group], kind="stable")] for group in groups]
        """Utterances of each speaker, from the shortest to the longest."""
        self._prompts: dict[int, Integers] = {}

    def prompts(self, epoch: int) -> Integers:
        """Utterance that is the prompt of each one in an epoch, or -1; shape (utterances,)."""
        if epoch not in self._prompts:
            rng = np.random.default_rng((self.seed, epoch, 1))
            prompts = np.full(len(self.lengths), -1)
            room = (self.settings.max_tokens - self._overhead) / self._tokens_per_code
            for group in self._speakers:
                lengths, rank = self.lengths[group], np.arange(len(group))
                fitting = np.searchsorted(lengths, room - lengths, side="right")
                others = fitting - (rank < fitting)
                chance, place = rng.random((2, len(group)))
                chosen = (place * others).astype(np.int64)
                chosen += chosen >= rank  # no utterance is its own prompt
                wanted = (chance < self.settings.prompted) & (others > 0)
                prompts[group[wanted]] = group[chosen[wanted]]
            self._prompts = {epoch: prompts}
        return self._prompts[epoch]

    def plan(self, epoch: int) -> list[Integers]:
        """Batches of utterance numbers of one epoch."""
        if epoch not in self._plans:
            rng = np.random.default_rng((self.seed, epoch))
            rows = self.mixture.epoch(epoch, self.seed)
            order = rng.permutation(len(rows))
            codes = self.lengths[rows]
            if self._speakers:
                prompts = self.prompts(epoch)[rows]
                codes = codes + np.where(prompts < 0, 0, self.lengths[prompts])
            short = int(self.settings.short_first * len(order)) if epoch == 0 else 0
            ascending = np.argsort(codes, kind="stable")[:short]
            first = self._split(rows[ascending], codes[ascending])
            if short:
                order = order[~np.isin(order, ascending)]
            batches: list[Integers] = []
            # Rows of like length waste little padding; sorting windows keeps the order random.
            for start in range(0, len(order), WINDOW):
                part = order[start : start + WINDOW]
                part = part[np.argsort(codes[part], kind="stable")]
                batches += self._split(rows[part], codes[part])
            self._plans = {epoch: first + [batches[i] for i in rng.permutation(len(batches))]}
        return self._plans[epoch]

    def _split(self, part: Integers, codes: NDArray[np.int32]) -> list[Integers]:
        """Rows from the shortest to the longest, as many to a batch as fit into it."""
        tokens, longest = self.settings.tokens, self.settings.max_tokens
        widths = np.minimum(codes * self._tokens_per_code + self._overhead, longest)
        if self.settings.released:
            widths[:] = longest  # every row counts as long as the released trainer pads it
        sizes, batches, begin = widths.tolist(), list[Integers](), 0
        while begin < len(part):
            # Not more than if all were as short as the first; then one less at a time.
            end = min(len(part), begin + 1 + int(tokens // sizes[begin]))
            while end > begin + 1 and sizes[end - 1] * (end - begin) > tokens:
                end -= 1
            batches.append(part[begin:end])
            begin = end
        return batches

    def batch(self, index: int) -> Batch:
        """The ``index``-th batch since the start of training."""
        while index >= self._starts[-1]:
            count = len(self.plan(len(self._starts) - 1))
            self._starts.append(self._starts[-1] + count)
        epoch = int(np.searchsorted(self._starts, index, side="right")) - 1
        plan, prompts = self.plan(epoch), self.prompts(epoch)
        place = index - self._starts[epoch]
        rng, hearing = (np.random.default_rng((self.seed, index, kind)) for kind in (2, 3))
        for chosen in (*plan[place:], *plan[:place]):  # the first that holds anything
            typed = rng.random(len(chosen)) < self.settings.typed
            heard = hearing.random(len(chosen)) < self.settings.hear
            rows = [
                self._sound_row(int(i), int(prompts[i]), rng if other else None, hears)
                for i, other, hears in zip(chosen, typed, heard.tolist(), strict=True)
            ]
            if found := [row for row in rows if row is not None]:
                return self.collate(found)
        raise LlasaError(next(iter(self.lost.values())))

    def _sound_row(
        self, index: int, prompt: int, typed: np.random.Generator | None, hears: bool
    ) -> TrainingRow | None:
        try:
            if hears and self.mixture.find(index)[0].task == "tts":
                return self.row(index, task="asr")
            return self.row(index, prompt=prompt, typed=typed)
        except LlasaError as error:
            self.lost[f"utterance {index}"] = str(error)
            return None

    def row(
        self,
        index: int,
        text_of: int | None = None,
        prompt: int = -1,
        typed: np.random.Generator | None = None,
        task: PromptTask | None = None,
    ) -> TrainingRow:
        """Training row of one utterance, or of a text.

        ``text_of`` takes the text of another one. ``prompt`` puts another one before it, unless
        both together are too long. ``typed`` draws a form in which people type the text. ``task``
        is that of the source unless it is given.
        """
        source, place = self.mixture.find(index)
        if isinstance(source.rows, TextDataset):
            written = source.rows[place]
            return self.vocabulary.text_row(*written, max_tokens=self.settings.max_tokens)
        item = source.rows[place]
        if text_of is not None:
            other = self._utterance(text_of)
            item = item._replace(text=other.text)
        if typed is not None and isinstance(item.text, str):
            text, timing = as_typed(item.text, item.timing, typed)
            item = item._replace(text=text, timing=timing)
        try:
            row = self._prompted_row(item, self._utterance(prompt)) if prompt >= 0 else None
            row = row or self._plain_row(item, task or source.task)
        except LlasaError as error:
            raise LlasaError(
                f"Utterance {index} of the token shards ({item.text!r}): {error}"
            ) from error
        return replace(row, timing=item.timing, phones=item.phones)

    def _utterance(self, index: int) -> TokenItem:
        source, place = self.mixture.find(index)
        assert isinstance(source.rows, TokenDataset)  # a text is no prompt
        return source.rows[place]

    def _prompted_row(self, item: TokenItem, first: TokenItem) -> TrainingRow | None:
        """A row that begins with another utterance; None where both together are too long."""
        assert isinstance(first.text, str)  # ids come without speakers
        row = self.vocabulary.training_row(
            item.text,
            item.codes,
            prompt_text=first.text,
            prompt_codes=first.codes,
            max_tokens=sys.maxsize,
            phones=item.phones,
            prompt_phones=first.phones,
        )
        if len(row.ids) > self.settings.max_tokens:
            return None
        return replace(row, prompt_timing=first.timing, prompt_phones=first.phones)

    def _plain_row(self, item: TokenItem, task: RowKind) -> TrainingRow:
        assert task != "text"  # which has no codes
        named = self.settings.speaker_names and task == "tts"
        return self.vocabulary.training_row(
            item.text,
            item.codes,
            speaker=(item.speaker or None) if named else None,
            task=task,
            max_tokens=self.settings.max_tokens,
            released=self.settings.released,
            phones=item.phones,
        )

    def collate(self, rows: list[TrainingRow]) -> Batch:
        """Rows to one batch, padded or packed."""
        packed = self.settings.max_tokens if self.settings.layout == "pack" else 0
        return collate(rows, self._phones, packed)
