"""The engine for GPUs with many users: vLLM, in processes of its own.

Each sequence is one vLLM request, which runs ahead by itself; its tokens wait here until `advance`
takes them. A fork is a new request whose prompt is all that its parent has, and sequences of one
prompt are separate requests (as vLLM itself does for `n`): vLLM's cache shares their prefixes, and
each can be released alone.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llasa.base.errors import LlasaError, first_line
from llasa.base.names import did_you_mean
from llasa.lm.config import read_config
from llasa.lm.engine import Generation, check_prompts, offspring, unfinished
from llasa.lm.sampling import SamplingParams, mix, spread

_SETTINGS: Mapping[str, Any] = {
    "skip_tokenizer_init": True,
    "enable_prefix_caching": True,
    "generation_config": "vllm",  # sampling rules come with each request
    "disable_log_stats": True,
    "use_tqdm_on_load": False,
}
_GPU: Mapping[str, Any] = {
    "dtype": "bfloat16",
    "gpu_memory_utilization": 0.7,  # the rest is for the codec and the verifiers
}
_CPU: Mapping[str, Any] = {
    "dtype": "float32",
    "kv_cache_memory_bytes": 4 << 30,  # not most of what the machine has
    "enable_chunked_prefill": False,  # vLLM 0.32 breaks off where such a prompt has a seed
}


@dataclass(eq=False)
class _Stream:
    """A running request, and tokens with log-probabilities that have not been taken yet."""

    name: str
    outputs: AsyncGenerator[Any]
    ahead: deque[tuple[int, float]] = field(default_factory=deque)

    async def fill(self) -> None:
        """Wait until a token is there."""
        while not self.ahead:
            output = await anext(self.outputs, None)
            if output is None:
                raise RuntimeError("vLLM gave a sequence up; its log may say why.")
            (part,) = output.outputs
            for token, found in zip(part.token_ids, part.logprobs or (), strict=True):
                self.ahead.append((token, found[token].logprob))


class VllmEngine:
    """Implements ``llasa.lm.engine.Engine``; ``close`` ends vLLM's processes.

    ``allowed`` and ``end`` as for ``TorchEngine``; ``context`` bounds what the checkpoint allows.
    ``options`` are fields of vLLM's ``AsyncEngineArgs`` in place of what is set here. Greedy
    sequences are those of ``TorchEngine``; others follow the same rules with other random numbers,
    except that ``min_p`` comes before ``top_p`` and that ``repetition_penalty`` has no window.
    """

    def __init__(
        self,
        folder: str | Path,
        allowed: range,
        end: Sequence[int],
        context: int,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        # vLLM would fork its processes, which the threads of this one (torch's) do not survive.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        try:
            import vllm
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM

            from llasa.lm.vllm_model import Only
        except ImportError as error:
            raise LlasaError(
                f"The engine vllm needs vLLM 0.32, which cannot be imported ({error}): "
                "pip install 'llasa[vllm]'."
            ) from error
        options = options or {}
        known = vllm.AsyncEngineArgs.__dataclass_fields__
        for name in options:
            if name not in known:
                raise LlasaError(f"vLLM has no option {name!r}.{did_you_mean(name, known)}")
        config = read_config(folder)
        self._vocabulary, self._end = config.vocab_size, tuple(end)
        settings = {
            **_SETTINGS,
            **(_CPU if current_platform.is_cpu() else _GPU),
            "model": str(folder),
            "max_model_len": min(context, config.max_position_embeddings),
            "hf_overrides": Only(allowed, self._end),
            **options,
        }
        try:
            self.llm = AsyncLLM.from_engine_args(vllm.AsyncEngineArgs(**settings))
        except Exception as error:
            raise LlasaError(f"vLLM did not start: {first_line(error)}.") from error
        self._context = self.llm.model_config.max_model_len
        self._rule = vllm.SamplingParams
        self._delta = vllm.sampling_params.RequestOutputKind.DELTA
        self._names = map(str, itertools.count())
        self._streams: dict[Generation, _Stream] = {}
        self._runner, self._over = (
            asyncio.Runner(loop_factory=asyncio.new_event_loop),
            asyncio.Event(),
        )
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="llasa-vllm", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def context(self) -> int:
        """Most tokens a sequence may have, prompt included."""
        return self._context

    @property
    def running(self) -> list[Generation]:
        """Sequences that have not finished."""
        return list(self._streams)

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams | Sequence[SamplingParams],
    ) -> list[Generation]:
        """Begin one sequence a prompt (see ``Engine.start``); vLLM begins at the first step."""
        check_prompts(prompts, self._vocabulary, self.context)
        rules = spread(params, len(prompts))
        for rule in rules:
            if rule.temperature > 2:
                raise LlasaError(
                    f"temperature is {rule.temperature}, but the engine vllm takes at most 2."
                )
            if rule.repetition_penalty != 1 and rule.repetition_window:
                raise LlasaError(
                    f"repetition_window is {rule.repetition_window}, but the engine vllm looks at "
                    "all of prompt and output: give 0, or no repetition_penalty."
                )
        new = [Generation(tuple(p), rule) for p, rule in zip(prompts, rules, strict=True)]
        for generation in new:
            self._open(generation)
        return new

    def advance(self, generations: Sequence[Generation], steps: int = 1) -> None:
        """Append up to ``steps`` tokens to each (see ``Engine.advance``)."""
        for _ in range(steps):
            active = unfinished(generations, self._streams)
            if not active:
                return
            self._wait(self._fill([self._streams[g] for g in active]))
            for generation in active:
                token, logprob = self._streams[generation].ahead.popleft()
                generation.put(token, logprob, self._end, self.context)
                if generation.loops:  # vLLM itself would go on
                    self._wait(self.llm.abort([self._streams[generation].name]))
                if generation.finish is not None:
                    del self._streams[generation]

    def fork(
        self,
        generations: Sequence[Generation],
        parents: Sequence[int],
        seeds: Sequence[int] | None = None,
    ) -> list[Generation]:
        """Replace sequences by children (see ``Engine.fork``)."""
        children = offspring(generations, parents, seeds)
        running = unfinished(generations, self._streams)
        for child, index in zip(children, parents, strict=True):
            parent = generations[index]
            if parent.finish is not None:
                continue
            if child.params == parent.params and parent in self._streams:
                self._streams[child] = self._streams.pop(parent)  # goes on where its parent was
            else:
                self._open(child)
        self._drop(running)
        return children

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop sequences and give their memory back (see ``Engine.release``)."""
        self._drop(unfinished(generations, self._streams))

    def attention(
        self,
        tokens: Sequence[int],
        layer: int,
        heads: int,
        queries: Sequence[int],
        keys: Sequence[int],
    ) -> None:
        """vLLM does not show where heads look (see ``Engine.attention``)."""

    def close(self) -> None:
        """End vLLM's processes; also called at a normal exit of Python, but not after a signal."""
        atexit.unregister(self.close)
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._streams.clear()
        self.llm.shutdown()
        del self.llm  # or vLLM fails as it tries again while Python ends

    def _run(self) -> None:
        """Main function of the thread that talks to vLLM."""
        with self._runner:
            self._runner.run(self._over.wait())

    def _open(self, generation: Generation) -> None:
        """Start a vLLM request that continues a sequence."""
        rule = generation.params
        params = self._rule(
            temperature=rule.temperature,
            top_k=rule.top_k,
            top_p=rule.top_p,
            min_p=rule.min_p,
            repetition_penalty=rule.repetition_penalty,
            seed=mix(rule.seed, len(generation.tokens)) >> 1,  # signed there
            max_tokens=min(
                rule.max_tokens - len(generation.tokens), self.context - generation.length
            ),
            stop_token_ids=list(self._end),
            ignore_eos=True,  # of config.json
            logprobs=0,  # of the token itself
            detokenize=False,
            output_kind=self._delta,
        )
        prompt = {"type": "token", "prompt_token_ids": [*generation.prompt, *generation.tokens]}
        name = next(self._names)
        self._streams[generation] = _Stream(name, self.llm.generate(prompt, params, name))

    def _drop(self, generations: Sequence[Generation]) -> None:
        """Release sequences, some of which may have passed their request on to a child."""
        gone = [self._streams.pop(g) for g in generations if g in self._streams]
        for generation in generations:
            generation.finish = "released"
        if gone:
            self._wait(self.llm.abort([stream.name for stream in gone]))

    async def _fill(self, streams: Sequence[_Stream]) -> None:
        await asyncio.gather(*(stream.fill() for stream in streams if not stream.ahead))

    def _wait(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine in the thread that talks to vLLM, and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result()
