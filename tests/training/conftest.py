"""Fixtures of the training tests: tiny data on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llasa.vocabulary.vocabulary import Vocabulary

from .tools import save_vocabulary, write_clips, write_tokens


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "torchrun: starts two processes with torchrun")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Equal sums in this process and in those that tests start."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of three synthetic clips."""
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory, compact: Vocabulary) -> Path:
    """Folder of the vocabulary with 300 text tokens and 64 codes."""
    return save_vocabulary(compact, tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token shards of twelve utterances."""
    return write_tokens(tmp_path_factory.mktemp("tokens"))
