"""Lines of the demo and of the UI's start, shown at once."""

from __future__ import annotations

import sys

from vecferry.cli.tables import write
from vecferry.strategies.sheets import Sheet

__all__ = ["complain", "say", "table"]


def say(line: str) -> None:
    """A line on stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """A line on stderr."""
    sys.stderr.write(line + "\n")


def table(sheet: Sheet) -> None:
    """A sheet on stdout, a blank line before it."""
    say("")
    write(sheet, sys.stdout)
