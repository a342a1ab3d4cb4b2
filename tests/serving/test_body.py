"""What is not a JSON object is told in a sentence; uploads are few at a time."""

from __future__ import annotations

import asyncio
import errno
import json
import threading

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from llasa.base.errors import LlasaError
from llasa.serving.body import Uploads, parse_object
from llasa.serving.errors import NotFoundError, envelope
from llasa.serving.scheduler import BusyError
from llasa.serving.schemas import DecodeRequest, SpeechRequest, TextFragment

TEXT = {"input": "Grüße, 你好"}


def test_encodings_of_json() -> None:
    text = json.dumps(TEXT, ensure_ascii=False)
    for code in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"):
        assert parse_object(text.encode(code)) == TEXT
    assert parse_object(text) == TEXT


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is empty: send a JSON object in UTF-8 with content-type"),
        ('{"input": "Grüße"}'.encode("latin-1"), "The body is not UTF-8"),
        (b'{"input": "Hi"', "The body is not JSON (Expecting ',' delimiter, character 14): send"),
        (b'{"input": "Hi",}', "The body is not JSON"),
        (b"input=Hi", "The body is not JSON (Expecting value, character 0)"),
        (b"[" * 100_000, "The body is not JSON that can be read"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "The body is not JSON that can be read"),
        (b"[1]", "The body is JSON, but not an object"),
        (b"null", "The body is JSON, but not an object"),
    ],
)
def test_what_is_no_json_object(body: bytes, sentence: str) -> None:
    with pytest.raises(HTTPException) as refused:
        parse_object(body)
    assert refused.value.status_code == 400
    assert str(refused.value.detail).startswith(sentence)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (DecodeRequest, {"codes": [""] * 300_000}),
        (SpeechRequest, {"input": "a", "verifiers": ["length"] * 200_000}),
        (SpeechRequest, {"input": "a", "voice": "v" * 500_000}),
        (TextFragment, {"x" * 500_000: 1}),
    ],
)
def test_answers_to_absurd_bodies_are_short(kind: type, body: dict[str, object]) -> None:
    """Only the first of what is wrong is looked at: not each of many entries, no long name."""
    try:
        kind.model_validate(body)  # type: ignore[attr-defined]
        wrong: Exception = LlasaError(f"Voice {body['voice']!r} is unknown.")
    except LlasaError as error:
        wrong = error
    except ValidationError as error:
        assert len(error.errors()) == 1  # noqa: PT017
        return
    assert len(json.dumps(envelope(wrong)[1])) < 1500


def test_unknown_fields_of_speech() -> None:
    """They are named, or refused; long names and many of them are told in short."""
    body = {"input": "a", "sped": 2, "stream": True, "instructions": "Calm."}
    assert SpeechRequest.model_validate(body).notes(strict=False) == [
        "'sped' is not a field of this request and is ignored. Did you mean speed?",
        "'stream' is not a field of this request and is ignored. Did you mean stream_format?",
        "'instructions' change nothing: the model has no styles.",
    ]
    with pytest.raises(LlasaError, match=r"^'sped' is not a field.*valid are model.*Did you mean"):
        SpeechRequest.model_validate(body).notes(strict=True)
    absurd = SpeechRequest.model_validate(
        {"input": "a", "inputvoicemodel " * 30_000: 1, **{f"x{n}": n for n in range(10_000)}}
    )
    notes = absurd.notes(strict=False)
    assert len(notes) == 11
    assert sum(map(len, notes)) < 2000
    assert notes[-1] == "Nor do 9991 more fields."


def test_errors_have_their_status() -> None:
    full = LlasaError("x cannot be written: no space left on device.")
    full.__cause__ = OSError(errno.ENOSPC, "no space")
    assert envelope(full)[0] == 507
    assert envelope(OSError(errno.EDQUOT, "quota"))[0] == 507
    assert envelope(OSError(errno.EACCES, "denied"))[0] == 500
    assert envelope(LlasaError("No."))[0] == 400
    assert envelope(NotFoundError("No."))[0] == 404


def test_uploads_are_few_at_a_time() -> None:
    uploads = Uploads(most=2, threads=1)
    gate = threading.Event()

    async def one() -> str:
        with uploads.place():
            await uploads.work(gate.wait)
            return threading.current_thread().name

    async def all_of_them() -> list[object]:
        asked = [asyncio.create_task(one()) for _ in range(5)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(all_of_them())
    assert sum(isinstance(answer, BusyError) for answer in answers) == 3
    with uploads.place(), uploads.place(), pytest.raises(BusyError), uploads.place():
        pass
