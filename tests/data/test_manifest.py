"""Reading and writing manifests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes
from llasa.data.manifest import Manifest, Utterance, read_manifest, write_manifest


def test_reads_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"audio": "a/1.flac", "text": "Hi.", "speaker": "ann", "seconds": 2, "language": "en"}\n'
        '\n{"audio": "/x/2.wav", "extra": 1}'
    )
    assert read_manifest(path) == [
        Utterance(tmp_path / "a/1.flac", "Hi.", "ann", 2.0, "en"),
        Utterance(Path("/x/2.wav")),
    ]
    assert read_manifest(path, root="/data")[0].path == Path("/data/a/1.flac")


def test_any_range(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(f'{{"audio": "{i}.wav"}}\n' * (i % 3) for i in range(30)) + "\n\n")
    everything = read_manifest(path)
    manifest = Manifest(path)
    assert len(manifest) == len(everything) == 30
    for start, stop in [(0, 0), (0, 7), (13, 14), (25, 99), (40, 50)]:
        assert list(manifest.read(start, stop)) == everything[start:stop]


texts = st.text(st.characters(codec="utf-8"), max_size=20)
utterances = st.builds(
    Utterance,
    st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?\.wav", fullmatch=True).map(Path),
    st.none() | texts,
    st.none() | texts,
    st.none() | st.floats(0.01, 1e4),
    st.none() | texts,
)


@given(rows=st.lists(utterances, min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[Utterance]) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    rows = [Utterance(folder / u.path, u.text, u.speaker, u.seconds, u.language) for u in rows]
    assert write_manifest(folder / "m.jsonl", rows) == len(rows)
    assert read_manifest(folder / "m.jsonl") == rows
    moved = folder.parent / "elsewhere"
    relative = read_manifest(folder / "m.jsonl", root=moved)
    assert [u.path for u in relative] == [moved / u.path.relative_to(folder) for u in rows]


def test_timing(tmp_path: Path) -> None:
    row = Utterance(tmp_path / "a.wav", "Ah, no.", timing=((0, 0.1), (2, 0.4), (4, 0.7), (6, 1.1)))
    row = replace(row, phones=(("ɑ", 0.3), (",", 0.6), ("n", 0.8)))
    write_manifest(tmp_path / "m.jsonl", [row])
    assert read_manifest(tmp_path / "m.jsonl") == [row]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: it is not valid JSON"),
        ("[1]", "line 2: it is not a JSON object"),
        ('{"text": "a"}', 'line 2: "audio"'),
        ('{"audio": 3}', 'line 2: "audio"'),
        ('{"audio": "a", "seconds": -1}', 'line 2: "seconds"'),
        ('{"audio": "a", "seconds": true}', 'line 2: "seconds"'),
        ('{"audio": "a", "seconds": NaN}', 'line 2: "seconds"'),
        ('{"audio": "a", "timing": [[0, 1], [3, 0.5]]}', 'line 2: "timing"'),
        ('{"audio": "a", "timing": [0, 1, 2]}', 'line 2: "timing"'),
        ('{"audio": "a", "timing": "soon"}', 'line 2: "timing"'),
        ('{"audio": "a", "phones": [["a", 1], ["b", 0.5]]}', 'line 2: "phones"'),
        ('{"audio": "a", "phones": [[1, 2]]}', 'line 2: "phones"'),
        ('{"audio": "a", "phones": ["a"]}', 'line 2: "phones"'),
        ('{"audio": "a", "text": 5}', 'line 2: "text" must be a string, not 5'),
        ("\udcff", "line 2: it is not UTF-8"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"audio": "a"}\n' + line.encode(errors="surrogateescape"))
    with pytest.raises(LlasaError, match=message):
        read_manifest(path)


def test_missing_and_empty(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="cannot be read"):
        Manifest(tmp_path / "none.jsonl")
    with pytest.raises(LlasaError, match="cannot be read"):
        Manifest(tmp_path)
    (tmp_path / "m.jsonl").write_text("\n \n")
    with pytest.raises(LlasaError, match="is empty"):
        Manifest(tmp_path / "m.jsonl")


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, [Utterance(tmp_path / "a.wav")])
    before = path.read_bytes()

    def broken() -> object:
        yield Utterance(tmp_path / "b.wav")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_manifest(path, broken())  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]


def test_real_manifests(speech_data: Path) -> None:
    rows = read_manifest(speech_data / "librispeech.jsonl")
    assert len(rows) == 60
    assert all(row.path.exists() and row.text and row.speaker for row in rows)


short = st.text(st.characters(), max_size=6)
junk = st.none() | st.booleans() | st.integers() | st.floats() | short
fields = {
    "audio": st.text(st.characters(), max_size=8) | junk,
    "text": st.text(st.characters(), max_size=8) | junk,
    "speaker": junk,
    "seconds": junk,
    "language": junk,
    "timing": junk | st.lists(st.tuples(junk, junk), max_size=2),
    "phones": junk | st.lists(st.tuples(junk, junk), max_size=2),
}
lines = st.fixed_dictionaries({}, optional=fields).map(jsonl.render) | st.binary(max_size=30)


@given(st.lists(lines, min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_lines_are_utterances_or_reasons(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(b"\n".join(rows))
    if all(map(jsonl.blank, path.read_bytes().split(b"\n"))):
        with pytest.raises(LlasaError, match="is empty"):
            Manifest(path)
        return
    manifest = Manifest(path)
    read = dict(manifest.rows())
    found = [row for row in read.values() if isinstance(row, Utterance)]
    skipped = {line: str(row) for line, row in read.items() if isinstance(row, LlasaError)}
    assert len(found) + len(skipped) == len(manifest)
    for utterance in found:
        with pytest.raises(LlasaError):  # there is no such recording
            read_bytes(utterance.path)
    if skipped:
        with pytest.raises(LlasaError, match=f"line {min(skipped)}: "):
            list(manifest)


def test_any_block_size_finds_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(f'{{"audio": "{i}.wav"}}\n' * (i % 3) + "  " for i in range(300)))
    whole = Manifest(path)
    everything = list(whole)
    assert [row.path.stem for row in everything] == [
        str(i) for i in range(300) for _ in range(i % 3)
    ]
    for size in (1, 7, 100, 1000):
        monkeypatch.setattr("llasa.data.manifest._BLOCK", size)
        manifest = Manifest(path)
        assert (len(manifest), manifest.crc) == (300, whole.crc)
        for start in (0, 63, 64, 65, 199, 299):
            assert list(manifest.read(start, start + 70)) == everything[start : start + 70]
