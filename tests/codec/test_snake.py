"""The polyphase SnakeBeta against finite differences and the convolutions of Transformers."""

from typing import Any

import pytest
import torch

from llasa.codec.snake import SnakeBeta, kaiser_sinc


def random_pair(channels: Any) -> Any:
    """Our module and Transformers' with equal weights in double precision."""
    module = pytest.importorskip("transformers.models.xcodec2.modeling_xcodec2")
    theirs = module.Xcodec2AntiAliasedActivation1d(module.Xcodec2SnakeBeta(channels)).double()
    ours = SnakeBeta(channels).double()
    generator = torch.Generator().manual_seed(channels)
    with torch.no_grad():
        for name in ("alpha", "beta"):
            values = 0.5 * torch.randn(channels, generator=generator, dtype=torch.float64)
            getattr(ours, name).copy_(values)
            getattr(theirs.act, name).copy_(values)
    return ours, theirs


def test_filter_equals_the_port() -> None:
    module = pytest.importorskip("transformers.models.xcodec2.modeling_xcodec2")
    expected = module.kaiser_sinc_filter1d(0.25, 0.3, 12).flatten()
    assert torch.equal(kaiser_sinc(), expected)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 97])
def test_equals_the_convolutions(length: Any) -> None:
    ours, theirs = random_pair(3)
    x = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(length)).double()
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    y1, y2 = ours(x1), theirs(x2)
    torch.testing.assert_close(y1, y2, atol=1e-12, rtol=0)
    weights = torch.randn(y1.shape, generator=torch.Generator().manual_seed(0)).double()
    (y1 * weights).sum().backward()
    (y2 * weights).sum().backward()
    torch.testing.assert_close(x1.grad, x2.grad, atol=1e-12, rtol=0)
    torch.testing.assert_close(ours.alpha.grad, theirs.act.alpha.grad, atol=1e-11, rtol=0)
    torch.testing.assert_close(ours.beta.grad, theirs.act.beta.grad, atol=1e-11, rtol=0)


@pytest.mark.parametrize("length", [1, 4, 11])
def test_gradient_equals_finite_differences(length: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    module = SnakeBeta(2).double()
    x, alpha, beta = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((2, 2, length), (2,), (2,))
    )

    def call(x: Any, alpha: Any, beta: Any) -> Any:
        return torch.func.functional_call(module, {"alpha": alpha, "beta": beta}, x)

    assert torch.autograd.gradcheck(call, (x, alpha, beta))


def test_starts_as_x_plus_squared_sine() -> None:
    x = torch.full((1, 1, 20), 0.7)
    expected = x + (torch.tensor(0.7)).sin().square()
    torch.testing.assert_close(SnakeBeta(1)(x), expected, atol=1e-5, rtol=0)
