"""``python -m llasa``."""

import sys

from llasa.cli.main import main

sys.exit(main())
