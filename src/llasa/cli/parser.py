"""The argument parser of every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from llasa.base.errors import LlasaError
from llasa.base.names import check_name, did_you_mean

Flags = Mapping[str, tuple[Callable[[str], Any], str, str]]
"""Flags that take a value, by the name of their argument: type, metavar and help."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ``LlasaError`` and which takes no abbreviated flags."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self._commands: Any = None

    def add_subparsers(self, **settings: Any) -> Any:
        """Commands below this one, with parsers of this kind."""
        self._commands = super().add_subparsers(parser_class=Parser, **settings)
        return self._commands

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse; an unknown flag is answered with the nearest one."""
        args, unknown = self.parse_known_args(argv)
        if unknown and unknown[0].startswith("-"):
            self.error(f"{unknown[0]} is unknown.{did_you_mean(unknown[0], self.flags())}")
        if unknown:
            self.error(f"{unknown[0]!r} is one word too many; put text in quotes")
        return args

    def flags(self) -> list[str]:
        """All flags, those of commands below included."""
        below: Iterable[Parser] = self._commands.choices.values() if self._commands else ()
        own = (flag for action in self._actions for flag in action.option_strings)
        return [*own, *(flag for parser in below for flag in parser.flags())]

    def error(self, message: str) -> NoReturn:
        """Called by argparse, too."""
        stop = "" if message.endswith((".", "?")) else "."
        raise LlasaError(f"{self.prog}: {message}{stop} See '{self.prog} --help'.")


class ArgumentGroup(Protocol):
    """A parser, or a group of its flags."""

    def add_argument(self, *names: str, **settings: Any) -> Any:
        """As argparse has it."""


def add_flags(group: ArgumentGroup, flags: Flags, **more: Any) -> None:
    """Add flags that are None unless they are given; `more` goes to argparse with each."""
    for name, (kind, metavar, help) in flags.items():
        group.add_argument(flag(name), type=kind, metavar=metavar, help=help, **more)


def flag(name: str) -> str:
    """How an argument is written on the command line."""
    return f"--{name.replace('_', '-')}"


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The arguments among these that were given."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def named_paths(
    flag: str, specs: Iterable[str], what: str, taken: Iterable[str]
) -> dict[str, Path]:
    """Paths by system name, from NAME=PATH arguments; no two may share a folder name.

    `what` stands for the path in errors, `taken` are the names that are not free.
    """
    from llasa.evaluation.experiment import folder_name

    paths: dict[str, Path] = {}
    folders = {folder_name(name).lower() for name in taken}
    for spec in specs:
        name, _, path = spec.partition("=")
        if not path:
            raise LlasaError(f"{flag} cannot take {spec!r}: give NAME={what}.")
        folder = folder_name(check_name(name, "name of a system")).lower()
        if folder in folders:
            raise LlasaError(f"{flag} cannot name a system {name}: there is one already.")
        folders.add(folder)
        paths[name] = Path(path)
    return paths
