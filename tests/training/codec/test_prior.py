"""The prior of the codes: what can be foretold costs nothing, what cannot costs its variance."""

from __future__ import annotations

import pytest
import torch

from llasa.codec.heads.harmonic import SUBFRAMES, Pitch
from llasa.training.codec.prior import CodePrior
from llasa.vocabulary.rows import IGNORE


def pitch(batch: int, frames: int) -> Pitch:
    return Pitch(
        torch.full((batch, frames * SUBFRAMES), 200.0), torch.ones(batch, frames * SUBFRAMES)
    )


@pytest.mark.slow
def test_learns_what_phones_say_and_nothing_else() -> None:
    torch.manual_seed(0)
    prior = CodePrior(5, 3, size=32)
    optimizer = torch.optim.Adam(prior.parameters(), 3e-3)
    table = torch.randn(5, 3)
    for _ in range(150):
        phones = torch.randint(5, (8, 20))
        foretold = prior(table[phones], phones, pitch(8, 20))
        optimizer.zero_grad()
        foretold.backward()
        optimizer.step()
    phones = torch.randint(5, (8, 20))
    assert prior(table[phones], phones, pitch(8, 20)) < 0.15
    assert prior(torch.randn(8, 20, 3), phones, pitch(8, 20)) > 0.8


def test_frames_without_a_known_phone_do_not_count() -> None:
    prior = CodePrior(5, 3, size=32)
    phones = torch.full((2, 6), IGNORE)
    bounded = torch.randn(2, 6, 3, requires_grad=True)
    assert prior(bounded, phones, pitch(2, 6)) == 0
    phones[0, 2] = 1
    prior(bounded, phones, pitch(2, 6)).backward()
    assert bounded.grad is not None
    assert bounded.grad.abs().sum(-1).nonzero().tolist() == [[0, 2]]
