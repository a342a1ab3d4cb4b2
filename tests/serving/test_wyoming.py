"""Home Assistant's protocol, asked by its own client."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("wyoming", reason="needs the extra wyoming")
import numpy as np
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from tests.waiting import PATIENCE, wait_for

from .tools import Server, serving

pytestmark = pytest.mark.slow

TEXT = "The lazy dog sleeps."


@pytest.fixture(scope="module")
def server(endless: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Whose every speech has two seconds."""
    flags = ("--wyoming", "0", "--max-chars", "200", "--max-seconds", "2")
    with serving(endless, tmp_path_factory.mktemp("voices"), *flags) as running:
        yield running


def address(server: Server) -> tuple[str, int]:
    wait_for(lambda: "Wyoming on" in server.log())
    found = re.search(r"Wyoming on tcp://([\d.]+):(\d+)", server.log())
    assert found
    return found[1], int(found[2])


def told(server: Server, *events: Eventable, until: type[Eventable] = AudioStop) -> list[Event]:
    """What the server answers, up to an event of a type, an error or its end."""

    async def go() -> list[Event]:
        answers: list[Event] = []
        async with asyncio.timeout(PATIENCE), AsyncTcpClient(*address(server)) as client:
            for event in events:
                await client.write_event(event.event())
            while (answer := await client.read_event()) is not None:
                answers.append(answer)
                if until.is_type(answer.type):
                    break
        return answers

    return asyncio.run(go())


def sound(events: list[Event]) -> np.ndarray:
    start, *chunks, end = events
    assert AudioStart.from_event(start).rate == 24_000
    assert AudioStop.is_type(end.type)
    pieces = [AudioChunk.from_event(chunk) for chunk in chunks]
    assert {(piece.rate, piece.width, piece.channels) for piece in pieces} == {(24_000, 2, 1)}
    return np.frombuffer(b"".join(piece.audio for piece in pieces), "<i2")


def test_who_is_there(server: Server) -> None:
    (answer,) = told(server, Describe(), until=Info)
    (program,) = Info.from_event(answer).tts
    assert program.supports_synthesize_streaming
    assert [voice.name for voice in program.voices] == ["ann"]
    assert program.voices[0].languages == ["en"]
    (answer,) = told(server, Ping("here"), until=Pong)
    assert Pong.from_event(answer).text == "here"


@pytest.mark.parametrize("voice", [None, "ann", "alloy"])
def test_speech(server: Server, voice: str | None) -> None:
    named = None if voice is None else SynthesizeVoice(name=voice)
    samples = sound(told(server, Synthesize(TEXT, voice=named)))
    assert len(samples) == 2 * 24_000
    assert samples.any()
    # The protocol has no place for warnings: they are in the log.
    wait_for(lambda: '"WYOMING", "seconds": 2.0' in server.log())


def test_a_text_that_comes_in_pieces(server: Server) -> None:
    """Sound comes before the text ends; all of it once more is what older servers need."""

    async def go() -> list[Event]:
        async with asyncio.timeout(PATIENCE), AsyncTcpClient(*address(server)) as client:
            await client.write_event(SynthesizeStart(SynthesizeVoice(name="ann")).event())
            for piece in ("A fox ru", "ns. The do", "g sleeps"):
                await client.write_event(SynthesizeChunk(piece).event())
            answers = [await client.read_event()]
            await client.write_event(SynthesizeChunk(".").event())
            await client.write_event(Synthesize("A fox runs. The dog sleeps.").event())
            await client.write_event(SynthesizeStop().event())
            while not SynthesizeStopped.is_type(answers[-1].type):
                answers.append(await client.read_event())
            await client.write_event(Describe().event())  # the connection is still good
            assert Info.is_type((await client.read_event()).type)
            return answers

    *events, _ = asyncio.run(go())
    assert len(sound(events)) == 2 * 24_000


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([Synthesize("!?")], "no letter or digit"),
        ([Synthesize(TEXT, voice=SynthesizeVoice(name="eve"))], "Voice 'eve' is unknown"),
        ([Synthesize(f"<speak>{TEXT}</speak>", text_format="ssml")], "Only plain text"),
        ([Synthesize("a" * 300)], "at most 200"),
        ([SynthesizeStart(), SynthesizeChunk("a" * 300)], "too long"),
        ([SynthesizeStart(), SynthesizeStop()], "empty"),
    ],
)
def test_what_goes_wrong_is_told(server: Server, events: list[Eventable], sentence: str) -> None:
    *_, last = told(server, *events)
    assert Error.is_type(last.type)
    assert sentence in Error.from_event(last).text
    assert '"level": "error"' not in server.log()


@pytest.mark.parametrize(
    "line",
    [
        *(b"[]\n", b"{}\n", b'"x"\n', b"no json\n", b'{"type": "synthesize"}\n'),
        *(b'{"type": 3}\n', b'{"type": "describe", "data": 3}\n', b"[" * 100_000 + b"\n"),
        b'{"type": "synthesize", "data_length": 99999999999}\n',
        b'{"type": "synthesize", "payload_length": -1}\n',
        b"a" * 2_000_000,
    ],
)
def test_junk(server: Server, line: bytes) -> None:
    async def go() -> None:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(*address(server))
            try:
                writer.write(line)
                writer.write_eof()
                await reader.read()
            except OSError:  # it was cut off before
                pass
            finally:
                writer.close()

    asyncio.run(go())
    assert len(told(server, Describe(), until=Info)) == 1
    assert '"level": "error"' not in server.log()


def test_a_client_that_leaves_frees_its_place(endless: Path, tmp_path: Path) -> None:
    with serving(endless, tmp_path, "--wyoming", "0") as server:

        async def go() -> None:
            async with asyncio.timeout(PATIENCE), AsyncTcpClient(*address(server)) as client:
                await client.write_event(Synthesize(" ".join([TEXT] * 40)).event())
                assert AudioStart.is_type((await client.read_event()).type)

        asyncio.run(go())
        wait_for(lambda: server.metric("llasa_sequences") == 0)


def test_what_was_accepted_is_finished(endless: Path, tmp_path: Path) -> None:
    with serving(endless, tmp_path, "--wyoming", "0", "--max-seconds", "6") as server:

        async def go() -> list[Event]:
            async with asyncio.timeout(PATIENCE), AsyncTcpClient(*address(server)) as client:
                await client.write_event(Synthesize(" ".join([TEXT] * 9)).event())
                answers = [await client.read_event()]
                server.process.send_signal(signal.SIGTERM)
                while not AudioStop.is_type(answers[-1].type):
                    answers.append(await client.read_event())
                return answers

        assert len(sound(asyncio.run(go()))) == pytest.approx(6 * 24_000, rel=0.02)
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
