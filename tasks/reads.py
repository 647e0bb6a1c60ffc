"""The steps of a cutover that switches reads before writes, as tasks."""

from __future__ import annotations

from typing import Any

from prefect import Task

from tasks.making import step
from vecferry.model import JsonObject
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.transfer.late import Late

__all__ = ["TASKS"]


@step("preflight reads")
def preflight_reads(ref: Ref) -> None:
    """Stop where aliases cannot tell reads from writes."""
    steps.preflight_reads(ref)


@step("switch reads")
def commit_reads(ref: Ref, approval: int) -> None:
    """Let reads go to the new store."""
    steps.commit_reads(ref, approval)


@step("are reads new")
def require_reads_there(ref: Ref) -> None:
    """Stop where reads are on their way back."""
    steps.require_reads_there(ref)


@step("check reads")
def check_reads(ref: Ref) -> None:
    """Let the alias that is read by follow, and read it back."""
    steps.check_reads(ref)


@step("look at the watch")
def watched(ref: Ref) -> JsonObject:
    """How far reads are behind writes."""
    return steps.watched(ref)


@step("require watched")
def require_watched(ref: Ref) -> None:
    """Stop where reads are to be watched for longer yet."""
    steps.require_watched(ref)


@step("require unwritten")
def require_unwritten(ref: Ref, late: Late) -> None:
    """Stop where somebody wrote to the store that served reads alone."""
    steps.require_unwritten(ref, late)


@step("send reads back")
def return_reads(ref: Ref) -> None:
    """Let reads go to the old store again."""
    steps.return_reads(ref)


@step("end of the reads")
def end_reads_back(ref: Ref) -> None:
    """State READY: all read from the old store."""
    steps.end_reads_back(ref)


TASKS: dict[str, Task[..., Any]] = {name: item for name, item in list(globals().items()) if isinstance(item, Task)}
"""Each step's name, and its task."""
