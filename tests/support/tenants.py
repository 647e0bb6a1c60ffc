"""Applications of two stores of this process whose records have workspaces, and rolling migrations of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.migrating import Harness
from vecferry import address, batch, canonical
from vecferry.ledger import State, workspace_key
from vecferry.model import IdKind, RecordId
from vecferry.operations import workspaces
from vecferry.stores import registry
from vecferry.strategies.runner import Ref

NOW = {"absence_wait_s": 0, "driver_timeout_s": 0}
ABSENT = object()


def put(url: str, name: str, workspace: Any, number: int = 0, field: str = "workspace_id") -> None:
    """The application's own write of one record."""
    content = {"n": number} | ({} if workspace is ABSENT else {field: workspace})
    vectors = np.random.default_rng(number).normal(size=(1, 8)).astype(np.float32)
    record = batch.make(
        [name],
        IdKind.STRING,
        vectors={"": batch.dense_array(vectors)},
        documents=[None],
        payloads=[canonical.encode(content)],
    )
    with registry.open_target(address.parse(url)) as store:
        store.write(record)


def remove(url: str, *names: str) -> None:
    """The application's own delete."""
    with registry.open_target(address.parse(url)) as store:
        store.delete(batch.ids_batch([RecordId(IdKind.STRING, name) for name in names]))


def held(harness: Harness, url: str) -> dict[str, Any]:
    """The workspace of every record of a store."""
    found = harness.records(url)
    return {text: canonical.decode(row.payload).get("workspace_id", ABSENT) for (_, text), row in found.items()}


def groups(harness: Harness, ref: Ref) -> dict[str, State]:
    return {one.key: one.state for one in harness.ledger.workspaces(ref.migration)}


def child(harness: Harness, ref: Ref, key: str) -> Ref:
    return Ref(ref.ledger, harness.ledger.workspace(ref.migration, workspace_key(key)).child)


def before(harness: Harness, acts: dict[tuple[Any, int], Callable[[], None]]) -> None:
    """Do something right before the n-th call (from 1) of a step that the run is given."""
    run, counts = harness.runner.run, dict[Any, int]()

    def watched(step: Any, ref: Ref, *args: Any, **kwargs: Any) -> Any:
        counts[step] = counts.get(step, 0) + 1
        acts.pop((step, counts[step]), lambda: None)()
        return run(step, ref, *args, **kwargs)

    harness.runner.run = watched  # type: ignore[method-assign]


def freeze(harness: Harness, ref: Ref) -> None:
    workspaces.freeze(harness.ledger, ref.migration)


def start(harness: Harness, old: str, new: str, sync: dict[str, Any] | None = None, **options: Any) -> Ref:
    """A rolling migration of which the options of `rolling` are given by name."""
    known = {"approve", "archive", "max_final_delta", "hooks", "reverse"}
    rest = {name: options.pop(name) for name in list(options) if name in known}
    return harness.start(old, new, "rolling", rolling=options, sync=NOW | (sync or {}), route="docs", **rest)
