"""What all flows share: settings, names, one migration for one flow run, and how they end."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from httpx import HTTPError
from prefect import State, get_run_logger
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Failed

from flows import artifacts, blocks, outbox
from flows.runner import PrefectRunner
from flows.schedules import end_schedules
from vecferry import address
from vecferry.config import make_config
from vecferry.errors import BadOption, VecferryError
from vecferry.ledger import Ledger, Migration
from vecferry.operations import migrations
from vecferry.operations.report import write_report
from vecferry.strategies.runner import Ref

__all__ = [
    "SETTINGS",
    "RunLedger",
    "advised",
    "end_of",
    "name_of",
    "run_migration",
    "show_end",
    "shown",
    "start",
    "store",
]

P = ParamSpec("P")
T = TypeVar("T")

SETTINGS: dict[str, Any] = {"persist_result": False, "result_serializer": "json"}
"""Of every flow: the ledger decides what is done, so nothing is cached and only receipts are returned."""

_FACT = "flow_run"


class RunLedger(Ledger):
    """The ledger as one flow run sees it: starting a migration on Retry gives the one that it started before."""

    def create_migration(self, **content: Any) -> Migration:
        """Enter a new migration, or find the one that an earlier attempt of this flow run entered."""
        known = self._started_before()
        if known is not None:
            return known
        made = super().create_migration(**content)
        self.set_fact(made.id, _FACT, {"id": flow_run.id})
        return made

    def _started_before(self) -> Migration | None:
        if (flow_run.run_count or 1) == 1:
            return None
        mine = {"id": flow_run.id}
        newest_first = reversed(self.migrations())
        return next((one for one in newest_first if self.fact(one.id, _FACT) == mine), None)


def store(url: str | None, key_env: str | None, block: str | None = None) -> dict[str, Any] | None:
    """A store as the configuration takes it; its secrets only by the name of an environment variable or a block.

    With a block, `url` may be left out, or name another collection of the block's store. Raises BadOption, NotFound.
    """
    if block is not None and key_env is not None:
        raise BadOption(f"both the block {block!r} and the variable {key_env} say where the key is", advice="give one")
    if block is not None:
        return blocks.store_in(block, url)
    if url is None:
        return None
    return {"url": url, "api_key": {"env": key_env} if key_env else None}


def shown(url: str | None) -> str:
    """A store's URL for the name of a run: short, and without anything secret."""
    if url is None:
        return "?"
    try:
        place = address.parse(url)
    except VecferryError:
        return "?"
    return f"{place.scheme}:{place.host}/{Path(place.raw_path).name}"


def name_of(verb: str) -> Callable[[], str]:
    """The name of a flow run: what it does with which stores, or with which migration."""

    def name() -> str:
        given = flow_run.parameters
        if given.get("migration_id"):
            return f"{verb} {given['migration_id']}"
        sides = [(given.get(side), given.get(f"{side}_block")) for side in ("source", "target")]
        places = [shown(url) if url else block for url, block in sides if url or block]
        return f"{verb} {' -> '.join(places)}"

    return name


_STORES = ("source", "target")
_OF_THE_FORM = (*_STORES, "source_key_env", "target_key_env", "source_block", "target_block", "migration_id")


def start(ledger: Ledger, form: Mapping[str, Any], strategy: str) -> Ref:
    """A migration of what a flow's form says; what is left empty there has its default. Raises ConfigError."""
    stores = {side: store(form[side], form[f"{side}_key_env"], form[f"{side}_block"]) for side in _STORES}
    given = stores | {name: value for name, value in form.items() if name not in _OF_THE_FORM}
    config = make_config({name: value for name, value in given.items() if value is not None}, where="the parameters")
    return migrations.start(ledger, config, strategy)


def run_migration(ref: Ref, runner: PrefectRunner | None = None) -> dict[str, Any]:
    """Run a migration from wherever it stopped, with all that the UI shows; its state and where its route leads."""
    ledger = Ledger.open(ref.ledger)
    try:
        with artifacts.progress_shown():
            migrations.run(runner or PrefectRunner(ref.ledger), ref)
    except VecferryError:
        show_end(ledger, ref)
        raise
    show_end(ledger, ref)
    return end_of(ledger, ref)


def show_end(ledger: Ledger, ref: Ref) -> None:
    """Tell of the steps taken, end the schedules of what is over, write the report and show it as the run's summary."""
    outbox.try_to_send(ledger)
    end_schedules(ledger, ref.migration)
    try:
        report = write_report(ledger, ref.migration)
        artifacts.show_summary(f"{report.read_text()}\nThis report: `{report}`, and as JSON beside it.\n")
    except (OSError, HTTPError, PrefectException) as error:
        # What was switched stays switched, whether or not a page about it can be written.
        get_run_logger().warning("the report was not written or not shown: %s", error)


def end_of(ledger: Ledger, ref: Ref) -> dict[str, Any]:
    """What a flow returns."""
    migration = ledger.migration(ref.migration)
    route = ledger.route(migration.route)
    return {
        "migration": migration.id,
        "state": migration.state.value,
        "route": migration.route,
        "serves": None if route is None else route.url,
    }


def advised(body: Callable[P, T]) -> Callable[P, T | State[Any]]:
    """End the flow run Failed with what happened and what to do, in one message and without a traceback."""

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> T | State[Any]:
        try:
            return body(*args, **kwargs)
        except VecferryError as error:
            message = f"{error}. {error.advice}" if error.advice else str(error)
            get_run_logger().error(message)
            return Failed(message=message, data=error)

    # Prefect reads the parameters' types here, where it cannot see the names of the body's module.
    run.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]
    return run
