"""``llasa encode`` and ``llasa decode``: the codec alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.cli.code_files import SUFFIXES, check_suffix, read_codes, write_codes
from llasa.cli.options import add_model_flags, check_output, load_codec
from llasa.cli.parser import Parser
from llasa.models.find import find_model
from llasa.models.voices import VoiceBook, speaker_embedding_of

_KINDS = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def encode_command(encode: Parser) -> None:
    encode.add_argument("audio")
    encode.add_argument("-o", "--output", metavar="FILE", help=f"{_KINDS} (default: NAME.npy)")
    add_model_flags(encode)
    encode.set_defaults(run=run_encode)


def decode_command(decode: Parser) -> None:
    decode.add_argument("codes", help=f"{_KINDS} file")
    decode.add_argument("-o", "--output", metavar="FILE", help="audio file (default: NAME.wav)")
    help = (
        "heard in this voice, where the codec has speaker embeddings (default: left to the codes)"
    )
    decode.add_argument("--voice", metavar="NAME", help=help)
    add_model_flags(decode)
    decode.set_defaults(run=run_decode)


def run_encode(args: argparse.Namespace) -> None:
    output = f"{Path(args.audio).stem}.npy" if args.output is None else args.output
    check_suffix(output)
    check_output(output, audio=False)
    audio = read_audio(args.audio)
    codec = load_codec(args)
    (codes,) = codec.encode([audio])
    write_codes(output, codes, codec.id, codec.frame_rate)
    print(
        f"{output}: {len(codes)} codes of {audio.duration:.1f} s of audio "
        f"({len(set(codes.tolist()))} different)",
        file=sys.stderr,
    )


def run_decode(args: argparse.Namespace) -> None:
    output = f"{Path(args.codes).stem}.wav" if args.output is None else args.output
    check_suffix(args.codes)
    check_output(output)
    codes, made_by = read_codes(args.codes)
    codec = load_codec(args)
    if made_by not in ("", codec.id):
        raise LlasaError(f"{args.codes} was made with another codec: name it with --codec.")
    embedding = None
    if args.voice is not None:
        book = VoiceBook(find_model(args.model, args.codec), codec)
        embedding = speaker_embedding_of(codec, lambda: book.get(args.voice))
    (samples,) = codec.decode([codes], embedding)
    Audio(samples, codec.sample_rate).write(output)
    print(f"{output}: {len(samples) / codec.sample_rate:.1f} s of audio", file=sys.stderr)
