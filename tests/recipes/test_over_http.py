"""A list is spoken by a real server, and judged beside the same speech without one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx", reason="needs the httpx package")

from llasa.tts.llasa import Llasa
from llasa.verifiers.registry import missing_packages
from tests.serving.tools import Server, serving

RECIPE = Path(__file__).parents[2] / "recipes" / "search"
if str(RECIPE) not in sys.path:
    sys.path.insert(0, str(RECIPE))

import over_http  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tiny, tmp_path_factory.mktemp("voices")) as running:
        yield running


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Texts as they are typed, one of them twice."""
    rows = [
        {"id": "a", "text": "It costs $5", "said": "It costs five dollars.", "kind": "price"},
        {"id": "b", "text": "Back at 5:30pm", "said": "Back at five thirty p m.", "kind": "time"},
        {"id": "c", "text": "It costs $5", "said": "It costs five dollars.", "kind": "price"},
        {"id": "d", "text": "A fox \N{FOX FACE}", "said": "A fox.", "kind": "chat"},
    ]
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_server_says_what_the_model_says(
    server: Server, tiny: Path, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "http"
    over_http.main([str(lines), "-o", str(out), "--url", server.url, "--no-judging"])
    tts = Llasa.load(tiny, device="cpu")
    manifest = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [row["id"] for row in manifest] == ["a", "b", "c", "d"]
    for row in manifest:
        assert (out / row["audio"]).read_bytes() == tts(row["text"], seed=0).audio.encode("wav")
    assert "\nd: " in f"\n{capsys.readouterr().err}"
    settings = ["--limit", "1", "--seed", "3", "--field", "normalize=false", "--field", "voice=ann"]
    over_http.main([str(lines), "-o", str(out), "--url", server.url, "--no-judging", *settings])
    (row,) = map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
    other = tts(row["text"], voice="ann", seed=3, normalize=False)
    assert (out / row["audio"]).read_bytes() == other.audio.encode("wav")


@pytest.mark.skipif(bool(missing_packages("dnsmos")), reason="needs the extra eval")
def test_one_command_serves_speaks_and_judges(tiny: Path, lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "http"
    command = [str(lines), "-o", str(out), "--model", str(tiny), "--limit", "2"]
    with pytest.raises(SystemExit) as ended:
        over_http.main([*command, "--judges", "dnsmos"])
    assert ended.value.code == 0
    scores = json.loads((out / "judged" / "summary.json").read_text())["scores"]["all"]
    direct, http = (scores[name]["MOS dnsmos"]["value"] for name in ("synthesis", "http"))
    assert http == direct  # all is judged as from a file
    assert scores["http"]["MOS dnsmos"]["utterances"] == 2


def test_a_server_that_does_not_start_is_told_with_its_last_words(
    lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        over_http.main([str(lines), "-o", str(tmp_path / "o"), "--model", str(tmp_path / "none")])
    told = capsys.readouterr().err
    assert "The server did not start, see" in told
    assert "none" in told.rpartition("see")[2]


def test_what_is_refused_leaves_no_manifest(
    server: Server, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "http"
    over_http.main([str(lines), "-o", str(out), "--url", server.url, "--no-judging"])
    for more, sentence in (
        (["--field", "voice=nobody"], "Voice 'nobody' is unknown"),
        (["--url", "http://127.0.0.1:9"], "does not answer"),
        (["--url", "http://[::1"], "Invalid"),
        (["--field", "check"], "give NAME=VALUE"),
        (["--jobs", "0"], "--jobs must be 1 or more, not 0."),
    ):
        with pytest.raises(SystemExit) as ended:
            over_http.main([str(lines), "-o", str(out), "--url", server.url, *more])
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err
    assert not (out / "manifest.jsonl").exists()
