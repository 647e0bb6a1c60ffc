"""The script `vecferry`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from vecferry.cli.advice import USAGE, error_document
from vecferry.cli.commands import answering, backups, dividing, ending, looking, moving
from vecferry.cli.grouping import register
from vecferry.cli.screen import Screen

__all__ = ["app", "main"]

app = typer.Typer(
    name="vecferry",
    help="Moves collections between vector databases through a Parquet archive, and proves that they arrived.",
    epilog="Exit codes: 0 the asked-for state was reached; 1 data differ; 2 wrong usage or configuration; "
    "3 stopped, `vecferry resume ID` goes on; 4 refused by the plan; 5 unsafe route or rollback.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PANELS = [module.PANEL for module in (moving, backups, looking, answering, dividing, ending)]
register(app, list(dict.fromkeys(_PANELS)), backups.GROUPS | ending.GROUPS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=words or ["--help"], prog_name="vecferry", standalone_mode=False)
    except typer.TyperException as error:
        return _wrong_usage(error, as_json="--json" in words)
    except BrokenPipeError:
        # The reader of a pipe has gone. Python would complain once more when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(code or 0)


def _wrong_usage(error: typer.TyperException, *, as_json: bool) -> int:
    screen = Screen.standard(as_json=as_json)
    what = error.format_message()
    context = getattr(error, "ctx", None)
    advice = f"{context.command_path if context else 'vecferry'} --help"
    if as_json:
        screen.document({"error": error_document("Usage", what, advice, USAGE)})
    screen.say(f"error: {what}")
    screen.say(f"what to do: {advice}")
    return USAGE
