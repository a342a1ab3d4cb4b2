"""``llasa data``: manifests, their check, token shards and conversions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llasa.base.errors import LlasaError
from llasa.base.names import plain
from llasa.cli.options import add_model_flags, load_codec, print_json
from llasa.cli.parser import Parser, given
from llasa.models.find import find_model

if TYPE_CHECKING:
    from llasa.vocabulary.vocabulary import Vocabulary

_MANIFEST_HELP = 'JSONL, {"audio": PATH, "text": ...} a line'
_ROOT_HELP = "where the paths begin (default: the manifest's folder)"


def data_command(data: Parser) -> None:
    kinds = data.add_subparsers(dest="kind", required=True)
    _import_arguments(kinds.add_parser("import", help="a corpus as it is published to a manifest"))
    _check_arguments(kinds.add_parser("check", help="find what is wrong with recordings and texts"))
    tokenize_command(kinds.add_parser("tokenize", help="recordings of a manifest to token shards"))
    _convert_arguments(kinds.add_parser("convert", help="token data from one form into another"))
    extend = "speech tokens after the tokens of a text model, which then learns to speak"
    _vocabulary_arguments(kinds.add_parser("vocabulary", help=extend))


def _import_arguments(command: Parser) -> None:
    from llasa.data.importers import FORMATS

    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = "\n".join(["formats:", *(f"  {k:12}{v}" for k, v in FORMATS.items())])
    command.add_argument("format", metavar="FORMAT", help="one of those below")
    command.add_argument("path", metavar="PATH", type=Path, help="folder or file of the corpus")
    command.add_argument("-o", "--output", required=True, type=Path, metavar="MANIFEST.jsonl")
    clips = "folder for recordings that are inside other files (default: MANIFEST-clips)"
    command.add_argument("--clips", type=Path, metavar="FOLDER", help=clips)
    command.add_argument("--language", metavar="CODE", help="for rows without one")
    command.add_argument("--speaker", metavar="NAME", help="for rows without one")
    command.set_defaults(run=run_import)


def _check_arguments(command: Parser) -> None:
    several = "manifests; several are splits of one corpus, the training split first"
    command.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST", help=several)
    command.add_argument("--root", type=Path, help=_ROOT_HELP)
    command.add_argument("--html", type=Path, metavar="FILE", help="write a report, one HTML file")
    fix = "write MANIFEST.clean.jsonl: without what was found, and with the seconds of each clip"
    command.add_argument("--fix", action="store_true", help=fix)
    asr = "also have a recogniser hear the texts (needs the extra search); default content"
    command.add_argument("--asr", nargs="?", const="content", metavar="VERIFIER", help=asr)
    readers = "threads that read recordings (2)"
    command.add_argument("--readers", type=int, default=2, metavar="N", help=readers)
    command.add_argument("--json", action="store_true", help="all findings as JSON on stdout")
    command.set_defaults(run=run_check)


def tokenize_command(command: Parser) -> None:
    command.add_argument("manifest", help=_MANIFEST_HELP)
    command.add_argument("-o", "--output", required=True, metavar="FOLDER")
    command.add_argument("--root", help=_ROOT_HELP)
    size = "recordings in a shard (500, or as many as make 1,024 shards)"
    command.add_argument("--shard-size", type=int, metavar="N", help=size)
    readers = "threads that read recordings (2)"
    command.add_argument("--readers", type=int, default=2, metavar="N", help=readers)
    cluster = "on all nodes of a Ray cluster: that of this machine, the one at ADDRESS, or `local`"
    command.add_argument("--ray", nargs="?", const="auto", metavar="ADDRESS", help=cluster)
    workers = "workers on the cluster (one a GPU, without any one a core)"
    command.add_argument("--ray-workers", type=int, metavar="N", help=workers)
    add_model_flags(command)
    command.set_defaults(run=run_tokenize)


def _convert_arguments(command: Parser) -> None:
    source = "folder of token shards, *_input_ids.memmap, or a vq_codes folder (with --manifest)"
    command.add_argument("source", type=Path, metavar="SOURCE", help=source)
    output = "folder for few large shards, or *_input_ids.memmap for the released layout"
    command.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help=output)
    texts = "the recordings whose codes a vq_codes folder holds, with their texts"
    command.add_argument("--manifest", type=Path, metavar="FILE", help=texts)
    command.add_argument("--root", type=Path, help=_ROOT_HELP)
    size = "utterances in a shard, at the least (100000)"
    command.add_argument("--shard-size", type=int, metavar="N", help=size)
    add_model_flags(command)
    command.set_defaults(run=run_convert)


def _vocabulary_arguments(command: Parser) -> None:
    base = "tokenizer.json, the folder of a text model, or its hub id"
    command.add_argument("base", metavar="BASE", help=base)
    command.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER")
    codec = "codec whose codes get tokens: a folder, hub id or model"
    command.add_argument("--codec", metavar="NAME", help=codec)
    codes = "how many codes get tokens, where the codec is not here (released: 65536)"
    command.add_argument("--codes", type=int, metavar="N", help=codes)
    phones = "symbols that get tokens, too"
    command.add_argument("--phones", nargs="+", default=(), metavar="SYMBOL", help=phones)
    command.set_defaults(run=run_vocabulary)


def run_import(args: argparse.Namespace) -> None:
    """A corpus to a manifest."""
    from llasa.data.importers import read_corpus
    from llasa.data.manifest import write_manifest
    from llasa.text.languages import language_code

    output: Path = args.output
    clips = args.clips or output.with_name(f"{output.stem}-clips")
    language = language_code(args.language)
    rows = read_corpus(args.format, args.path, clips, language, args.speaker)
    count = write_manifest(output, rows)
    print(plain(f"{output}: {count:,} recordings"), file=sys.stderr)


def run_check(args: argparse.Namespace) -> None:
    """Findings in manifests, a report of them, and manifests without them."""
    from llasa.base.files import write_atomic
    from llasa.data.check import check_manifests, write_clean
    from llasa.data.check_report import html_report, summary

    found = check_manifests(args.manifests, args.root, args.asr, args.readers)
    if args.html is not None:
        write_atomic(args.html, html_report(found))
    if args.json:
        print_json(found.as_dict())
    else:
        print(plain(summary(found), kept="\n"), file=sys.stderr)
    if args.fix:
        for split in found.splits:
            path, count = write_clean(split)
            print(plain(f"{path}: {count:,} of {split.rows:,} recordings"), file=sys.stderr)


def run_tokenize(args: argparse.Namespace) -> None:
    """Recordings to shards for the training of a language model."""
    from llasa.data.ranks import own_place
    from llasa.data.tokenize import TokenizeReport, tokenize

    rank, world, local_rank = own_place()
    if world > 1 and args.device is None:
        import torch

        if count := torch.cuda.device_count():
            args.device = f"cuda:{local_rank % count}"

    def work() -> TokenizeReport:
        return tokenize(
            args.manifest,
            args.output,
            load_codec(args),
            root=args.root,
            shard_size=args.shard_size,
            readers=args.readers,
            progress=rank == 0,
        )

    if args.ray is None:
        if args.ray_workers is not None:
            raise LlasaError("--ray-workers needs --ray.")
        report = work()
    else:
        from llasa.data.on_ray import tokenize_on_ray

        report = tokenize_on_ray(work, args.ray, args.ray_workers)
    print(
        f"{args.output}: {report.utterances} recordings ({report.seconds / 3600:.2f} h) tokenized, "
        f"{report.skipped} left out, {report.shards} of {report.shards_total} shards finished",
        file=sys.stderr,
    )


def run_convert(args: argparse.Namespace) -> None:
    """Token data into large shards, or into the released layout."""
    from llasa.data import convert
    from llasa.data.official import OFFICIAL_SUFFIX
    from llasa.data.shards import UNKNOWN_CODEC

    source, output = args.source, args.output
    more, note = given(args, "shard_size"), ""
    if output.name.endswith(OFFICIAL_SUFFIX):
        count, cut = convert.to_official(source, output, _vocabulary(args))
        note = f", of which {cut:,} were cut" if cut else ""
    elif source.name.endswith(OFFICIAL_SUFFIX):
        count = convert.from_official(source, output, _vocabulary(args), **more)
    elif args.manifest is not None:
        codec = load_codec(args).id if args.codec is not None else UNKNOWN_CODEC
        places = (source, args.manifest, output, codec, args.root)
        count = convert.from_vq_codes(*places, **more)
    elif source.resolve() == output.resolve():
        raise LlasaError(f"{output} is the source itself: choose a new folder.")
    else:
        count = convert.repack(source, output, **more)
    print(plain(f"{output}: {count:,} utterances{note}"), file=sys.stderr)


def run_vocabulary(args: argparse.Namespace) -> None:
    """A text model's vocabulary with tokens for speech."""
    from llasa.models.find import load_codec
    from llasa.vocabulary.tokenizer import read_tokenizer
    from llasa.vocabulary.vocabulary import Vocabulary

    if (args.codec is None) == (args.codes is None):
        raise LlasaError("Give either --codec or --codes: whose codes, or how many, get tokens.")
    codec = None if args.codec is None else load_codec(args.codec, "cpu")
    codes = args.codes if codec is None else codec.codebook_size
    vocabulary = Vocabulary.extend(read_tokenizer(args.base), codes, phones=args.phones)
    vocabulary.codec = "" if codec is None else codec.id
    vocabulary.save(args.output)
    sizes = f"{vocabulary.size:,} tokens, of which {vocabulary.base_size:,} are text"
    print(plain(f"{args.output}: {sizes} (prompts: {vocabulary.style})"), file=sys.stderr)


def _vocabulary(args: argparse.Namespace) -> Vocabulary:
    from llasa.vocabulary.vocabulary import Vocabulary

    return Vocabulary.load(find_model(args.model).lm)
