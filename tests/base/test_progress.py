"""Progress without a terminal: lines, not too many of them."""

from __future__ import annotations

import pytest

from llasa.base.progress import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, which the test moves on."""
    now = [100.0]
    monkeypatch.setattr("llasa.base.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return now


def test_a_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress(total=100, unit="line", desc="say") as bar:
        for _ in range(100):
            clock[0] += 1
            bar.update()
            bar.set_postfix_str("2 s of audio")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("llasa: say: 30/100 lines [00:30<01:10")
    assert all(line.endswith("2 s of audio]") for line in lines[1:])


def test_nothing_about_what_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(3), "pairs")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_it_can_be_off(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress(range(5), "pairs", disable=True):
        clock[0] += 60
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(total=2, desc="say") as bar:
        bar.update(2)
    assert "\rsay: 100%" in capsys.readouterr().err
