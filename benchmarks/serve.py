"""A running server under load: waiting times at random arrivals, throughput by concurrency.

    llasa serve --port 8765 &
    python benchmarks/serve.py [--url URL] [--load 0.3 0.6 0.9] [--requests 40] [--json out.json]
    python benchmarks/serve.py --soak 600

Throughput is measured at several numbers of streams, in turns, so that other work on the machine
hits all; ratios are to the first number. What the last number gets is the capacity.

Arrivals are open-loop Poisson, at shares of that capacity: nobody waits for an answer before the
next request comes. First byte is the answer's, first audible the arrival of the first sound above
-40 dB of full scale, RTF the time until the end for a second of speech, a gap the time that a
player which starts at once would stand still. `done` is the speech that came for a second, as a
share of the capacity: much below the load it shows that the machine had become slower.

A soak asks for 4 times the capacity, and watches answers and memory. Where others work on the
machine, too, look at speech for a second of the server's CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

TEXTS = (
    "Good morning.",
    "The train to the coast leaves at a quarter past nine.",
    "A llama is not an alpaca. It is larger, carries loads, and hums when it is content.",
    "The quick brown fox jumps over the lazy dog. The dog does not mind it. It has seen the fox "
    "before, and it will see it again tomorrow, when both of them are a day older.",
)
RATE = 24_000
"""Hz of the pcm that a server sends."""
AUDIBLE = 0.01
Figures = dict[str, float]


async def ask(client: httpx.AsyncClient, number: int) -> dict[str, Any]:
    """One streamed request and its measures."""
    body = {"input": TEXTS[number % len(TEXTS)], "response_format": "pcm", "seed": number}
    began = time.perf_counter()
    first = audible = None
    samples, gap, left = 0, 0.0, b""
    async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
        if answer.status_code != 200:
            return {"status": answer.status_code}
        async for data in answer.aiter_raw():
            now = time.perf_counter() - began
            first = first or now
            # Played without a break since the first byte, the sound would have ended at `heard`.
            heard = first + gap + samples / RATE
            if samples:
                gap += max(0.0, now - heard)
            data, left = left + data, b""
            if len(data) % 2:
                data, left = data[:-1], data[-1:]
            sound = np.frombuffer(data, "<i2") / 32768
            samples += len(sound)
            if audible is None and (np.abs(sound) > AUDIBLE).any():
                audible = now
    total = time.perf_counter() - began
    return {
        "status": 200,
        "first_byte": first,
        "first_audible": audible or total,
        "rtf": total * RATE / samples,
        "gap": gap,
        "seconds": samples / RATE,
    }


async def arrivals(client: httpx.AsyncClient, rate: float, count: int) -> list[dict[str, Any]]:
    """Requests at random times, `rate` a second."""
    draw = random.Random(0)
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(ask(client, number)))
        await asyncio.sleep(draw.expovariate(rate))
    return list(await asyncio.gather(*tasks))


async def loaded(client: httpx.AsyncClient, share: float, capacity: Figures, count: int) -> Figures:
    """Waiting times at a share of the capacity."""
    began = time.perf_counter()
    answers = await arrivals(client, share * capacity["requests_per_second"], count)
    took = time.perf_counter() - began
    good = [answer for answer in answers if answer["status"] == 200]
    found: Figures = {
        f"{name}_p{percent}": float(np.percentile([a[name] for a in good], percent))
        for name in ("first_byte", "first_audible", "rtf", "gap")
        for percent in (50, 95)
    }
    found["done"] = sum(a["seconds"] for a in good) / took / capacity["speech_per_second"]
    return found | {"refused": len(answers) - len(good)}


async def process(client: httpx.AsyncClient, name: str) -> float:
    """What the server says of its process."""
    lines = (await client.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"process_{name} ")).split()[1])


async def throughput(client: httpx.AsyncClient, streams: int) -> Figures:
    """What so many streams together get, each asking for one text after another."""

    async def stream() -> list[dict[str, Any]]:
        return [await ask(client, number) for number in range(len(TEXTS))]

    began, cpu = time.perf_counter(), await process(client, "cpu_seconds_total")
    answers = [
        a for some in await asyncio.gather(*(stream() for _ in range(streams))) for a in some
    ]
    took, cpu = time.perf_counter() - began, await process(client, "cpu_seconds_total") - cpu
    return {
        "requests_per_second": len(answers) / took,
        "speech_per_second": sum(a["seconds"] for a in answers) / took,
        "speech_per_cpu_second": sum(a["seconds"] for a in answers) / cpu,
        "first_audible": statistics.median(a["first_audible"] for a in answers),
        "rtf": statistics.median(a["rtf"] for a in answers),
    }


async def soak(client: httpx.AsyncClient, seconds: float, streams: int) -> dict[str, Any]:
    """Four times as many requests as the server manages."""

    rate = 4 * (await throughput(client, streams))["requests_per_second"]
    answers, sizes = [], [await process(client, "resident_memory_bytes")]
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        answers += await arrivals(client, rate, max(1, round(30 * rate)))
        sizes.append(await process(client, "resident_memory_bytes"))
    statuses = [answer["status"] for answer in answers]
    return {
        "rate": rate,
        "answers": {str(status): statuses.count(status) for status in sorted(set(statuses))},
        "megabytes": [round(size / 1e6) for size in sizes],
    }


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=args.url, timeout=600, limits=limits) as client:
        await ask(client, 0)
        if args.soak:
            return await soak(client, args.soak, args.streams[-1])
        runs: dict[int, list[Figures]] = {streams: [] for streams in args.streams}
        for _ in range(args.repeats):
            for streams, found in runs.items():
                found.append(await throughput(client, streams))
        one = runs[args.streams[0]]
        figures = {
            streams: {name: statistics.median(run[name] for run in found) for name in one[0]}
            for streams, found in runs.items()
        }
        ratios = {
            streams: {
                name: statistics.median(
                    run[name] / base[name] for run, base in zip(found, one, strict=True)
                )
                for name in one[0]
            }
            for streams, found in runs.items()
        }
        capacity = figures[args.streams[-1]]
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "throughput": figures,
            "ratios": ratios,
            "requests": args.requests,
            "load": {
                share: await loaded(client, share, capacity, args.requests) for share in args.load
            },
        }


def table(head: str, rows: dict[Any, dict[str, str]]) -> None:
    """Print figures in Markdown, one row a key; nothing where there are none."""
    if not rows:
        return
    names = list(next(iter(rows.values())))
    print(f"\n| {head} | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    for key, cells in rows.items():
        print(f"| {key} | {' | '.join(cells[name] for name in names)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://localhost:8765")
    parser.add_argument(
        "--load", type=float, nargs="*", default=[0.3, 0.6, 0.9], help="shares of the capacity"
    )
    parser.add_argument("--requests", type=int, default=40, help="at each load")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="overload it for so long")
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    report = asyncio.run(measure(args))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if args.soak:
        print(json.dumps(report, indent=2))
        return
    print(report["machine"])
    ratios = report["ratios"]
    table(
        "streams",
        {
            streams: {k: f"{v:.2f} (x{ratios[streams][k]:.2f})" for k, v in found.items()}
            for streams, found in report["throughput"].items()
        },
    )
    table(
        "load",
        {
            share: {name: f"{value:.3f}" for name, value in found.items()}
            for share, found in report["load"].items()
        },
    )


if __name__ == "__main__":
    main()
