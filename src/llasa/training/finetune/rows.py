"""Data for fine-tuning: read, checked, brought to the model's text form, and split."""

from __future__ import annotations

import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.base.files import write_json
from llasa.base.names import plain
from llasa.data.check import check_manifests, write_clean
from llasa.data.check_report import summary
from llasa.data.importers import read_corpus
from llasa.data.manifest import Manifest, Utterance, read_manifest, write_manifest
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import META_FILE, ShardMeta, TokenDataset, shard_path
from llasa.models.folder import ModelConfig
from llasa.text import Form, clean_text, normalize_text
from llasa.training.finetune.settings import Finetuning

FORM_FILE = "form.json"
HELD_OUT, MOST_HELD_OUT = 20, 100
"""One text in this many is held out, up to a maximum."""
LEAST_LETTERS = 10
"""How often a letter of a new language must occur to be added to the model's alphabet."""


def is_tokens(path: Path) -> bool:
    """Whether it is a folder of token shards."""
    return (path / META_FILE).is_file()


def contents(path: Path) -> list[tuple[str, int]]:
    """Names and sizes of a file or of all files in a folder, to detect changes."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(str(file.relative_to(path)), file.stat().st_size) for file in files if file.is_file()]


def guess_format(path: Path) -> str:
    """The format of a corpus: `folder`, or `ljspeech` where there is a metadata.csv."""
    return "ljspeech" if (path / "metadata.csv").is_file() else "folder"


def checked(source: Path, settings: Finetuning, work: Path, name: str) -> list[Utterance]:
    """The usable recordings of a corpus or manifest; bad ones are reported and left out."""
    if settings.format is None and source.is_file() and source.suffix == ".jsonl":
        found: Iterable[Utterance] = Manifest(source)
    else:
        format = settings.format or guess_format(source)
        found = read_corpus(format, source, work / "clips")
    path = work / f"{name}.all.jsonl"
    write_manifest(path, (row.with_defaults(settings.language, None) for row in found))
    report = check_manifests([path])
    print(plain(summary(report), kept="\n"), file=sys.stderr)
    return read_manifest(write_clean(report.splits[0])[0])


def read_texts(
    rows: Sequence[Utterance], settings: Finetuning, config: ModelConfig, form: Form
) -> Iterator[Utterance]:
    """The recordings with their voice, and their texts in the model's form."""
    only = config.languages[0] if len(config.languages) == 1 else None
    for row in rows:
        text = clean_text(row.text or "")
        with suppress(LlasaError):  # numbers of a language that has no rules stay as they are
            text = normalize_text(text, row.language or only)
        text, timing = form(text), row.timing
        if text != row.text:  # which the timing counts characters of
            timing = ()
        yield replace(row, text=text, timing=timing, speaker=settings.voice or row.speaker)


def grown_form(form: Form, rows: Sequence[Utterance]) -> Form:
    """The form, extended by letters that a new language has and the model does not know."""
    if not form.alphabet:
        return form
    letters = Counter(c for row in rows for c in (row.text or "").lower() if c.isalpha())
    new = {letter for letter, times in letters.items() if times >= LEAST_LETTERS}
    return replace(form, alphabet=form.alphabet + "".join(sorted(new - set(form.alphabet))))


def held_out(texts: Sequence[str], seed: int) -> set[str]:
    """The held-out texts, the same whatever the order of the data."""
    unlike = sorted(set(texts), key=lambda text: (zlib.crc32(f"{seed} {text}".encode()), text))
    if len(unlike) < 2:
        raise LlasaError("The data has only one text: give at least two, one to judge by.")
    return set(unlike[: min(MOST_HELD_OUT, max(1, len(unlike) // HELD_OUT))])


def split_recordings(settings: Finetuning, config: ModelConfig, out: tuple[Path, Path]) -> None:
    """Write the manifests for training and for judging, and the form of their texts.

    The training manifest is written last, so its existence means that all is complete.
    """
    work = out[0].parent
    found = [checked(settings.data, settings, work, "data")]
    if settings.test is not None:
        found.append(checked(settings.test, settings, work, "held-out"))
    language, form = settings.language or found[0][0].language, config.form
    if config.languages and language not in (None, *config.languages):
        form = grown_form(form, found[0])
    train, *given = (list(read_texts(some, settings, config, form)) for some in found)
    people = set(named(row.speaker for row in train))
    if given:
        test = [row for row in given[0] if row.speaker in people]
        texts = {row.text or "" for row in test}
    else:
        texts = held_out([row.text or "" for row in train], settings.seed)
        test = [row for row in train if (row.text or "") in texts]
    train = [row for row in train if (row.text or "") not in texts]
    if not train or not test:
        raise LlasaError(
            f"{settings.test} has all texts of {settings.data}, or none of its speakers: give "
            "other recordings to judge by."
        )
    write_json(work / FORM_FILE, asdict(form))
    write_manifest(out[1], test)
    write_manifest(out[0], train)


def split_tokens(settings: Finetuning, out: tuple[Path, Path]) -> None:
    """Write shards to train on and to judge by from a folder of token shards."""
    source = settings.data
    if settings.test is not None:
        raise LlasaError(f"{settings.test} is for recordings; of tokens, some texts are held out.")
    tokens = TokenDataset(source)
    texts = [str(item.text) for item in tokens]
    test = held_out(texts, settings.seed)
    meta = ShardMeta(tokens.codec, tokens.codebook_size, tokens.frame_rate, 1, str(source))
    for folder in out:
        meta.save(folder)
        if shard_path(folder, 0).is_dir():
            continue
        with ShardWriter(folder, 0, meta) as writer:
            for item, text in zip(tokens, texts, strict=True):
                if (text in test) == (folder == out[1]):
                    speaker = settings.voice or item.speaker
                    writer.add(text, item.codes, speaker, item.timing, item.phones)


def named(speakers: Iterable[str | None]) -> list[str]:
    """Names of voices; `LlasaError` where a row has none."""
    found = set(speakers)
    if None in found:
        raise LlasaError("The data does not name its speaker: name the voice (--voice NAME).")
    return sorted(name for name in found if name is not None)
