"""Batches of training rows for the language model, a pure function of (seed, step)."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.data.shards import TokenDataset
from llasa.training.auxiliary.phones import phones_at
from llasa.training.lm.forms import as_typed
from llasa.vocabulary.ids import PHONES_PER_CODE, Moments
from llasa.vocabulary.rows import IGNORE, Row
from llasa.vocabulary.vocabulary import Vocabulary

Numbers = NDArray[np.int64]

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

    ``global_tokens`` is the size of a step's batch, of whichever number of processes: it is made of
    as many batches of ``tokens`` as come closest. 0 leaves it at ``optimizer.accumulate`` of each
    process. ``epochs`` says how long the run is in passes over the data; 0 leaves it at
    ``run.steps``. ``tokens_per_code`` estimates the length of a row by its codes, text included: a
    tokenizer of bytes takes about 1.4, that of Llama 3 1.07.

    ``typed`` is the share of training rows whose text is put into a form in which people type
    (see ``as_typed``).
    """

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    valid_rows: int = 64
    layout: Literal["bucket", "pack"] = "bucket"
    tokens: int = 16_384
    max_tokens: int = 2048
    short_first: float = 0.0
    released: bool = False
    task: Literal["tts", "asr"] = "tts"
    prompted: float = 0.0
    speaker_names: bool = False
    typed: float = 0.0
    global_tokens: int = 0
    epochs: float = 0.0
    tokens_per_code: float = 1.4

    def __post_init__(self) -> None:
        for name in ("valid_rows", "tokens", "max_tokens"):
            whole(f"Setting data.{name}", getattr(self, name))
        whole("Setting data.global_tokens", self.global_tokens, 0)
        number("Setting data.epochs", self.epochs, 0)
        number("Setting data.tokens_per_code", self.tokens_per_code, 1)
        for name in ("prompted", "short_first", "typed"):
            number(f"Setting data.{name}", getattr(self, name), 0, 1)
        if self.released and self.layout == "pack":
            raise LlasaError("Rows of data.released fill a sequence each: use data.layout=bucket.")
        if self.prompted and self.released:
            raise LlasaError("Rows of data.released have no prompt: use data.prompted=0.")
        if self.task == "asr" and (self.prompted or self.speaker_names):
            raise LlasaError("Settings data.prompted and data.speaker_names need data.task=tts.")


class Batch(NamedTuple):
    """Rows side by side; all (batch, length) but ``mask``.

    ``text`` holds the places of a row's text tokens, 0.5, 1.5 and on; ``speech`` says for the
    positions that predict codes at which place the text is then read: by the timing of the
    utterance, or else in proportion. Both are -1 outside. ``phones`` numbers the phone that is to
    be heard in the code these positions predict, or is IGNORE.
    ``row`` numbers the row of a packed token, -1 is padding. ``mask`` is what ``Llama.hidden``
    takes: None for rows side by side, which end in padding that causality hides from them.
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor
    text: Tensor
    speech: Tensor
    phones: Tensor
    row: Tensor
    mask: Tensor | None

    def targets(self) -> Tensor:
        """What each position but the last is to predict, (batch, length - 1), or IGNORE."""
        # A packed row's first token must not be predicted from the row before it.
        follows = self.row[:, 1:] == self.row[:, :-1]
        return torch.where(follows, self.labels[:, 1:], IGNORE)

    def seen(self) -> Tensor:
        """What each position may attend to beside causality, (batch, 1, 1 or length, length)."""
        return (self.row >= 0)[:, None, None, :] if self.mask is None else self.mask

    def silent(self) -> Batch:
        """The same rows with nothing to learn."""
        nothing = self.labels.new_full(self.labels.shape, IGNORE)
        speech = torch.full_like(self.speech, -1)
        return self._replace(labels=nothing, phones=nothing, speech=speech)

    def learnt(self) -> int:
        """Number of positions that have a target."""
        return int((self.targets() != IGNORE).sum())

    def to(self, device: torch.device) -> Batch:
        moved = (None if t is None else t.to(device, non_blocking=True) for t in self)
        return Batch._make(moved)


class LMBatches:
    """Plans each epoch from (seed, epoch) and builds the batch of any step.

    Utterances that cannot become a row, such as one whose text fills it, are left out of their
    batch and noted in ``lost``, with the reason. Raises ``LlasaError`` where data and vocabulary do
    not belong together.
    """

    def __init__(
        self,
        settings: LMDataSettings,
        dataset: TokenDataset,
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
        self.vocabulary, self.seed = vocabulary, seed
        self.lost: dict[str, str] = {}
        self._phones = {symbol: number for number, symbol in enumerate(phones)}
        self.lengths = dataset.lengths()
        self._plans: dict[int, list[Numbers]] = {}
        self._starts = [0]
        self._tokens_per_code = settings.tokens_per_code + PHONES_PER_CODE * bool(vocabulary.phones)
        name = "a" if settings.speaker_names else None
        self._overhead = len(vocabulary.tts_prompt("a", speaker=name)) + 1
        groups = dataset.speakers() if settings.prompted else []
        self._speakers = [group[np.argsort(self.lengths[group], kind="stable")] for group in groups]
        """Utterances of each speaker, from the shortest to the longest."""
        self._prompts: dict[int, Numbers] = {}

    def prompts(self, epoch: int) -> Numbers:
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

    def plan(self, epoch: int) -> list[Numbers]:
        """Batches of utterance numbers of one epoch."""
        if epoch not in self._plans:
            rng = np.random.default_rng((self.seed, epoch))
            order = rng.permutation(len(self.lengths))
            prompts = self.prompts(epoch)
            before = np.where(prompts < 0, 0, self.lengths[prompts])
            codes = self.lengths.astype(np.int64) + before
            short = int(self.settings.short_first * len(order)) if epoch == 0 else 0
            ascending = np.argsort(codes, kind="stable")[:short]
            first = self._split(ascending, codes[ascending])
            order = order[~np.isin(order, ascending)]
            batches: list[Numbers] = []
            # Rows of like length waste little padding; sorting windows keeps the order random.
            for start in range(0, len(order), WINDOW):
                part = order[start : start + WINDOW]
                part = part[np.argsort(codes[part], kind="stable")]
                batches += self._split(part, codes[part])
            self._plans = {epoch: first + [batches[i] for i in rng.permutation(len(batches))]}
        return self._plans[epoch]

    def _split(self, part: Numbers, codes: Numbers) -> list[Numbers]:
        batches: list[Numbers] = []
        current = 0
        longest = self.settings.max_tokens
        widths = np.minimum(codes * self._tokens_per_code + self._overhead, longest)
        if self.settings.released:
            widths[:] = longest  # every row is padded to it
        for end in range(1, len(part) + 1):
            full = end < len(part) and widths[end] * (end + 1 - current) > self.settings.tokens
            if full or end == len(part):
                batches.append(part[current:end])
                current = end
        return batches

    def batch(self, index: int) -> Batch:
        """The ``index``-th batch since the start of training."""
        while index >= self._starts[-1]:
            count = len(self.plan(len(self._starts) - 1))
            self._starts.append(self._starts[-1] + count)
        epoch = int(np.searchsorted(self._starts, index, side="right")) - 1
        plan, prompts = self.plan(epoch), self.prompts(epoch)
        place = index - self._starts[epoch]
        rng = np.random.default_rng((self.seed, index, 2))
        for chosen in (*plan[place:], *plan[:place]):  # the first that holds anything
            typed = rng.random(len(chosen)) < self.settings.typed
            rows = [
                self._sound_row(int(i), int(prompts[i]), rng if other else None)
                for i, other in zip(chosen, typed, strict=True)
            ]
            if found := [row for row in rows if row is not None]:
                return self.collate(found)
        raise LlasaError(next(iter(self.lost.values())))

    def _sound_row(self, index: int, prompt: int, typed: np.random.Generator | None) -> Row | None:
        try:
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
    ) -> Row:
        """Training row of one utterance.

        ``text_of`` takes the text of another one. ``prompt`` puts another one before it, unless
        both together are too long. ``typed`` draws a form in which people type the text.
        """
        item = self.dataset[index]
        text = item.text if text_of is None else self.dataset[text_of].text
        timing, most = item.timing, self.settings.max_tokens
        if typed is not None and isinstance(text, str):
            text, timing = as_typed(text, timing, typed)
        try:
            if prompt >= 0:
                first = self.dataset[prompt]
                assert isinstance(first.text, str)  # ids come without speakers
                row = self.vocabulary.training_row(
                    text,
                    item.codes,
                    prompt_text=first.text,
                    prompt_codes=first.codes,
                    max_tokens=sys.maxsize,
                    phones=item.phones,
                    prompt_phones=first.phones,
                )
                if len(row.ids) <= most:
                    row = replace(row, prompt_timing=first.timing, prompt_phones=first.phones)
                    return replace(row, timing=timing, phones=item.phones)
            row = self.vocabulary.training_row(
                text,
                item.codes,
                speaker=(item.speaker or None) if self.settings.speaker_names else None,
                task=self.settings.task,
                max_tokens=most,
                released=self.settings.released,
                phones=item.phones,
            )
            return replace(row, timing=timing, phones=item.phones)
        except LlasaError as error:
            raise LlasaError(
                f"Utterance {index} of the token shards ({text!r}): {error}"
            ) from error

    def collate(self, rows: list[Row]) -> Batch:
        """Rows to one batch, padded or packed."""
        if self.settings.layout == "pack":
            lines = _pack(rows, self.settings.max_tokens)
        else:
            lines = [[row] for row in rows]
        width = max(sum(len(row.ids) for row in line) for line in lines)
        shape = (len(lines), width)
        ids = np.zeros(shape, np.int64)
        labels = np.full(shape, IGNORE, np.int64)
        positions, owner = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
        visible = np.zeros(shape, bool)
        text, speech = np.full(shape, -1, np.float32), np.full(shape, -1, np.float32)
        phones = np.full(shape, IGNORE, np.int64)
        for i, line in enumerate(lines):
            at = 0
            for place, row in enumerate(line):
                here = slice(at, at + len(row.ids))
                ids[i, here], labels[i, here] = row.ids, row.labels
                positions[i, here] = np.arange(len(row.ids))
                owner[i, here], visible[i, here] = place, row.attention_mask.astype(bool)
                first, last = (min(end, len(row.ids)) for end in row.text_span)
                text[i, at + first : at + last] = np.arange(last - first) + 0.5
                spoken = max(0, int((row.labels != IGNORE).sum()) - 1)
                begin = at + row.speech_start
                moments = row.moments[:spoken]
                speech[i, begin : begin + spoken] = _reading(row, last - first, moments)
                phones[i, begin : begin + spoken] = self._phone_numbers(row, moments)
                at += len(row.ids)
        mask = None
        if self.settings.layout == "pack" or self.settings.released:
            same = owner[:, None, :, None] == owner[:, None, None, :]
            mask = torch.from_numpy(same & visible[:, None, None, :])
        arrays = (ids, labels, positions, text, speech, phones, owner)
        return Batch._make([*map(torch.from_numpy, arrays), mask])

    def _phone_numbers(self, row: Row, moments: Moments) -> Numbers:
        """Number of the phone at each moment; IGNORE where it is not known."""
        before = row.prompt[1]
        early = moments < before
        return np.concatenate(
            [
                phones_at(moments[early], row.prompt_phones, self._phones),
                phones_at(moments[~early] - before, row.phones, self._phones),
            ]
        )


def _reading(row: Row, words: int, moments: Moments) -> NDArray[np.float64]:
    """Place in the ``words`` text tokens at each moment, the prompt's included."""
    prompt_words, prompt_codes = row.prompt
    early = moments < prompt_codes
    prompt = _places(row.prompt_timing, prompt_words, moments[early], prompt_codes)
    codes = math.ceil(moments[-1]) - prompt_codes if len(moments) else 0
    target = _places(row.timing, words - prompt_words, moments[~early] - prompt_codes, codes)
    return np.concatenate([prompt, prompt_words + target])


def _places(
    timing: Sequence[tuple[float, float]], words: int, moments: Moments, codes: int
) -> NDArray[np.float64]:
    """Place in the text at each moment of ``codes`` codes, in proportion without a timing."""
    share, after = np.array(timing or [(0, 0), (1, codes)], np.float64).T
    return np.interp(moments, after, share) * words


def _pack(rows: list[Row], width: int) -> list[list[Row]]:
    """First-fit decreasing: whole rows into sequences of at most ``width`` tokens."""
    lines: list[list[Row]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda r: -len(r.ids)):
        place = next((i for i, free in enumerate(room) if free >= len(row.ids)), None)
        if place is None:
            lines.append([])
            room.append(width)
            place = len(lines) - 1
        lines[place].append(row)
        room[place] -= len(row.ids)
    return lines
