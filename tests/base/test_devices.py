"""What devices can do."""

from __future__ import annotations

import pytest
import torch

from llasa.base.devices import multiplies_bfloat16


@pytest.mark.parametrize(
    ("flags", "able"),
    [
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_bf16": True}, True),
        ({"neon": True, "bf16": False}, False),
        ({"neon": True, "bf16": True}, True),
    ],
)
def test_cpus_that_multiply_bfloat16(
    flags: dict[str, bool], able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert multiplies_bfloat16("cpu") == able
    assert multiplies_bfloat16("cuda")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)  # as on Macs
    assert not multiplies_bfloat16("cpu")


def test_torch_before_2_11_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_bfloat16("cpu")
