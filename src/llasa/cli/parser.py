"""The argument parser of every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from llasa.base.errors import LlasaError
from llasa.base.names import did_you_mean

Flags = Mapping[str, tuple[Callable[[str], Any], str, str]]
"""Flags that take a value, by the name of their argument: type, metavar and help."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ``LlasaError`` and which takes no abbreviated flags."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse; an unknown flag is answered with the nearest one."""
        args, unknown = self.parse_known_args(argv)
        if unknown and unknown[0].startswith("-"):
            self.error(f"{unknown[0]} is unknown.{did_you_mean(unknown[0], self._flags())}")
        if unknown:
            self.error(f"{unknown[0]!r} is one word too many; put text in quotes")
        return args

    def _flags(self) -> list[str]:
        """All flags, those of commands below included."""
        flags: list[str] = []
        for action in self._actions:
            flags += action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                flags += [flag for parser in action.choices.values() for flag in parser._flags()]
        return flags

    def error(self, message: str) -> NoReturn:
        """Called by argparse, too."""
        stop = "" if message.endswith((".", "?")) else "."
        raise LlasaError(f"{self.prog}: {message}{stop} See '{self.prog} --help'.")


def add_flags(group: argparse._ActionsContainer, flags: Flags, **more: Any) -> None:
    """Add flags that are None unless they are given; `more` goes to argparse with each."""
    for name, (kind, metavar, help) in flags.items():
        group.add_argument(flag(name), type=kind, metavar=metavar, help=help, **more)


def flag(name: str) -> str:
    """How an argument is written on the command line."""
    return f"--{name.replace('_', '-')}"


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The arguments among these that were given."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}
