"""``llasa``: finds the command, runs it, and turns what goes wrong into one sentence."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import NoReturn

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice, did_you_mean, plain
from llasa.base.threads import wait_passively
from llasa.cli.parser import Parser

COMMANDS = {
    "say": ("say", "speak a text, or a file of texts"),
    "clone": ("say", "speak a text in the voice of a recording"),
    "transcribe": ("transcribe", "write down what recordings say"),
    "serve": ("serve", "speak over HTTP, as OpenAI's server does"),
    "voices": ("voices", "list, add, show and remove voices"),
    "encode": ("codec", "turn audio into codes"),
    "decode": ("codec", "turn codes into audio"),
    "data": ("data", "import, check, tokenize and convert data for training"),
    "tokenize": ("data", "turn a manifest of recordings into token shards"),
    "train": ("train", "train a codec or a language model"),
    "finetune": ("finetune", "teach a model a new voice, from recordings of it"),
    "distill": ("distill", "teach a model to say at once what search finds"),
    "eval": ("eval", "judge what a model says or understands, what search gains, or codecs"),
    "study": ("study", "train a grid of sizes and shares of the data, and fit the law of scaling"),
    "pack": ("pack", "put a language model and a codec into one model folder"),
    "export": ("export", "a model for Transformers, llama.cpp, onnxruntime or a browser"),
    "doctor": ("doctor", "versions, devices, missing extras and the model"),
}
"""File and purpose of each command; ``NAME_command(parser)`` in the file adds its arguments.

Only the file of the command that runs is imported.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code.

    0, 2 for bad input, 130 for Ctrl-C and 143 for SIGTERM, 141 where whoever read stdout has closed
    it.
    """
    wait_passively()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # warnings of libraries tell a user nothing
    try:
        words = sys.argv[1:] if argv is None else argv
        with nullcontext() if words[:1] == ["serve"] else _terminable():  # a server ends by itself
            _run(words)
            sys.stdout.flush()
    except LlasaError as error:
        return _fail(str(error))
    except KeyboardInterrupt as stop:
        print("llasa: Interrupted.", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
    except BrokenPipeError:
        # Nobody reads any more; keep the interpreter from flushing into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _fail(f"{error.filename or 'The output'} cannot be used: {error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:
        reason = str(error).lower()
        if isinstance(error, MemoryError) or any(sign in reason for sign in _NO_MEMORY):
            return _fail(
                "There is not enough memory: use a smaller model, --int8, shorter text or another "
                "--device."
            )
        raise
    return 0


_NO_MEMORY = ("out of memory", "can't allocate memory")
"""What PyTorch says on a GPU and on the CPU."""


def _fail(sentence: str) -> int:
    print(plain(f"llasa: error: {sentence}"), file=sys.stderr)
    return 2


class Terminated(KeyboardInterrupt):
    """SIGTERM came, with which containers and service managers stop a program."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM ends the work as Ctrl-C does, with the same cleaning up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _run(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return
    if argv[0] == "--version":
        from llasa import __version__

        print(f"llasa {__version__}")
        return
    if bare := _is_text(argv[0]):
        argv = ["say", *argv]
    check_choice(argv[0], COMMANDS, "Command")
    command = command_parser(argv[0])
    args = command.parse(argv[1:])
    args.bare = bare
    args.command_line = shlex.join(["llasa", *argv])
    args.run(args)


def _is_text(word: str) -> bool:
    """Whether the first word is text to speak: neither a command nor a misspelled one."""
    return not word.startswith("-") and word not in COMMANDS and not did_you_mean(word, COMMANDS)


def command_parser(name: str) -> Parser:
    """The parser of one command; parsing leaves the command's function in ``run``."""
    file, purpose = COMMANDS[name]
    command = Parser(prog=f"llasa {name}", description=f"{purpose[0].upper()}{purpose[1:]}.")
    getattr(import_module(f"llasa.cli.{file}"), f"{name}_command")(command)
    return command


def _overview() -> str:
    lines = [f"  {name:12}{purpose}" for name, (_, purpose) in COMMANDS.items()]
    usage = "usage: llasa TEXT | llasa COMMAND ... | llasa COMMAND --help | llasa --version"
    about = "Speech synthesis with nothing but a Llama."
    example = 'example: llasa say "Hello, world." -o hello.wav'
    return "\n".join([usage, "", about, "", *lines, "", example])
