"""What runs a strategy: threads for the command line, tasks for Prefect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from vecferry.strategies.sheets import Sheet
from vecferry.transfer import halt

__all__ = ["ApprovalForm", "LocalRunner", "Ref", "Runner"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ref:
    """All that a step needs to find its migration, in any process: the ledger, the id, the lease's token."""

    ledger: str
    migration: str
    token: int = 0


@dataclass(frozen=True, slots=True)
class ApprovalForm:
    """What a person reads before the switch: what will be written where, what pauses, which way back."""

    migration: str
    number: int
    title: str
    lines: tuple[str, ...]


class Runner(Protocol):
    """Runs steps. A step is a plain function of `strategies.steps` whose first argument is a `Ref`."""

    def run(self, step: Callable[Concatenate[Ref, P], T], ref: Ref, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one step."""
        ...

    def map(self, step: Callable[[Ref, int], T], ref: Ref, numbers: Sequence[int], workers: int) -> list[T]:
        """Run a step for each slice number, `workers` at a time; the first error ends it once running ones are done."""
        ...

    def approve(self, form: ApprovalForm, timeout_s: float) -> bool:
        """Ask a person; False when the answer is no. Raises Stopped when there is nobody to ask or time is over."""
        ...

    def show(self, sheet: Sheet) -> None:
        """Show a table: inventory, plan, verdict."""
        ...


class LocalRunner:
    """Runs steps in this process, slices in threads."""

    def __init__(self, ask: Callable[[ApprovalForm, float], bool], show: Callable[[Sheet], None]) -> None:
        self._ask, self._show = ask, show

    def run(self, step: Callable[Concatenate[Ref, P], T], ref: Ref, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the step."""
        return step(ref, *args, **kwargs)

    def map(self, step: Callable[[Ref, int], T], ref: Ref, numbers: Sequence[int], workers: int) -> list[T]:
        """Call the step for each number in a pool of threads; when one fails the others stop at their next batch."""
        with ThreadPoolExecutor(workers, thread_name_prefix=getattr(step, "__name__", "slice")) as pool:
            futures = [pool.submit(step, ref, number) for number in numbers]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in filter(done.__contains__, futures):
                    future.result()
                return [future.result() for future in futures]
            except BaseException:
                halt.halt(ref.ledger, ref.token)
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def approve(self, form: ApprovalForm, timeout_s: float) -> bool:
        """Ask through the function given at the start."""
        return self._ask(form, timeout_s)

    def show(self, sheet: Sheet) -> None:
        """Show through the function given at the start."""
        self._show(sheet)
