"""A model as a page: a real browser speaks with it, and asks nobody else for anything."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra export")
pytest.importorskip("playwright", reason="needs the playwright package")

from llasa.base.errors import LlasaError
from llasa.lm.engine import generate
from llasa.models.export.web import RUNTIME, export_web, joined_letters, letter_ids
from llasa.models.find import find_model, shipped_models
from llasa.tts.llasa import Llasa
from llasa.vocabulary.vocabulary import Vocabulary
from tests.serving.browser import launched, needs_browser
from tests.tiny_model import tiny_vocabulary
from tests.waiting import PATIENCE

PACKAGE = "onnxruntime-web@1.30.0"
TEXT = "Hello, my friend. It’s a fine day — isn’t it? The weather there is hers."
SPEAK = """async ([text, options]) => {
  const { Llasa } = await import("./llasa.js");
  const tts = await Llasa.load();
  const speech = await tts.speak(text, options);
  return { ...speech, samples: [...speech.samples] };
}"""
PARTS = """async texts => {
  const { parts } = await import("./llasa.js");
  const model = await (await fetch("model.json")).json();
  return texts.map(text => parts(text, model));
}"""

IDS = """async texts => {
  const { textIds } = await import("./llasa.js");
  const model = await (await fetch("model.json")).json();
  return texts.map(text => [...model.before, ...textIds(text, model), ...model.voices.ann.after]);
}"""

needs_nano = pytest.mark.skipif(not shipped_models(), reason="the default model is not here")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onnxruntime for browsers."""
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    if (
        not shutil.which("npm")
        or subprocess.run(command, cwd=folder, capture_output=True).returncode
    ):
        pytest.skip(f"npm cannot install {PACKAGE}")
    return folder / "node_modules" / "onnxruntime-web" / "dist"


@contextmanager
def hosted(root: Path) -> Iterator[str]:
    """The address of a host that knows nothing but files."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{host.server_port}/"
        host.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


@contextmanager
def browsing(browser: Any, address: str) -> Iterator[Any]:
    """A page that asks nobody else for anything."""
    opened = browser.new_page()
    opened.set_default_timeout(PATIENCE * 1000)
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    yield opened
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


@pytest.fixture(scope="module")
def page(browser: Any, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Nano as a page, below a path."""
    root = tmp_path_factory.mktemp("www")
    export_web(find_model("nano"), root / "deep" / "page", runtime)
    with hosted(root) as address, browsing(browser, f"{address}deep/page/") as opened:
        yield opened


@pytest.fixture(scope="module")
def named_page(
    browser: Any, named: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A small model that names phones, as a page."""
    root = tmp_path_factory.mktemp("www")
    export_web(find_model(named), root / "page", runtime)
    with hosted(root) as address, browsing(browser, f"{address}page/") as opened:
        yield opened


@pytest.mark.slow
@needs_nano
@needs_browser
def test_the_browser_speaks_as_python_does(page: Any) -> None:
    ours = Llasa.load("nano")
    for voice in ("heart", "george"):
        passages = ours.request(TEXT).passages
        spoken = page.evaluate(SPEAK, [TEXT, {"voice": voice, "temperature": 0}])
        codes: list[int] = []
        for passage in passages:
            codes += ours(passage.given, voice=voice, temperature=0).codes.tolist()
        assert spoken["codes"] == codes
        assert spoken["rate"] == ours.rate
        embedding = ours.voice(voice).speaker_embedding
        first = ours(passages[0].given, voice=voice, temperature=0).codes
        (sound,) = ours.codec.decode([first], embedding)
        theirs = np.array(spoken["samples"][: len(sound)], np.float32)
        np.testing.assert_allclose(theirs, sound, atol=1e-3)


@pytest.mark.slow
@needs_nano
@needs_browser
def test_seeds_repeat(page: Any) -> None:
    first, again, other = (
        page.evaluate(SPEAK, ["Good morning.", {"seed": seed}])["codes"] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert 0.4 < len(first) / 50 < 4


@pytest.mark.slow
@needs_nano
@needs_browser
def test_text_takes_the_form_of_the_model(page: Any) -> None:
    ours = Llasa.load("nano")
    texts = [TEXT, "hello world", "The café isn’t open...", "(He left) - she stayed", "😀 Hi!"]
    meant = [[passage.given for passage in ours.request(text).passages] for text in texts]
    assert page.evaluate(PARTS, texts) == meant
    long = "When the committee finally met again on the second Tuesday of the month " * 3
    (found,) = page.evaluate(PARTS, [long])
    assert all(0 < len(part) <= 110 for part in found)
    assert page.evaluate(PARTS, ["?!", ""]) == [[], []]
    assert page.evaluate(PARTS, ["Room 12"]) == [["Room one two."]]


@pytest.mark.slow
@needs_nano
@needs_browser
def test_a_person_presses_the_button(page: Any) -> None:
    page.wait_for_function("!document.getElementById('speak').disabled")
    page.fill("#text", "Good morning.")
    page.select_option("#voice", "emma")
    page.click("#speak")
    page.wait_for_function("document.getElementById('sound').duration > 0.4")
    assert " s of sound in " in page.inner_text("#status")
    page.fill("#text", "?!")
    page.click("#speak")
    page.wait_for_function("document.getElementById('status').textContent.includes('write a word')")


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize(
    ("voice", "rule"), [("ann", {}), ("bob", {}), ("ann", {"repetition_penalty": 1.5})]
)
def test_phones_are_named_and_not_heard(
    named: Path, named_page: Any, voice: str, rule: Any
) -> None:
    ours, text = Llasa.load(named, device="cpu"), "The fox hears her."
    request = ours.request(text, voice=voice, temperature=0, **rule)
    assert [passage.given for passage in request.passages] == [text]
    task = ours.task(request, 0)
    (said,) = generate(ours.engine, [task.prompt], [replace(task.params, loop_window=0)])
    assert len(ours.vocabulary.ids_to_phones(said.tokens)) > 3
    codes = ours.vocabulary.ids_to_codes(said.tokens).tolist()
    spoken = named_page.evaluate(SPEAK, [text, {"voice": voice, "temperature": 0, **rule}])
    assert spoken["codes"] == codes
    assert spoken["cut"] == ([text] if said.finish == "length" else [])
    (sound,) = ours.codec.decode([codes], ours.voice(voice).speaker_embedding)
    np.testing.assert_allclose(np.array(spoken["samples"], np.float32), sound, atol=1e-3)


@pytest.mark.slow
@needs_browser
def test_ids_of_a_text(named: Path, named_page: Any) -> None:
    vocabulary = Vocabulary.load(named / "lm")
    texts = ["The hehe, he'll.", "O'the hen.", "Shh, heehe!"]
    assert named_page.evaluate(IDS, texts) == [vocabulary.tts_prompt(text) for text in texts]


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("rule", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1}])
def test_rules_that_leave_the_likeliest(named_page: Any, rule: dict[str, float]) -> None:
    free = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}
    codes = [
        named_page.evaluate(SPEAK, ["A fox.", {**free, **more}])["codes"]
        for more in ({}, rule, {"temperature": 0})
    ]
    assert codes[0] != codes[1] == codes[2]


@pytest.mark.slow
@needs_browser
def test_what_is_not_spoken_is_told(named_page: Any) -> None:
    spoken = named_page.evaluate(SPEAK, ["$5 & “more”, émile!", {}])
    assert spoken["unspoken"] == ["$", "&"]
    named_page.wait_for_function("!document.getElementById('speak').disabled")
    assert named_page.input_value("#voice") == "ann"  # the model has no voice of its own
    named_page.fill("#text", "100 %")
    named_page.click("#speak")
    named_page.wait_for_function(
        "document.getElementById('status').textContent.includes('Left out: %')"
    )
    with pytest.raises(Exception, match="There is no voice eve: take ann, bob"):
        named_page.evaluate(SPEAK, ["A fox.", {"voice": "eve"}])
    with pytest.raises(Exception, match="There is no setting speed"):
        named_page.evaluate(SPEAK, ["A fox.", {"speed": 2}])


@needs_nano
def test_letters() -> None:
    vocabulary = Vocabulary.load(find_model("nano").lm)
    prefix, letters = letter_ids(vocabulary, "ab ,.")
    for text in ("Ab a.", "b", "a, B"):
        ids = [id_ for char in text for id_ in letters[char]]
        assert [*prefix, *ids] == vocabulary.encode_text(text)


def test_more_than_letters_are_joined() -> None:
    with pytest.raises(LlasaError, match="reads letter by letter"):
        joined_letters(tiny_vocabulary())


def test_what_cannot_be_a_page(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"has no ort\.wasm\.min\.mjs: run npm install"):
        export_web(find_model(tiny), tmp_path / "out", tmp_path)
    for name in RUNTIME:
        (tmp_path / name).touch()
    with pytest.raises(LlasaError, match="Model tiny cannot be a page"):
        export_web(find_model(tiny), tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
