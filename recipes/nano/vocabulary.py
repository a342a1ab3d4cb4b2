"""Nano's text tokens, by default little more than bytes, extended with the codec's speech tokens.

python vocabulary.py TEXTS CODEC_FOLDER OUT_FOLDER [--size 257]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from llasa.codec.codec import Codec
from llasa.tokenizer import train_bpe
from llasa.vocabulary import Vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("codec", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=257)
    args = parser.parse_args()
    tokenizer = train_bpe(args.texts.read_text().splitlines(), args.size)
    vocabulary = Vocabulary.extend(tokenizer, Codec.load(args.codec).codebook_size)
    vocabulary.save(args.out)
    print(f"{vocabulary.base_size} text ids, {vocabulary.size} in all")


if __name__ == "__main__":
    main()
