"""How the scripts of this folder end: in one sentence where something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from llasa.base.errors import LlasaError


def run(main: Callable[[], None]) -> None:
    """Call `main`; what is wrong with the input or a file ends the script with that sentence."""
    try:
        main()
    except (LlasaError, OSError, UnicodeDecodeError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        raise SystemExit(2) from error
