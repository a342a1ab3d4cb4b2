"""Search strategies (paper section 3.4): each takes a task and returns a result.

    from functools import partial

    tts("Good morning.", search=partial(best_of_n, n=16, verify="content,speaker"))

All take the arguments of `Selector`: verify, combine, weights, threshold, language, reference,
lazy, screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Unpack

from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.lm.engine import Generation
from llasa.search.result import SearchResult
from llasa.search.selector import Selector, SelectorOptions
from llasa.search.session import Session, Task
from llasa.verifiers.registry import VerifierSpec
from llasa.verifiers.tokens import Length

Strategy = Callable[[Task], SearchResult]

STRIDE = 25
"""Tokens between two selections (paper: 25, which is half a second)."""
MOST = 4096
"""Most sequences of one search, a bound on its cost."""
LOST = 2.0
"""Multiple of the expected length beyond which beams that have not ended count as lost."""


def check_strategy(search: object) -> None:
    """`LlasaError` for what cannot be a strategy."""
    if search is not None and not callable(search):
        raise LlasaError(
            f"search is {search!r}: give a strategy, such as partial(llasa.best_of_n, n=4)."
        )


def sample(task: Task, **options: Unpack[SelectorOptions]) -> SearchResult:
    """One candidate, as without search; verifiers only score it."""
    selector = Selector(**{"verify": "", **options})  # type: ignore[arg-type]
    with Session(task, selector) as session:
        return _outcome(session, selector, session.start(1), [])


def best_of_n(task: Task, n: int = 16, **options: Unpack[SelectorOptions]) -> SearchResult:
    """Outcome search (best of n): n complete candidates, of which the verifiers choose one.

    With a threshold, they are judged as they end, and the first that passes ends the search.
    """
    n = _few("n", n)
    selector = _choosing(options)
    with Session(task, selector) as session:
        return _outcome(session, selector, session.start(n), [])


def beam(
    task: Task,
    beams: int = 4,
    expand: int = 4,
    stride: int = STRIDE,
    **options: Unpack[SelectorOptions],
) -> SearchResult:
    """Process search (beam search): every `stride` tokens the best partial candidates go on, each
    in `expand` ways.

    A beam that ends stays with its final score and competes with the others at the end. Beams twice
    as long as expected for the text count as lost: they are dropped, or, if none has ended, go on
    without further selection.
    """
    beams, expand, stride = _steps(beams, expand, stride)
    selector = _choosing(options)
    with Session(task, selector) as session:
        going, ended = _process(session, selector, beams, expand, stride, math.inf)
        return _outcome(session, selector, [] if ended else going, ended)


def partial_search(
    task: Task,
    beams: int = 4,
    expand: int = 4,
    stride: int = STRIDE,
    seconds: float = 2.0,
    n: int | None = None,
    process: VerifierSpec | None = None,
    **options: Unpack[SelectorOptions],
) -> SearchResult:
    """Partial search: process search for the first seconds, then sampling and outcome search.

    This is the paper's best: `process="speaker", verify="content"`. `n` candidates go on from the
    beams in turn (None: one from each); `process` names the verifiers of the first seconds (None:
    the same as in the end).
    """
    beams, expand, stride = _steps(beams, expand, stride)
    n = None if n is None else _few("n", n)
    seconds = number("seconds", seconds, 0, above=True)
    early = selector = _choosing(options)
    if process is not None:  # its verifiers are combined alike, but unweighted
        language, rule = options.get("language", "en"), selector.ensemble.rule
        early = Selector(process, rule, language=language, reference=selector.reference)
    with Session(task, selector, early) as session:
        tokens = seconds * task.token_rate
        going, ended = _process(session, early, beams, expand, stride, tokens)
        if going and n is not None:
            going = session.fork(going, [number % len(going) for number in range(n)])
        return _outcome(session, selector, going, ended)


def _steps(beams: int, expand: int, stride: int) -> tuple[int, int, int]:
    beams, expand = _few("beams", beams), _few("expand", expand)
    _few("beams times expand", beams * expand)
    return beams, expand, whole("stride", stride)


def _few(name: str, value: int) -> int:
    if (count := whole(name, value)) > MOST:
        raise LlasaError(f"{name} is {count}; at most {MOST} sequences are searched.")
    return count


def _process(
    session: Session, selector: Selector, beams: int, expand: int, stride: int, tokens: float
) -> tuple[list[Generation], list[Generation]]:
    """Beams after so many tokens, best first, and those that have ended earlier."""
    expected = Length().expected(session.task.text) * session.task.token_rate
    tokens = min(tokens, LOST * expected)
    going = session.start(1)
    ended: list[Generation] = []
    parents, length = [0] * (beams * expand), 0
    while length < tokens:
        children = session.fork(going, parents)
        session.advance(children, stride)
        length += stride
        width = beams - len(ended)
        candidates = session.judge(children, selector, width)
        order = selector.order(candidates)
        session.step(candidates, order)
        best = order[:width]
        ended += [children[index] for index in best if candidates[index].finish is not None]
        going = session.keep(children, [i for i in best if candidates[i].finish is None])
        if not going or any(selector.passes(candidates[index]) for index in best):
            break
        parents = [index for index in range(len(going)) for _ in range(expand)]
    return going, ended


def _outcome(
    session: Session, selector: Selector, going: list[Generation], ended: Sequence[Generation]
) -> SearchResult:
    """Sample to the end without selection, then choose among all that ended."""
    candidates = session.judge(ended, selector)
    steps = session.task.engine.context if selector.threshold is None else STRIDE
    while going and not any(map(selector.passes, candidates)):
        session.advance(going, steps)
        candidates += session.judge_ended([g for g in going if g.finish is not None], selector)
        going = [g for g in going if g.finish is None]
    return session.result(candidates, selector)


def _choosing(options: SelectorOptions) -> Selector:
    selector = Selector(**options)
    if not selector.names:
        raise LlasaError("No verifier is named, so nothing can be chosen: name one, say content.")
    return selector
