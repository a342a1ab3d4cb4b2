"""Names of the codec's modules here, in the released file and in Transformers."""

from __future__ import annotations

from llasa.codec.config import CodecConfig


def module_names(config: CodecConfig) -> list[tuple[str, str, str]]:
    """Every module with parameters: its name here, in the released file, in Transformers."""
    adapter, backbone = "SemanticEncoder_module", "generator.backbone"
    names = [
        ("semantic.model", "semantic_model", "semantic_encoder"),
        ("adapter.first", f"{adapter}.initial_conv", "semantic_adapter.conv1"),
        ("adapter.conv1", f"{adapter}.residual_blocks.1", "semantic_adapter.conv2"),
        ("adapter.conv2", f"{adapter}.residual_blocks.3", "semantic_adapter.conv3"),
        ("adapter.last", f"{adapter}.final_conv", "semantic_adapter.conv4"),
        ("acoustic.stem", "CodecEnc.conv_blocks.0", "acoustic_encoder.conv1"),
        ("acoustic.act", "CodecEnc.conv_final_block.0.act", "acoustic_encoder.snake1.act"),
        ("acoustic.tail", "CodecEnc.conv_final_block.1", "acoustic_encoder.conv2"),
        ("fuse", "fc_prior", "fc_encoder"),
        ("quantizer", "generator.quantizer", "quantizer"),
        ("decoder.fuse", "fc_post_a", "acoustic_decoder.fc"),
        ("decoder.embed", f"{backbone}.embed", "acoustic_decoder.embed"),
        ("decoder.before", f"{backbone}.prior_net", "acoustic_decoder.prior_net"),
        ("decoder.after", f"{backbone}.post_net", "acoustic_decoder.post_net"),
        ("decoder.norm", f"{backbone}.final_layer_norm", "acoustic_decoder.norm"),
        ("decoder.head.linear", "generator.head.out", "acoustic_decoder.head.linear"),
    ]
    for i in range(len(config.strides)):
        ours, released = f"acoustic.blocks.{i}", f"CodecEnc.conv_blocks.{i + 1}.block"
        port = f"acoustic_encoder.block.{i}"
        for j in range(len(config.dilations)):
            names += [
                (
                    f"{ours}.units.{j}.{a}",
                    f"{released}.{j}.block.{b}",
                    f"{port}.res_unit{j + 1}.{c}",
                )
                for a, b, c in (
                    ("act1", "0.act", "snake1.act"),
                    ("conv1", "1", "conv1"),
                    ("act2", "2.act", "snake2.act"),
                    ("conv2", "3", "conv2"),
                )
            ]
        names.append((f"{ours}.act", f"{released}.3.act", f"{port}.snake1.act"))
        names.append((f"{ours}.down", f"{released}.4", f"{port}.conv1"))
    for i in range(config.decoder_layers):
        names += [
            (f"decoder.layers.{i}.{a}", f"{backbone}.transformers.{i}.{b}", port_layer(i, c))
            for a, b, c in (
                ("attention_norm", "att_norm", "input_layernorm"),
                ("qkv", "att.c_attn", "self_attn.qkv_proj"),  # split into three by the port
                ("out", "att.c_proj", "self_attn.o_proj"),
                ("mlp_norm", "ffn_norm", "post_attention_layernorm"),
                ("up", "mlp.fc1", "mlp.fc1"),
                ("down", "mlp.fc2", "mlp.fc2"),
            )
        ]
    return names


def port_layer(index: int, name: str) -> str:
    """A module of a decoder layer in Transformers."""
    return f"acoustic_decoder.layers.{index}.{name}"


def rename(key: str, table: dict[str, str]) -> str:
    """Replace the longest module prefix of ``key`` that ``table`` holds; unknown keys stay."""
    module = key
    while "." in module:
        module = module.rpartition(".")[0]
        if module in table:
            return table[module] + key[len(module) :]
    return key
