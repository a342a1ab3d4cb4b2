"""FSQ: every id, the thresholds of the released codec, and properties for any levels."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.codec.quantizer import FSQ

IDS = torch.arange(65_536)
# Thresholds of project_in's output between the four levels, as documented for the released code.
DOUBLE, SINGLE = (-0.809, -0.243, 0.408), (-1.150, -0.346, 0.457)


def bare(levels: Any, double_bound: bool = True) -> Any:
    """A quantiser without projections."""
    module = FSQ(len(levels), tuple(levels), double_bound)
    with torch.no_grad():
        for layer in (module.project_in, module.project_out):
            layer.weight.copy_(torch.eye(len(levels)))
            layer.bias.zero_()
    return module


def digits(codes: Any, levels: Any) -> Any:
    """Level of every dimension, dimension 0 least significant."""
    found = []
    for level in levels:
        found.append(codes % level)
        codes = codes // level
    return torch.stack(found, -1)


def test_all_ids_round_trip() -> None:
    module = bare([4] * 8)
    inside = torch.tensor([-2.0, -0.5, 0.1, 2.0])  # one point in each cell of the double bound
    levels = digits(IDS, [4] * 8)
    quantised, codes = module(inside[levels][None])
    assert torch.equal(codes[0], IDS)
    assert torch.equal(quantised[0], (levels - 2) / 2)
    assert torch.equal(module.lookup(IDS[None])[0], (levels - 2) / 2)


def test_values_equal_the_port_codebook() -> None:
    module = pytest.importorskip("transformers.models.xcodec2.modeling_xcodec2")
    from .tools import port_config

    theirs = module.Xcodec2FiniteScalarQuantization(port_config())
    assert torch.equal(bare([4] * 8).values(IDS), theirs.codebook)


def test_corner_ids() -> None:
    module = bare([4] * 8)
    values = module.values(torch.tensor([0, 1, 4, 65_535]))
    assert (values[0] == -1).all()
    assert values[1].tolist() == [-0.5] + [-1] * 7
    assert values[2].tolist() == [-1, -0.5] + [-1] * 6
    assert (values[3] == 0.5).all()
    assert module(torch.full((1, 1, 8), -9.0))[1].item() == 0
    assert module(torch.full((1, 1, 8), 9.0))[1].item() == 65_535


@pytest.mark.parametrize(("double", "thresholds"), [(True, DOUBLE), (False, SINGLE)])
def test_thresholds(double: bool, thresholds: Any) -> None:
    module = bare([4], double)
    for level, threshold in enumerate(thresholds):
        below, above = module(torch.tensor([[[threshold - 1e-3], [threshold + 1e-3]]]))[1][0]
        assert (below, above) == (level, level + 1)


def test_bounds_differ_between_the_thresholds() -> None:
    z = torch.tensor([[[0.43], [-0.3], [-1.0]]])
    assert bare([4], True)(z)[1].tolist() == [[3, 1, 0]]
    assert bare([4], False)(z)[1].tolist() == [[2, 2, 1]]


def test_gradient_is_that_of_the_bound() -> None:
    module = bare([4] * 3)
    z = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    through, smooth = z.clone().requires_grad_(), z.clone().requires_grad_()
    weights = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    (module(through)[0] * weights).sum().backward()
    (module.bound(module.bound(smooth)) / 2 * weights).sum().backward()
    torch.testing.assert_close(through.grad, smooth.grad)
    assert through.grad.abs().min() > 0


levels_lists = st.lists(st.integers(2, 9), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(levels=levels_lists)
def test_any_levels_round_trip(levels: Any) -> None:
    module = bare(levels, double_bound=False)
    codes = torch.arange(int(module.counts.prod()))
    lowest = -(module.counts // 2)
    centres = digits(codes, levels) + lowest
    half = (module.counts - 1) * 1.001 / 2
    offset = torch.where(module.counts % 2 == 0, 0.5, 0.0)
    z = torch.atanh((centres + offset) / half) - torch.atanh(offset / half)
    quantised, found = module(z[None])
    assert torch.equal(found[0], codes)
    torch.testing.assert_close(quantised[0], module.values(codes))
    assert quantised.abs().max() <= 1


@settings(max_examples=40, deadline=None)
@given(levels=levels_lists, double=st.booleans(), scale=st.floats(0.01, 100), seed=st.integers(0))
def test_any_input_gives_a_code_whose_lookup_it_equals(
    levels: Any, double: bool, scale: Any, seed: int
) -> None:
    module = bare(levels, double)
    generator = torch.Generator().manual_seed(seed % 2**32)
    quantised, codes = module(scale * torch.randn(1, 50, len(levels), generator=generator))
    assert codes.dtype == torch.int64
    assert codes.min() >= 0
    assert codes.max() < module.counts.prod()
    torch.testing.assert_close(module.lookup(codes), quantised)
