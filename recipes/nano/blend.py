"""A codec between two that were trained one from the other: the mean of their weights.

    python blend.py OLD NEW OUT [--share 0.7] [--timbre 1.3]

OLD speaks one voice well, NEW, trained on from it (`voices.yaml`), many voices less well; between
them lies a decoder that keeps most of both (model soups, Wortsman et al., 2022). What only NEW has
is taken as it is; how much the decoder is told of the voice is raised, since it was learnt for all
of NEW.
"""

from __future__ import annotations

import argparse

import torch
from script import run

from llasa.codec.codec import Codec
from llasa.errors import LlasaError
from llasa.model_folder import find_codec


def blend(old: Codec, new: Codec, share: float, timbre: float) -> None:
    """Change `new` in place: `share` of it, the rest from `old`; timbres count `timbre` times."""
    if old.id != new.id:
        raise LlasaError("the two codecs have other codes: blend a codec with what came of it")
    before, told = old.model.state_dict(), new.model.decoder.timbre
    if told is None:
        raise LlasaError("the new codec has no timbres: nothing is to be blended")
    with torch.no_grad():
        for name, value in new.model.state_dict().items():
            if name in before and value.is_floating_point():
                value.lerp_(before[name], 1 - share)
        told.weight.mul_(timbre)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("out")
    parser.add_argument("--share", type=float, default=0.7, help="of the new one")
    parser.add_argument("--timbre", type=float, default=1.3)
    args = parser.parse_args()
    if not 0 <= args.share <= 1:
        parser.error(f"--share is {args.share}: give 0 to 1")
    old, new = (Codec.load(find_codec(name), "cpu") for name in (args.old, args.new))
    blend(old, new, args.share, args.timbre)
    new.save(args.out)


if __name__ == "__main__":
    run(main)
