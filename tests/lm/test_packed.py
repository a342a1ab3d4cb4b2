"""Packed rows are attended to as if each were alone, by both ways of doing it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask

from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.lm.packed import Packed, block_mask

ROWS = torch.tensor([[0, 0, 0, 1, 1, 1, 1, -1], [0, 1, 1, 1, 1, 1, 2, 2], [-1] * 8])
SPANS = torch.tensor([(0, 0, 3), (0, 3, 7), (1, 0, 1), (1, 1, 6), (1, 6, 8)])


def alone(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def parts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 4, 8, 16), (3, 2, 8, 16), (3, 2, 8, 16))
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("blocks", [False, True])
def test_rows_see_only_themselves(blocks: bool) -> None:
    """An oracle with a dense mask, as no part of the package has one."""
    q, k, v = parts()
    found = Packed(ROWS, SPANS, blocks).attend(q, k, v, alone)
    same = (ROWS[:, None, :, None] == ROWS[:, None, None, :]).tril()
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=same, enable_gqa=True)
    real = ROWS >= 0
    torch.testing.assert_close(
        found.transpose(1, 2)[real], expected.transpose(1, 2)[real], rtol=1e-4, atol=1e-5
    )
    if not blocks:
        assert not found.transpose(1, 2)[~real].any()


@pytest.mark.parametrize("length", [32, 37, 5])
def test_blocks(length: int) -> None:
    """Those that torch finds in the dense mask."""
    generator = torch.Generator().manual_seed(length)
    begins = torch.rand((40, length), generator=generator) < 0.15
    rows = begins.cumsum(1)
    for line, padding in zip(rows, range(0, 40), strict=True):
        line[length - padding % length :] = -1

    def seen(line: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (rows[line, query] == rows[line, key])

    found = block_mask(rows, 8)
    expected = create_block_mask(seen, 40, None, length, length, device="cpu", BLOCK_SIZE=8)
    assert found.seq_lengths == expected.seq_lengths
    for name in ("kv", "full_kv", "q", "full_q"):
        counts = getattr(expected, f"{name}_num_blocks")
        assert torch.equal(getattr(found, f"{name}_num_blocks"), counts), name
        own, other = (getattr(mask, f"{name}_indices") for mask in (found, expected))
        used = torch.arange(own.shape[-1]) < counts[..., None]
        assert torch.equal(own[used], other[used]), name
    # FlexAttention takes blocks by their numbers: both kinds are there to be told apart.
    assert expected.full_kv_num_blocks.any() or length < 8


def test_only_cuda_has_blocks() -> None:
    """FlexAttention has no backward pass on Apple's GPUs, so rows are attended to one by one."""
    packed = Packed(ROWS.to("meta"), SPANS)
    q, k, v = parts()
    torch.testing.assert_close(
        packed.attend(q, k, v, alone), Packed(ROWS, SPANS).attend(q, k, v, alone)
    )


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_model_learns_the_same_from_packed_rows(bf16: bool, checkpoint: bool) -> None:
    torch.manual_seed(0)
    model = Llama(LlamaConfig(50, 32, 48, 2, 4, 2, 8, tie_word_embeddings=True))
    ids = torch.randint(0, 50, (1, 12))
    rows, spans = torch.tensor([[0] * 5 + [1] * 7]), torch.tensor([(0, 0, 5), (0, 5, 12)])
    positions = torch.tensor([[*range(5), *range(7)]])
    grads = []
    for packed in (True, False):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if packed:
                mask = Packed(rows, spans)
                hidden = model.hidden(ids, mask, positions, checkpoint)[0]
            else:
                each = (model.hidden(ids[:, first:stop])[0] for _, first, stop in spans.tolist())
                hidden = torch.cat([*each])
            hidden.square().mul(torch.arange(12)[:, None]).sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for one, other in zip(*grads, strict=True):
        difference, size = (one - other).norm(), other.norm()
        assert float(difference) <= (0.03 if bf16 else 1e-5) * float(size)
