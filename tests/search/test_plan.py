"""One budget is one strategy, whoever asks."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llasa.base.errors import LlasaError
from llasa.cli.options import add_speech_flags
from llasa.cli.parser import Parser
from llasa.cli.search_flags import add_search_flags, search_setting
from llasa.evaluation.search import Sweep
from llasa.search.plan import beam_shape, plan
from llasa.search.strategies import MOST, beam, best_of_n, partial_search
from llasa.serving.metrics import Metrics
from llasa.serving.schemas import SpeechSettings
from llasa.serving.search_factory import SearchFactory


@pytest.mark.parametrize(
    ("n", "shape"),
    [
        *[(1, (1, 1)), (2, (1, 2)), (4, (2, 2)), (5, (2, 2)), (8, (2, 4)), (13, (3, 4))],
        *[(16, (4, 4)), (32, (4, 8)), (64, (8, 8))],
    ],
)
def test_beams_make_the_most_of_a_budget(n: int, shape: tuple[int, int]) -> None:
    assert beam_shape(n) == shape


def test_what_is_given_stays() -> None:
    assert beam_shape(16, beams=2) == (2, 8)
    assert beam_shape(16, expand=8) == (2, 8)
    assert beam_shape(16, beams=3, expand=1) == (3, 1)


def asked_on_the_command_line(*words: str) -> partial[Any]:
    parser = Parser()
    add_speech_flags(parser)
    add_search_flags(parser)
    strategy, _ = search_setting(parser.parse(words))
    assert isinstance(strategy, partial)
    return strategy


def asked_of_the_server(monkeypatch: pytest.MonkeyPatch, **wanted: Any) -> partial[Any]:
    kept: list[partial[Any]] = []

    def planned(*asked: Any, **judging: Any) -> partial[Any]:
        kept.append(plan(*asked, **judging))  # type: ignore[arg-type]
        return kept[-1]

    monkeypatch.setattr("llasa.serving.search_factory.plan", planned)
    settings = SpeechSettings(verifiers=["length"], **wanted)
    SearchFactory(64, {"length": ""}, Metrics()).strategy(settings, False)
    return kept[0]


@pytest.mark.parametrize("n", [1, 2, 5, 16, 32])
@pytest.mark.parametrize("name", ["beam", "partial"])
def test_all_surfaces_agree(monkeypatch: pytest.MonkeyPatch, name: str, n: int) -> None:
    flags = ["--strategy", name, "--best-of", str(n), "--verify", "length"]
    sweep = Sweep([name], [n], selectors={"": {"verify": "length"}})
    (evaluated,) = sweep.open().values()
    assert isinstance(evaluated, partial)
    found = [
        {key: strategy.keywords.get(key) for key in ("beams", "expand", "n")}
        for strategy in (
            asked_on_the_command_line(*flags),
            asked_of_the_server(monkeypatch, strategy=name, best_of=n),
            evaluated,
        )
    ]
    assert found[0] == found[1] == found[2]
    assert found[0]["beams"] * found[0]["expand"] <= n


def test_strategies_by_name() -> None:
    makers = {"best-of": best_of_n, "beam": beam, "partial": partial_search}
    for name, maker in makers.items():
        strategy = plan(name, verify="length")
        assert isinstance(strategy, partial)
        assert strategy.func is maker
    with pytest.raises(LlasaError, match="'beem' is unknown: .* Did you mean beam"):
        plan("beem")


@pytest.mark.parametrize("asked", [{"n": MOST + 1}, {"n": 10**9}])
def test_a_budget_without_end_is_refused(asked: dict[str, int]) -> None:
    with pytest.raises(LlasaError, match=f"at most {MOST} sequences"):
        best_of_n(None, verify="length", **asked)  # type: ignore[arg-type]
    with pytest.raises(LlasaError, match="beams times expand is"):
        beam(None, beams=MOST, expand=2, verify="length")  # type: ignore[arg-type]


def test_no_other_place_chooses_a_strategy() -> None:
    source = Path(__file__).parents[2] / "src" / "llasa"
    makers = re.compile(r"(?<!def )\b(best_of_n|partial_search|beam|beam_shape)\(|isqrt")
    found = {path.name for path in source.rglob("*.py") if makers.search(path.read_text("utf-8"))}
    assert found == {"plan.py"}
