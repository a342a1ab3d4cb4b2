"""The house: no name for two things, and no file that is too long to read."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "llasa"
LONGEST = 400


def kinds(module: ast.Module) -> Iterator[str]:
    """Public names of the classes and of the type aliases (in capitals and small letters)."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            names = [name for name in names if name[:1].isupper() and not name.isupper()]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def test_no_class_or_type_has_the_name_of_another() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for name in kinds(ast.parse(path.read_text("utf-8"))):
            homes[name].append(path.relative_to(SOURCE).as_posix())
    assert len(homes) > 400
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_no_file_is_too_long() -> None:
    lengths = {
        path.relative_to(SOURCE).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in SOURCE.rglob("*")
        if path.suffix in {".py", ".js", ".css", ".html", ".toml"}
    }
    assert len(lengths) > 300
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
