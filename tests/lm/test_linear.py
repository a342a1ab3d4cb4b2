"""Weight layouts multiply like the plain layer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from llasa.base.errors import LlasaError
from llasa.lm.linear import Precision, pack_linear


def weight(kind: str) -> torch.Tensor:
    w = torch.randn(70, 48, generator=torch.Generator().manual_seed(0)) * 0.1
    if kind == "float16":
        return w.half()
    if kind == "bfloat16":
        return w.bfloat16()
    if kind == "huge":  # outside float16
        return w * 1e7
    return w


@pytest.mark.parametrize(("threads", "limit"), [(1, 0), (2, 20 * 70 * 48), (2, 100)])
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "huge"])
def test_equals_the_plain_layer(
    kind: str, rows: int, threads: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr("llasa.lm.linear._THREADED", limit)
    w = weight(kind)
    x = torch.randn(rows, 48)
    expected = F.linear(x.double(), w.double()).float()
    result = pack_linear(w)(x)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6 * expected.abs().max().item())


@pytest.mark.parametrize("threads", [1, 2])
def test_no_warnings_reach_the_user(
    threads: int, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    kinds: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
    for kind in kinds:
        pack_linear(weight("float16"), kind)(torch.randn(2, 48))
    assert not recwarn.list


def test_without_half_precision_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = SimpleNamespace(supported_engines=["qnnpack"])
    monkeypatch.setattr(torch, "backends", SimpleNamespace(quantized=kernels))
    w, x = weight("float16").float(), torch.randn(2, 48)
    multiply = pack_linear(w)
    monkeypatch.undo()
    torch.testing.assert_close(multiply(x), F.linear(x, w))


def test_half_precision_storage_only_where_nothing_is_lost() -> None:
    exact = weight("float16").float()
    x = torch.randn(3, 48)
    for w in (exact, exact + 1e-5):
        error = (pack_linear(w)(x) - F.linear(x, w)).abs().max()
        assert error < 2e-6


def test_bfloat16_is_close() -> None:
    w, x = weight("float32"), torch.randn(5, 48)
    expected = F.linear(x, w)
    error = (pack_linear(w, "bfloat16")(x) - expected).norm() / expected.norm()
    assert 0 < error < 0.01


def test_int8_is_close() -> None:
    w, x = weight("float32"), torch.randn(6, 48)
    w[3] = 0  # a row without a scale
    expected = F.linear(x, w)
    error = (pack_linear(w, "int8")(x) - expected).norm() / expected.norm()
    assert error < 0.03


def test_int8_is_for_the_cpu_and_needs_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LlasaError, match="CPU only, not on meta"):
        pack_linear(torch.empty(3, 4, device="meta"), "int8")
    kernels = SimpleNamespace(engine="none", supported_engines=[])
    monkeypatch.setattr(torch, "backends", SimpleNamespace(quantized=kernels))
    with pytest.raises(LlasaError, match="no int8 kernels"):
        pack_linear(weight("float32"), "int8")
