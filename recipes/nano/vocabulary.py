"""Nano's text tokens, by default little more than bytes, with the codec's speech tokens and phones.

python vocabulary.py TEXTS CODEC_FOLDER OUT_FOLDER [--size 257] [--phones codes.yaml]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from llasa.codec.codec import Codec
from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("codec", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=257)
    parser.add_argument("--phones", type=Path, help="settings whose data.phones get tokens, too")
    args = parser.parse_args()
    phones = yaml.safe_load(args.phones.read_text())["data"]["phones"] if args.phones else ()
    tokenizer = train_bpe(args.texts.read_text().splitlines(), args.size)
    codes = Codec.load(args.codec).codebook_size
    vocabulary = Vocabulary.extend(tokenizer, codes, phones=phones)
    vocabulary.save(args.out)
    print(f"{vocabulary.base_size} text ids, {vocabulary.size} in all")


if __name__ == "__main__":
    main()
