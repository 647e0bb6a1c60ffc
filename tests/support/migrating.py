"""Whole migrations for tests: fill a collection, migrate it, look at what came of it, kill it on the way."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa

from vecferry import address, batch, failpoints
from vecferry.archive import Archive
from vecferry.config import MigrationConfig, make_config
from vecferry.errors import VecferryError
from vecferry.ledger import Ledger, Migration, Route
from vecferry.model import CollectionSchema, DType, IdKind, Metric, RecordId, VectorField, VectorKind, Verdict
from vecferry.operations import ending, migrations, routes
from vecferry.operations.routes import Figures
from vecferry.operations.sync import sync
from vecferry.stores import registry
from vecferry.strategies.runner import ApprovalForm, LocalRunner, Ref
from vecferry.strategies.sheets import Sheet
from vecferry.strategies.sync import Synced
from vecferry.testing.rows import Row, rows_of
from vecferry.transfer import passes
from vecferry.transfer.originals import in_original_terms

P = ParamSpec("P")
T = TypeVar("T")


def mixed_batch(rows: int, dimension: int = 8, *, first: int = 0, documents: bool = True) -> pa.RecordBatch:
    """Records with string ids, payloads of every common type, floats that engines round, documents that are absent."""
    numbers = np.random.default_rng(first)
    vectors = numbers.normal(size=(rows, dimension)).astype(np.float32)
    return batch.make(
        [f"doc-{number}" for number in range(first, first + rows)],
        IdKind.STRING,
        vectors={"": batch.dense_array(vectors)},
        documents=[_document(number) if documents else None for number in range(first, first + rows)],
        payloads=[_payload(number) for number in range(first, first + rows)],
    )


def _document(number: int) -> str | None:
    return None if number % 7 == 0 else f"Text of number {number}, ünïcödé"


def _payload(number: int) -> bytes:
    return b'{"price":%s,"source":"s%d","tags":["a","b"],"valid":%s,"year":%d}' % (
        repr(number / 7 + 0.5).encode(),
        number % 5,
        b"true" if number % 2 else b"false",
        2000 + number % 30,
    )


def schema(dimension: int = 8, metric: Metric = Metric.COSINE, *, documents: bool = True) -> CollectionSchema:
    """The schema of `mixed_batch`."""
    field_ = VectorField("", VectorKind.DENSE, DType.FLOAT32, dimension, metric)
    return CollectionSchema("docs", (field_,), frozenset({IdKind.STRING}), documents)


def fill(url: str, batches: Iterable[pa.RecordBatch], of: CollectionSchema | None = None) -> None:
    """Make a collection as if vecferry had never seen it: without a mark."""
    with registry.open_target(address.parse(url)) as target:
        target.create(of or schema(), {})
        with target.bulk_load():
            for item in batches:
                target.write(item)


def write(url: str, *batches: pa.RecordBatch, delete: Iterable[str] = ()) -> None:
    """Write to a store as its application does, behind a migration's back."""
    with registry.open_target(address.parse(url)) as store:
        for item in batches:
            store.write(item)
        store.delete(batch.ids_batch([RecordId(IdKind.STRING, text) for text in delete]))


def contents(url: str) -> dict[str, Row]:
    """Every record of a collection, raw as stored, by the text of its id."""
    with registry.open_source(address.parse(url)) as source:
        found = [item for part in source.slices(1) for item in source.read(part)]
    return {record_id.text: row for record_id, row in rows_of(found).items()}


@dataclass
class Harness:
    """One ledger and home folder, and the verbs of the command line on them."""

    folder: Path
    answer: bool = True
    sheets: list[Sheet] = field(default_factory=list)
    forms: list[ApprovalForm] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger.open(self.folder / "ledger.db")
        self.runner = LocalRunner(self._ask, self.sheets.append)

    def _ask(self, form: ApprovalForm, timeout_s: float) -> bool:
        self.forms.append(form)
        return self.answer

    def config(self, source: Any, target: Any, **options: Any) -> MigrationConfig:
        """A configuration with defaults for tests."""
        return make_config({"source": source, "target": target, "approve": "auto", "retry_budget_s": 0, **options})

    def records(self, url: str) -> dict[tuple[IdKind, str], Row]:
        """Records by typed id, in original terms."""
        with in_original_terms(registry.open_source(address.parse(url))) as source:
            found = [item for part in source.slices(1) for item in source.read(part)]
        return {(record_id.kind, record_id.text): row for record_id, row in rows_of(found).items()}

    def start(self, source: Any, target: Any, strategy: str = "blue-green", **options: Any) -> Ref:
        """Register a migration; the archive and the approval have defaults for tests."""
        return migrations.start(self.ledger, self.config(source, target, **options), strategy)

    def run(self, ref: Ref) -> Verdict | None:
        """Run or resume it."""
        return migrations.run(self.runner, ref)

    def migrate(self, source: Any, target: Any, strategy: str = "blue-green", **options: Any) -> Ref:
        """Start and run."""
        ref = self.start(source, target, strategy, **options)
        self.run(ref)
        return ref

    def rollback(self, ref: Ref, **said: Any) -> Mapping[str, Any]:
        """Roll back; its figures."""
        return routes.rollback(self.runner, ref, routes.settlement(**said))

    def merge(self, ref: Ref, **said: Any) -> Mapping[str, Any]:
        """What a rollback of the route alone left; its figures."""
        return routes.merge(self.runner, ref, routes.settlement(**said))

    def foresee(self, ref: Ref, **said: Any) -> Figures:
        """What a rollback would do."""
        return routes.foresee(self.runner, ref, routes.settlement(**said))

    def sync(self, ref: Ref, **allowed: int) -> Synced:
        """One catch-up pass."""
        return sync(self.runner, ref, **allowed)

    def migration(self, ref: Ref) -> Migration:
        """What the ledger says."""
        return self.ledger.migration(ref.migration)

    def route(self, ref: Ref) -> Route:
        """The route of a migration."""
        return routes.route(self.ledger, self.migration(ref).route)

    def released(self, ref: Ref) -> bool:
        """Whether nobody waits."""
        serving = self.ledger.ask_route(self.migration(ref).route)
        return serving is not None and serving.writes == "open"

    def run_until_killed(self, ref: Ref, points: str) -> int:
        """Run in a process of its own that dies at a failpoint (`name=kill@2`); its exit code."""
        return self._in_process(_run_armed, ref, points)

    def roll_back_until_killed(self, ref: Ref, points: str) -> int:
        """The same for a rollback."""
        return self._in_process(_roll_back_armed, ref, points)

    def lead_back_until_killed(self, ref: Ref, points: str) -> int:
        """The same for a rollback of the route alone."""
        return self._in_process(_lead_back_armed, ref, points)

    def merge_until_killed(self, ref: Ref, points: str) -> int:
        """The same for the merge that follows it."""
        return self._in_process(_merge_armed, ref, points)

    def complete_until_killed(self, ref: Ref, points: str) -> int:
        """The same for the end of a migration."""
        return self._in_process(_complete_armed, ref, points)

    def sync_until_killed(self, ref: Ref, points: str) -> int:
        """The same for a catch-up pass."""
        return self._in_process(_sync_armed, ref, points)

    def run_with_small_files(self, ref: Ref, largest_bytes: int) -> int:
        """Run in a process whose files may not grow beyond this, as on a full disk; its exit code."""
        return self._in_process(_run_with_small_files, ref, str(largest_bytes))

    def roll_back_with_small_files(self, ref: Ref, largest_bytes: int) -> int:
        """The same for what a rollback lays aside of both stores."""
        return self._in_process(_roll_back_with_small_files, ref, str(largest_bytes))

    def _in_process(self, function: Callable[[str, str, Ref, str], None], ref: Ref, points: str) -> int:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.support.migrating", "qdrant_edge"])
        arguments = (str(self.folder), os.environ["VECFERRY_HOME"], ref, points)
        process = context.Process(target=function, args=arguments)
        process.start()
        process.join(60)
        assert process.exitcode is not None, "the run hangs"
        return process.exitcode


def _run_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    failpoints.arm(points)
    Harness(Path(folder)).run(ref)


def _run_with_small_files(folder: str, home: str, ref: Ref, largest_bytes: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    Archive.write_part = _on_a_full_disk(Archive.write_part, int(largest_bytes))  # type: ignore[method-assign]
    _exit_as(lambda: Harness(Path(folder)).run(ref))


def _roll_back_with_small_files(folder: str, home: str, ref: Ref, largest_bytes: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    passes.spool_slice = _on_a_full_disk(passes.spool_slice, int(largest_bytes))
    _exit_as(lambda: Harness(Path(folder)).rollback(ref))


def _on_a_full_disk(function: Callable[P, T], largest_bytes: int) -> Callable[P, T]:
    """The same function; while it runs no file of this process grows beyond this."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, limit[1]))
        try:
            return function(*args, **kwargs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    return limited


def _exit_as(run: Callable[[], object]) -> None:
    try:
        run()
    except VecferryError as error:
        sys.exit(error.exit_code)


def _complete_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    failpoints.arm(points)
    ending.complete(Harness(Path(folder)).runner, ref)


def _sync_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    failpoints.arm(points)
    Harness(Path(folder)).sync(ref)


def _lead_back_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    failpoints.arm(points)
    routes.route_only(Harness(Path(folder)).runner, ref)


def _merge_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    failpoints.arm(points)
    Harness(Path(folder)).merge(ref)


def _roll_back_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    failpoints.arm(points)
    Harness(Path(folder)).rollback(ref)
