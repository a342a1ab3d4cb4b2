"""Who makes bytes waits for who takes them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from llasa.serving.outbox import AHEAD, Outbox
from tests.waiting import PATIENCE


def test_the_maker_waits_for_the_taker() -> None:
    piece, made = bytes(AHEAD // 4), []

    def make(outbox: Outbox) -> None:
        for number in range(40):
            outbox.wait()
            made.append(number)
            outbox.put(piece)
        outbox.put(None)

    async def take() -> int:
        outbox, taken = Outbox(), 0
        with ThreadPoolExecutor(1) as pool:
            done = asyncio.get_running_loop().run_in_executor(pool, make, outbox)
            async for data in outbox.pieces():
                assert data == piece
                assert len(made) <= taken + 6  # four that lie there, one more, and the next
                taken += 1
                await asyncio.sleep(0)
            await done
        return taken

    assert asyncio.run(asyncio.wait_for(take(), PATIENCE)) == 40


def test_closing_ends_both() -> None:
    async def close() -> None:
        outbox, waits = Outbox(), threading.Event()

        def make() -> None:
            outbox.put(bytes(2 * AHEAD))
            waits.set()
            outbox.wait()

        with ThreadPoolExecutor(1) as pool:
            maker = pool.submit(make)
            assert await asyncio.to_thread(waits.wait, PATIENCE)
            outbox.close(EOFError())
            ended = await asyncio.to_thread(maker.exception, PATIENCE)
            assert isinstance(ended, CancelledError)
        pieces = outbox.pieces()
        assert len(await anext(pieces)) == 2 * AHEAD
        with pytest.raises(EOFError):
            await anext(pieces)

    asyncio.run(asyncio.wait_for(close(), PATIENCE))


def test_what_went_wrong_is_raised_after_what_was_made() -> None:
    async def go() -> None:
        outbox = Outbox()
        outbox.put(b"a")
        outbox.put(ValueError("no"))
        pieces = outbox.pieces()
        assert await anext(pieces) == b"a"
        with pytest.raises(ValueError, match="no"):
            await anext(pieces)

    asyncio.run(go())
