"""What a workspace costs: many small ones moved one by one by a rolling migration, as the command line runs it.

    python -m bench.workspaces [WORKSPACES] [SOURCE] [TARGET] [--profile FILE]

SOURCE is chroma+path (default), milvus+path or memory, TARGET qdrant (default: the tests' loopback server, in a process
of its own), qdrant+edge, milvus+path or memory. Three records each. Prints seconds by phase, and this process's peak.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from bench.processes import qdrant_process
from tests.support.ports import free_port
from vecferry import address, batch, canonical
from vecferry.config import make_config
from vecferry.ledger import Ledger, State
from vecferry.model import CollectionSchema, DType, IdKind, Metric, VectorField, VectorKind
from vecferry.operations import migrations
from vecferry.stores import registry
from vecferry.strategies.runner import LocalRunner, Ref

ROWS = 3
"""Records of one workspace."""


def main() -> None:
    """Make the old store, move it, print what it took."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="vecferry-bench-") as name, _stores(Path(name), options) as (old, new):
        os.environ["VECFERRY_HOME"] = str(Path(name) / "home")
        _fill(old, options.workspaces)
        ledger = Ledger.open(Path(name) / "ledger.db")
        asked = {"source": old, "target": new, "approve": "auto", "rolling": {"wave": 10, "approve_by": "once"}}
        ref = migrations.start(ledger, make_config(asked), "rolling")
        took_s, run = dict[str, float](), LocalRunner(lambda form, timeout_s: True, lambda sheet: None)
        run.run = _timed(run.run, took_s)  # type: ignore[method-assign]
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        with cProfile.Profile() if options.profile else nullcontext() as profile:
            migrations.run(run, ref)
        whole_s = time.perf_counter() - start_s
        if profile is not None:
            profile.dump_stats(options.profile)
        _tell(ledger, ref, took_s, whole_s, time.process_time() - start_cpu_s)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("workspaces", nargs="?", type=int, default=60)
    parser.add_argument("source", nargs="?", default="chroma+path")
    parser.add_argument("target", nargs="?", default="qdrant")
    parser.add_argument("--profile", help="file for cProfile's figures; the run is slower then")
    return parser.parse_args()


@contextmanager
def _stores(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    old = f"{options.source}://{'' if options.source == 'memory' else folder / 'old'}/docs"
    if options.target != "qdrant":
        yield old, f"{options.target}://{'' if options.target == 'memory' else folder / 'new'}/copies"
        return
    grpc_port, rest_port = free_port(), free_port()
    with qdrant_process(folder / "qdrant", grpc_port, rest_port):
        yield old, f"qdrant://127.0.0.1:{grpc_port}/docs?rest_port={rest_port}"


def _fill(url: str, workspaces: int) -> None:
    rows = workspaces * ROWS
    field = VectorField("", VectorKind.DENSE, DType.FLOAT32, 8, Metric.COSINE)
    records = batch.make(
        [f"r{number}" for number in range(rows)],
        IdKind.STRING,
        vectors={"": batch.dense_array(np.random.default_rng(1).normal(size=(rows, 8)).astype(np.float32))},
        documents=[None] * rows,
        payloads=[canonical.encode({"workspace_id": f"w{number % workspaces}", "n": number}) for number in range(rows)],
    )
    with registry.open_target(address.parse(url)) as store:
        store.create(CollectionSchema("docs", (field,), frozenset({IdKind.STRING}), False), {})
        store.write(records)


def _timed(run: Callable[..., Any], took_s: dict[str, float]) -> Callable[..., Any]:
    def timed(step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        start_s = time.perf_counter()
        try:
            return run(step, *args, **kwargs)
        finally:
            took_s[step.__name__] = took_s.get(step.__name__, 0.0) + time.perf_counter() - start_s

    return timed


def _tell(ledger: Ledger, ref: Ref, took_s: dict[str, float], whole_s: float, cpu_s: float) -> None:
    found = ledger.workspaces(ref.migration)
    moved = sum(one.state is State.SWITCHED for one in found)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{moved} of {len(found)} workspaces switched in {whole_s:.1f} s: {whole_s / len(found):.2f} s each")
    for name, seconds in took_s.items():
        print(f"  {name:20} {seconds:7.1f} s  {seconds / len(found):.3f} s a workspace")
    print(f"  CPU of this process {cpu_s:.1f} s, {cpu_s / len(found):.3f} s a workspace")
    print(f"  peak of this process {peak_mb:,.0f} MB")


if __name__ == "__main__":
    main()
