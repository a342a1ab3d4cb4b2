"""Atomic writes, helper files with short names, one writer at a time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llasa.base.errors import LlasaError
from llasa.base.files import (
    atomic_path,
    beside,
    digest,
    locked,
    make_folder,
    only_writer,
    published_folder,
    read_bytes,
    read_json,
    remove_unfinished,
    unwritable,
    write_atomic,
    write_json,
)


def test_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_says_why_not(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"the folder .*none does not exist"):
        write_atomic(tmp_path / "none" / "a", b"")
    with pytest.raises(LlasaError, match="it is a folder"):
        write_atomic(tmp_path, b"")
    with pytest.raises(LlasaError, match="cannot be written"):
        write_atomic("/proc/llasa", b"")
    with (
        pytest.raises(LlasaError, match="No space left on device"),
        atomic_path(tmp_path / "a"),
        open("/dev/full", "wb") as full,
    ):
        full.write(b"x")
    assert not list(tmp_path.iterdir())


def test_read_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text, message in [(None, "does not exist"), ("{", "not valid"), ("[]", "JSON object")]:
        if text is not None:
            path.write_text(text)
        with pytest.raises(LlasaError, match=message):
            read_json(path)
    with pytest.raises(LlasaError, match="is a folder"):
        read_json(tmp_path)
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_a_folder_is_made_or_named(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "c").touch()
    with pytest.raises(LlasaError, match="c cannot be used as a folder: File exists"):
        make_folder(tmp_path / "c")


LONGEST = "é" * 125 + ".wave"  # 255 bytes
AWKWARD = [LONGEST, "a\nb.wav", "-x.wav", "\udcff.wav", "\u2028.wav", ".wav"]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_that_a_file_may_have(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert unwritable(path) is None
    with atomic_path(path) as temporary:
        assert re.fullmatch(r"\.llasa-[0-9a-f]{8}\.tmp", temporary.name)
        temporary.write_bytes(b"sound")
    assert path.read_bytes() == b"sound"
    kept = beside(path, ".resume")
    kept.touch()
    assert kept.name == f"{name}.resume" or re.fullmatch(r"\.llasa-[0-9a-f]{8}\.resume", kept.name)
    assert beside(path, ".resume") == kept != beside(tmp_path / "other.wav", ".resume")
    with only_writer(path):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([path, kept])


@pytest.mark.parametrize("name", ["é" * 130, "a\x00b"])
def test_a_name_that_no_file_can_have_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    why = unwritable(tmp_path / name)
    assert why in ("file name too long", "no file can have this name")
    for act in (lambda: write_atomic(tmp_path / name, b""), lambda: read_bytes(tmp_path / name)):
        with pytest.raises(LlasaError, match=f"(?i)cannot be .*: {why}"):
            act()
    assert not list(tmp_path.iterdir())


def test_a_link_is_followed_and_a_device_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a", tmp_path / "link"
    link.symlink_to(target)
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        write_atomic(pipe, b"to a reader")
        assert reader.communicate()[0] == b"to a reader"
    assert pipe.is_fifo()


def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda place: (order.append("sync"), sync(place)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("name"), replace(*names)))
    write_atomic(tmp_path / "a", b"x")
    assert order == ["sync", "name", "sync"]


def test_one_writer_at_a_time_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    hold = (
        "import sys; from pathlib import Path; from llasa.base.files import only_writer\n"
        "with only_writer(Path(sys.argv[1])):\n    print(1, flush=True); sys.stdin.read()"
    )
    for place in (path, tmp_path):
        command = [sys.executable, "-c", hold, str(place)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, **pipes) as other:  # type: ignore[call-overload]
            assert other.stdout.readline() == b"1\n"
            with pytest.raises(LlasaError, match="Another process is writing"), only_writer(place):
                pass
            other.kill()
        with only_writer(place):
            pass
    assert not list(tmp_path.iterdir())
    with pytest.raises(LlasaError, match="none does not exist"), only_writer(tmp_path / "none/a"):
        pass
    assert not list(tmp_path.iterdir()), "a lock makes no folders"


def test_halves_of_surrogate_pairs_are_kept(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"path": "caf\udce9"})
    assert read_json(tmp_path / "a.json") == {"path": "caf\udce9"}


def test_a_digest_is_that_of_weights_and_settings(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "a" / "README.md").touch()
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    (tmp_path / "b" / "config.json").write_text("{}")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


def test_no_other_place_names_helper_files() -> None:
    """Shards have names of our own, and what a killed worker left of one is known by its number."""
    own = {"base/files.py", "data/shards.py", "data/tokenize.py"}
    source = Path(__file__).parents[2] / "src" / "llasa"
    for path in source.rglob("*.py"):
        if path.relative_to(source).as_posix() not in own:
            by_hand = r"\.(tmp|lock)\"|mkstemp|NamedTemporaryFile"
            assert not re.search(by_hand, path.read_text("utf-8")), path


def test_a_folder_is_replaced_in_one_step(tmp_path: Path) -> None:
    out = tmp_path / "new" / "model"
    for text in ("one", "two"):
        with published_folder(out) as folder:
            (folder / "a.txt").write_text(text)
        assert (out / "a.txt").read_text() == text
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_a_folder_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    write_atomic(make_folder(out) / "a.txt", b"old")
    replace, calls = os.replace, []

    def fails(old: Path, new: Path) -> None:
        calls.append(new)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        replace(old, new)

    monkeypatch.setattr(os, "replace", fails)
    with (
        pytest.raises(LlasaError, match="cannot be written: No space left"),
        published_folder(out) as folder,
    ):
        (folder / "a.txt").write_text("new")
    assert (out / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_lock_is_held_once_and_stays_until_all_is_done(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with locked(lock, done=lambda: False) as held, locked(lock) as other:
        assert (held, other) == (True, False)
    assert lock.exists(), "others may still come for it"
    with locked(lock, wait=True) as held:
        assert held
    assert not lock.exists()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with locked(tmp_path / "a.lock") as held, only_writer(tmp_path / "a.wav"):
        assert held is None


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    make_folder(tmp_path / ".llasa-01234567.tmp" / "lm")
    make_folder(tmp_path / "step-1")
    (tmp_path / ".llasa.lock").touch()
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".llasa.lock", "step-1"]
