"""Learning-rate schedules against their formulas."""

from __future__ import annotations

import math

import pytest

from llasa.base.errors import LlasaError
from llasa.training.schedules import ScheduleSettings, multiplier


def test_cosine_has_the_paper_shape() -> None:
    settings = ScheduleSettings("cosine", warmup_ratio=0.03, final=0.1)
    rates = [multiplier(settings, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 30)
    assert rates[14] == pytest.approx(0.5)
    assert rates[29] == rates[30] == 1.0
    assert rates[30 + 485] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=1e-4)
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert multiplier(settings, 2000, 1000) == pytest.approx(0.1)


def test_steps_of_warmup_go_before_the_ratio() -> None:
    settings = ScheduleSettings("cosine", warmup=4, warmup_ratio=0.5)
    assert multiplier(settings, 1, 100) == 0.5
    assert multiplier(settings, 4, 100) == 1.0


def test_warmup_stable_decay() -> None:
    settings = ScheduleSettings("wsd", warmup=10, decay=20, final=0.05)
    rates = [multiplier(settings, step, 100) for step in range(101)]
    assert rates[4] == 0.5
    assert set(rates[9:81]) == {1.0}
    assert rates[90] == pytest.approx(0.525)
    assert rates[99] == pytest.approx(0.0975)
    assert rates[100] == pytest.approx(0.05)
    assert multiplier(ScheduleSettings("wsd"), 99, 100) == 1.0


def test_codec_schedule_of_the_release() -> None:
    """1e-5 to 1e-4 over 3,000 steps, to 2e-5 over 400,000, then constant."""
    settings = ScheduleSettings("codec", 3000, 400_000, 0.2)
    rate = [1e-4 * multiplier(settings, s, 1) for s in (0, 1499, 2999, 203_000, 403_000, 10**6)]
    assert rate[0] == pytest.approx(1e-5, rel=1e-3)
    assert rate[1] == pytest.approx(1e-5 + 9e-5 / 4)
    assert rate[2:] == pytest.approx([1e-4, 6e-5, 2e-5, 2e-5])


def test_released_language_model_schedule() -> None:
    """DeepSpeed's WarmupCosineLR with its default, logarithmic warm-up (spec section 2.5)."""
    total, warmup = 1000, 30
    settings = ScheduleSettings("released", warmup_ratio=0.03)
    for step in (0, 1, 5, 29):
        expected = 0.03 + 0.97 * math.log(step + 1) / math.log(warmup)
        assert multiplier(settings, step, total) == pytest.approx(expected)
    for step in (30, 500, 999):
        done = (step - warmup + 1) / (total - warmup)
        expected = 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2
        assert multiplier(settings, step, total) == pytest.approx(expected)
    assert multiplier(settings, 5, total) > 0.5  # half of the peak after a fifth of the warm-up
    assert multiplier(ScheduleSettings("released"), 0, 10) == pytest.approx(0.03)


def test_ratio_must_be_a_fraction() -> None:
    with pytest.raises(LlasaError, match=r"warmup_ratio is 3; give a number from 0 to 1"):
        ScheduleSettings(warmup_ratio=3)
