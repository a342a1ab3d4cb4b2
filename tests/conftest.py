"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary
from tests.tiny_model import write_tiny_model

# A shell in the background starts its programs with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

LLAMA3_SPECIAL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    "<|eot_id|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(5, 251)),
]
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "Convert the text to speech, then convert the speech to text.",
    "system user assistant Cutting Knowledge Date December Today Speaker",
]


def llama3_tokenizer() -> Tokenizer:
    """A tokenizer laid out as Llama 3's (128,000 text ids, 256 special ones), with few merges."""
    small = train_bpe(CORPUS * 3, 400)
    vocab = small.get_vocab()
    vocab.update({f"\x00{i}": i for i in range(len(vocab), 128_000)})
    merges = [tuple(pair) for pair in json.loads(small.to_str())["model"]["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in LLAMA3_SPECIAL])
    return tokenizer


@pytest.fixture(scope="session")
def llama3_base() -> Tokenizer:
    """Base tokenizer with the ids of Llama 3."""
    return llama3_tokenizer()


@pytest.fixture(scope="session")
def llama3(llama3_base: Tokenizer) -> Vocabulary:
    """Vocabulary with the released ids: 193,800 tokens."""
    return Vocabulary.extend(llama3_base, 65_536)


@pytest.fixture(scope="session")
def compact() -> Vocabulary:
    """Vocabulary of a small model: 300 text tokens, 64 codes."""
    return Vocabulary.extend(train_bpe(CORPUS, 300), 64)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose speech has about 64 tokens."""
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never ends by itself."""
    return write_tiny_model(tmp_path_factory.mktemp("endless"), ends=-50.0)


@pytest.fixture(scope="session")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that ends at once."""
    return write_tiny_model(tmp_path_factory.mktemp("mute"), ends=50.0)


@pytest.fixture
def own_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the user's voices."""
    monkeypatch.setenv("LLASA_VOICES", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="session")
def speech_data() -> Path:
    """Folder of real recordings (environment variable LLASA_DATA)."""
    folder = Path(os.environ.get("LLASA_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "librispeech.jsonl").exists():
        pytest.skip(f"no recordings in {folder}: set LLASA_DATA to the folder that holds them")
    return folder


# -- skipped tests: shown with their reasons, and no more of them than `--max-skips` ------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--max-skips", type=int, metavar="N", help="fail when more than N tests are skipped"
    )


def skips(config: pytest.Config) -> Counter[str]:
    """How many tests were skipped, by reason; of a whole module that was skipped, one."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    return Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)


def too_many_skips(config: pytest.Config) -> bool:
    budget = config.getoption("max_skips")
    return budget is not None and skips(config).total() > budget


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and too_many_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    if config.getoption("max_skips") is None:
        return
    found = skips(config)
    for reason, count in found.most_common():
        terminalreporter.write_line(f"skipped {count:3d}: {reason}")
    terminalreporter.write_line(
        f"{found.total()} skipped, at most {config.getoption('max_skips')} allowed",
        red=too_many_skips(config),
    )
