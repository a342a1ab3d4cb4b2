"""``llasa batch``: a JSONL file of texts to a folder of audio files, with resume."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.audio import FORMATS, suffix_format
from llasa.cli.options import (
    Commands,
    Parser,
    add_speech_flags,
    load_model,
    print_json,
    read_file,
    speech_settings,
)
from llasa.errors import LlasaError
from llasa.files import atomic_path
from llasa.names import check_name
from llasa.text import clean_text

if TYPE_CHECKING:
    from llasa.speech import Speech
    from llasa.synthesis import Llasa
