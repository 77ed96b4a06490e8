"""What the terminal can show."""

import os
import sys


def shows_progress() -> bool:
    """Say whether progress bars make sense: on a terminal, and not in continuous integration."""
    return sys.stdout.isatty() and not os.environ.get("CI")
