"""A larger Llama that begins where a smaller one ended: same output, room to learn more.

    python grow.py OLD_FOLDER NEW_FOLDER [--layers 0 1 2 3 new 4 new 5 new new] [--mlp 1152]

--layers lists the layers of the new model by their number in the old one. A `new` one adds nothing
to the residual stream until it is trained, and neither do the units by which every MLP widens.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from llasa.engine.llama import Layer, Llama, load_llama, save_llama
from llasa.errors import LlasaError

LAYERS = ["0", "1", "2", "3", "new", "4", "new", "5", "new", "new"]


def widen(weight: Tensor, old: Tensor) -> None:
    """The old matrix in the corner of the new one, the rest drawn with its deviation."""
    weight.normal_(0, float(old.std()))
    weight[: old.shape[0], : old.shape[1]] = old


@torch.no_grad()
def copy_layer(new: Layer, old: Layer) -> None:
    for name in ("self_attn", "input_layernorm", "post_attention_layernorm"):
        getattr(new, name).load_state_dict(getattr(old, name).state_dict())
    widen(new.mlp.gate_proj.weight, old.mlp.gate_proj.weight)
    widen(new.mlp.up_proj.weight, old.mlp.up_proj.weight)
    new.mlp.down_proj.weight.zero_()
    new.mlp.down_proj.weight[:, : old.mlp.down_proj.weight.shape[1]] = old.mlp.down_proj.weight


@torch.no_grad()
def begin_layer(new: Layer, like: Layer) -> None:
    """Random where it reads, zero where it writes."""
    for module in ("self_attn", "mlp"):
        for name, matrix in getattr(new, module).named_parameters():
            pattern = getattr(like, module).get_parameter(name)
            matrix.normal_(0, float(pattern.std()))
    new.self_attn.o_proj.weight.zero_()
    new.mlp.down_proj.weight.zero_()


def grow(old: Llama, layers: list[str], mlp: int) -> Llama:
    """Raises LlasaError where a layer is missing, out of order or the MLP would shrink."""
    config = old.config
    if [name for name in layers if name != "new"] != [str(n) for n in range(len(old.model.layers))]:
        raise LlasaError(
            f"--layers {' '.join(layers)} must name each layer of the old model once, in order: "
            f"0 to {len(old.model.layers) - 1}, with 'new' between them"
        )
    if mlp < config.intermediate_size:
        raise LlasaError(f"--mlp {mlp} is less than the old {config.intermediate_size}")
    new = Llama(replace(config, num_hidden_layers=len(layers), intermediate_size=mlp))
    for part in ("embed_tokens", "norm"):
        getattr(new.model, part).load_state_dict(getattr(old.model, part).state_dict())
    if not config.tie_word_embeddings:
        new.lm_head.load_state_dict(old.lm_head.state_dict())
    for name, layer in zip(layers, new.model.layers, strict=True):
        if name == "new":
            begin_layer(layer, old.model.layers[-1])
        else:
            copy_layer(layer, old.model.layers[int(name)])
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--layers", nargs="+", default=LAYERS)
    parser.add_argument("--mlp", type=int, default=1152)
    args = parser.parse_args()
    torch.manual_seed(0)
    try:
        new = grow(load_llama(args.old), args.layers, args.mlp)
    except LlasaError as error:
        parser.error(str(error))
    save_llama(new, args.new)
    print(f"{args.new}: {sum(p.numel() for p in new.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
