"""The pause of a snapshot-restore: what its form foretells, and what it took, step by step.

    python -m bench.snapshot_pause [ROWS] [SOURCE] [TARGET] [--dimension N]

SOURCE and TARGET are chroma+path (default source), milvus+path, qdrant+edge, numpy, or qdrant (default target: the
tests' loopback server, in a process of its own).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.processes import qdrant_process
from tests.support.ports import free_port
from vecferry import address, batch, canonical
from vecferry.config import make_config
from vecferry.ledger import Ledger
from vecferry.model import CollectionSchema, DType, IdKind, Metric, VectorField, VectorKind
from vecferry.operations import migrations
from vecferry.stores import registry
from vecferry.strategies.runner import ApprovalForm, LocalRunner

_BATCH = 5_000
_SHOWN_S = 0.05


def main() -> None:
    """Make the old store, move it, print the form's words and the seconds of each step under the pause."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="vecferry-bench-") as name, _servers(Path(name)) as place:
        os.environ["VECFERRY_HOME"] = str(Path(name) / "home")
        old, new = place(options.source, "old"), place(options.target, "new")
        _fill(old, options)
        asked = {"source": old, "target": new, "consent": ["vector_lengths", "ids"], "pause_limit_s": 3600}
        ref = migrations.start(Ledger.open(Path(name) / "ledger.db"), make_config(asked), "snapshot-restore")
        took_s = dict[str, float]()

        def answer(form: ApprovalForm, timeout_s: float | None) -> bool:
            print(*(line for line in form.lines if "pause" in line and " s" in line), sep="\n")
            took_s.clear()
            return True

        run = LocalRunner(answer, lambda sheet: sheet.key == "cutover" and print(*sheet.rows, sep="\n"))
        run.run = _timed(run.run, took_s)  # type: ignore[method-assign]
        run.map = _timed(run.map, took_s)  # type: ignore[method-assign]
        migrations.run(run, ref)
    for step, seconds in took_s.items():
        if seconds >= _SHOWN_S:
            print(f"  {step:20} {seconds:7.2f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="?", type=int, default=20_000)
    parser.add_argument("source", nargs="?", default="chroma+path")
    parser.add_argument("target", nargs="?", default="qdrant")
    parser.add_argument("--dimension", type=int, default=128)
    return parser.parse_args()


@contextmanager
def _servers(folder: Path) -> Iterator[Callable[[str, str], str]]:
    grpc_port, rest_port = free_port(), free_port()

    def place(kind: str, name: str) -> str:
        if kind == "qdrant":
            return f"qdrant://127.0.0.1:{grpc_port}/{name}?rest_port={rest_port}"
        inside = {"numpy": "", "milvus+path": ".db/docs"}.get(kind, "/docs")
        return f"{kind}://{folder / name}{inside}"

    with qdrant_process(folder / "qdrant", grpc_port, rest_port):
        yield place


def _fill(url: str, options: argparse.Namespace) -> None:
    kind = IdKind.UINT64 if options.source.startswith("qdrant") else IdKind.STRING
    field = VectorField("", VectorKind.DENSE, DType.FLOAT32, options.dimension, Metric.COSINE)
    vectors = np.random.default_rng(1)
    with registry.open_target(address.parse(url)) as store:
        store.create(CollectionSchema("docs", (field,), frozenset({kind}), False), {})
        with store.bulk_load():
            for first in range(0, options.rows, _BATCH):
                store.write(_records(range(first, min(first + _BATCH, options.rows)), kind, options.dimension, vectors))


def _records(numbers: range, kind: IdKind, dimension: int, vectors: np.random.Generator) -> pa.RecordBatch:
    text = "A chunk of a document has some words in it, as chunks do. " * 4
    return batch.make(
        [str(number) if kind is IdKind.UINT64 else f"r{number}" for number in numbers],
        kind,
        vectors={"": batch.dense_array(vectors.normal(size=(len(numbers), dimension)).astype(np.float32))},
        documents=[None] * len(numbers),
        payloads=[canonical.encode({"n": number, "kind": f"k{number % 7}", "text": text}) for number in numbers],
    )


def _timed(run: Callable[..., Any], took_s: dict[str, float]) -> Callable[..., Any]:
    def timed(step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        start_s = time.perf_counter()
        try:
            return run(step, *args, **kwargs)
        finally:
            took_s[step.__name__] = took_s.get(step.__name__, 0.0) + time.perf_counter() - start_s

    return timed


if __name__ == "__main__":
    main()
