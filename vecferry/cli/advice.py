"""The one place that turns errors into what happened, what to do, and an exit code."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import Stopped, VecferryError

__all__ = ["OK", "STOPPED", "USAGE", "carry_out", "error_document"]

OK, USAGE, STOPPED = 0, 2, 3


def carry_out(command: Callable[[Screen], Result], screen: Screen, *, debug: bool) -> int:
    """Run a command and print its result or its error; the exit code."""
    try:
        result = command(screen)
    except VecferryError as error:
        result = Result({}, error=error)
    except KeyboardInterrupt as error:
        _trace(screen, error, debug)
        return _failed(screen, Result({}), "Interrupted", "stopped by the keyboard", _resume(screen), STOPPED)
    except BrokenPipeError:
        raise  # whoever read the output has gone; `main` ends quietly
    except Exception as error:  # noqa: BLE001 - the command line's edge: a bug must not look like a result
        _trace(screen, error, debug)
        what = f"vecferry has a bug: {type(error).__name__}: {error}"
        return _failed(screen, Result({}), "Bug", what, "please report it, with the output of --debug", USAGE)
    found = result.error
    if found is None:
        screen.result(result, None)
        return OK
    _trace(screen, found, debug)
    return _failed(screen, result, type(found).__name__, str(found), _advice(screen, found), found.exit_code)


def error_document(kind: str, what: str, advice: str, exit_code: int, migration: str | None = None) -> dict[str, Any]:
    """What `--json` prints under `error`."""
    return {"kind": kind, "message": what, "advice": advice, "exit_code": exit_code, "migration": migration}


def _failed(screen: Screen, result: Result, kind: str, what: str, advice: str, exit_code: int) -> int:
    screen.result(result, error_document(kind, what, advice, exit_code, screen.migration))
    screen.say(f"error: {what}")
    if advice:
        screen.say(f"what to do: {advice}")
    return exit_code


def _advice(screen: Screen, error: VecferryError) -> str:
    """The error's own advice; for a run that stopped also how it goes on."""
    goes_on = isinstance(error, Stopped) and screen.migration is not None and "vecferry resume" not in error.advice
    return "; then: ".join(filter(None, (error.advice, _resume(screen) if goes_on else "")))


def _resume(screen: Screen) -> str:
    return f"vecferry resume {screen.migration}" if screen.migration else ""


def _trace(screen: Screen, error: BaseException, debug: bool) -> None:
    if debug:
        screen.say("".join(traceback.format_exception(error)).rstrip())
