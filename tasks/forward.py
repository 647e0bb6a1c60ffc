"""The steps of going forward again after a rollback, as tasks."""

from __future__ import annotations

from typing import Any

from prefect import Task

from tasks.making import step
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.transfer.late import Late

__all__ = ["TASKS"]


@step("require rolled back")
def require_returned(ref: Ref) -> None:
    """Stop where the rollback is not over, or something is gone."""
    steps.require_returned(ref)


@step("go forward again")
def take_forward_again(ref: Ref, late: Late) -> None:
    """State CATCHING_UP, without another copy."""
    steps.take_forward_again(ref, late)


@step("require known records alone")
def require_known_alone(ref: Ref, late: Late) -> None:
    """Stop where somebody wrote to the new store since the rollback."""
    steps.require_known_alone(ref, late)


TASKS: dict[str, Task[..., Any]] = {name: item for name, item in list(globals().items()) if isinstance(item, Task)}
"""Each step's name, and its task."""
