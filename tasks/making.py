"""How a step becomes a task: its name, its attempts, nothing cached and nothing kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import State, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun

from vecferry.errors import RetryLater

__all__ = ["RETRY_DELAYS_S", "may_pass", "step"]

P = ParamSpec("P")
T = TypeVar("T")

RETRY_DELAYS_S = [2.0, 15.0, 60.0, 300.0]
"""Waits before the second to the fifth attempt; each is up to half as long again, so that slices spread out."""


def may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether an attempt failed with the one kind of error that another attempt may mend."""
    return isinstance(state.result(raise_on_failure=False), RetryLater)


def step(run_name: str) -> Callable[[Callable[P, T]], Task[P, T]]:
    """The decorator of all tasks; `run_name` may hold the slice's number."""
    return task(
        name=run_name.removesuffix(" {number}"),
        task_run_name=run_name,
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=RETRY_DELAYS_S,
        retry_jitter_factor=0.5,
        retry_condition_fn=may_pass,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
