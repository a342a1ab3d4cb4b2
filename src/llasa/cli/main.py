"""``llasa``: finds the command, runs it, and turns what goes wrong into one sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from llasa.cli import batch, codec, doctor, pack, say, train, voices
from llasa.cli.options import Parser
from llasa.errors import LlasaError
from llasa.names import did_you_mean

GROUPS = (say, batch, voices, codec, train, pack, doctor)


def parser() -> Parser:
    """The parser of all commands; each command leaves its function in ``run``."""
    top = Parser(prog="llasa", description="Speech synthesis with nothing but a Llama.")
    top.add_argument("--version", action="store_true", help="print the version and leave")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for group in GROUPS:
        group.add_commands(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code (0, 2 for bad input, 130 for Ctrl-C)."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except LlasaError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("llasa: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Nobody reads any more; keep the interpreter from flushing into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _fail(f"{error.filename or 'The output'} cannot be used: {error.strerror}.")
    except MemoryError:
        return _fail(_NO_MEMORY)
    except RuntimeError as error:
        if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
            return _fail(_NO_MEMORY)
        raise
    return code


_NO_MEMORY = "There is not enough memory: use a smaller model, --int8, shorter text or another --device."


def _fail(sentence: str) -> int:
    print(f"llasa: error: {sentence}", file=sys.stderr)
    return 2


def _run(argv: Sequence[str]) -> int:
    top = parser()
    commands = top.commands()
    if argv and not argv[0].startswith("-") and argv[0] not in commands:
        raise LlasaError(
            f"Command {argv[0]!r} is unknown: valid are {', '.join(commands)}."
            f"{did_you_mean(argv[0], commands)}"
        )
    args, unknown = top.parse_known_args(argv)
    if unknown:
        known = commands[args.command] if args.command else top
        raise LlasaError(
            f"{known.prog}: {unknown[0]} is unknown.{did_you_mean(unknown[0], known.flags())} "
            f"See '{known.prog} --help'."
        )
    if args.version:
        from llasa import __version__

        print(f"llasa {__version__}")
        return 0
    if args.command is None:
        top.print_help()
        return 0
    code: int = args.run(args) or 0
    return code
