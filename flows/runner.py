"""The runner behind every flow: steps become task runs, sheets become artifacts, questions become forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar, cast

from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import approval, artifacts
from tasks.steps import task_of
from vecferry.strategies.runner import ApprovalForm, Ref
from vecferry.strategies.sheets import Sheet
from vecferry.transfer import halt

__all__ = ["PrefectRunner"]

P = ParamSpec("P")
T = TypeVar("T")


class PrefectRunner:
    """Runs a strategy inside a flow run. `ledger` is the URL of the ledger in which approvals are kept."""

    def __init__(self, ledger: str) -> None:
        self._ledger = ledger

    def run(self, step: Callable[Concatenate[Ref, P], T], ref: Ref, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the step's task in the flow's own thread."""
        return cast(T, task_of(step)(ref, *args, **kwargs))

    def map(self, step: Callable[[Ref, int], T], ref: Ref, numbers: Sequence[int], workers: int) -> list[T]:
        """Run the step's task for each number, `workers` at a time; one task run a slice.

        After the first error no other slice starts, and those under way stop at their next batch.
        """
        with ThreadPoolTaskRunner[T](max_workers=workers) as pool:
            futures: list[PrefectFuture[T]] = []
            running: set[PrefectFuture[T]] = set()
            try:
                for number in numbers:
                    if len(running) == workers:
                        running.remove(_first_done(running))
                    futures.append(pool.submit(task_of(step), {"ref": ref, "number": number}))
                    running.add(futures[-1])
                while running:
                    running.remove(_first_done(running))
                return [future.result() for future in futures]
            except BaseException:
                # Leaving the pool waits for the tasks under way.
                halt.halt(ref.ledger, ref.token)
                raise

    def approve(self, form: ApprovalForm, timeout_s: float) -> bool:
        """Pause the flow run until a person answers, in the UI or with `vecferry approve`."""
        return approval.ask(self._ledger, form, timeout_s)

    def show(self, sheet: Sheet) -> None:
        """Show a table among the run's artifacts."""
        artifacts.show_table(sheet)


def _first_done(running: set[PrefectFuture[T]]) -> PrefectFuture[T]:
    """The next of these to end; raises its error."""
    done = next(as_completed(list(running)))
    done.result()
    return done
