"""Memory of a big copy, and rows per second beside the driver's own loop, in one run.

    python -m bench.copy_speed [--rows 500000] [--compare-rows 20000] [--dimension 384]

Trust the ratios of one run, not its absolute figures. The loopback Qdrant server is bound by its own
converters, so its line shows what our side costs (CPU), not what a real server would reach.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import chromadb
import numpy as np
import pyarrow as pa
from chromadb.config import Settings
from qdrant_client import QdrantClient
from qdrant_client import models as qdrant

from bench.processes import Run, qdrant_process, vecferry
from tests.support.ports import free_port
from tests.support.raw_collections import Place, RawData, generate, make_source
from vecferry import address, batch, canonical
from vecferry.contract import Source
from vecferry.model import CollectionSchema, DType, IdKind, Metric, VectorField, VectorKind
from vecferry.stores import registry

BLOCK_ROWS = 10_000


def main() -> int:
    """Both halves; exit code 1 when memory went beyond 1 GB or a run failed."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="vecferry-bench-") as name:
        folder = Path(name)
        grpc_port, rest_port = free_port(), free_port()
        with qdrant_process(folder / "qdrant", grpc_port, rest_port):
            place = Place(folder, grpc_port, rest_port)
            _compare(place, options.compare_rows, options.dimension)
            return 0 if _memory(place, options.rows, options.dimension) else 1


def _memory(place: Place, rows: int, dimension: int) -> bool:
    source = big_numpy(place.folder, rows, dimension)
    target = f"qdrant://127.0.0.1:{place.qdrant_port}/big?rest_port={place.qdrant_rest_port}"
    print(f"\nmemory: {rows:,} x {dimension} float32 ({rows * dimension * 4 / 1e6:,.0f} MB of vectors)")
    print(f"{'command':34} exit   seconds   rows/s   CPU s  peak MB")
    exported = vecferry(["export", source, str(place.folder / "archive"), "--json"], place.folder / "home")
    _show_run("export numpy -> archive", exported, rows)
    arguments = ["load", str(place.folder / "archive"), target, "--metric", "cosine", "--json"]
    loaded = vecferry(arguments, place.folder / "home")
    _show_run("load archive -> qdrant, validated", loaded, rows)
    runs = (exported, loaded)
    return all(run.exit_code == 0 and run.peak_bytes < 1e9 for run in runs)


def _show_run(name: str, run: Run, rows: int) -> None:
    speed = rows / run.wall_s
    print(
        f"{name:34} {run.exit_code:4} {run.wall_s:9.1f} {speed:8,.0f} {run.cpu_s:7.1f} {run.peak_bytes / 1e6:8,.0f}",
        flush=True,
    )
    if run.exit_code:
        print(f"    {run.output[-500:]}")


def big_numpy(folder: Path, rows: int, dimension: int) -> str:
    """A 2-D file and its JSONL, written in blocks."""
    numbers = np.random.default_rng(0)
    array = np.lib.format.open_memmap(folder / "big.npy", mode="w+", dtype=np.float32, shape=(rows, dimension))
    with (folder / "big.jsonl").open("w") as lines:
        for start in range(0, rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, rows)
            array[start:stop] = numbers.normal(size=(stop - start, dimension))
            lines.writelines(
                json.dumps({"id": f"doc-{row}", "year": row % 40, "price": row / 7, "text": f"paragraph {row}"}) + "\n"
                for row in range(start, stop)
            )
    array.flush()
    del array
    return f"numpy://{folder}/big.npy"


def _compare(place: Place, rows: int, dimension: int) -> None:
    data = generate(rows, dimension)
    print(f"rows/s of {rows:,} x {dimension}, payload of 6 keys and a text")
    print(f"{'':34} {'vecferry':>10} {'driver':>10}  ratio")
    chroma = make_source("chroma+path", place, "compare", data)
    _line("read a Chroma folder", rows, lambda: _read_all(chroma), lambda: _chroma_loop(chroma, rows))
    served = make_source("qdrant", place, "compare", data)
    _line("read a Qdrant server (loopback)", rows, lambda: _read_all(served), lambda: _qdrant_read_loop(place))
    rows_of = _as_batches(data)
    _line(
        "write a Qdrant server (loopback)",
        rows,
        lambda: _write_all(f"{served.replace('compare', 'ours')}", rows_of, dimension),
        lambda: _qdrant_write_loop(place, data),
    )


def _line(name: str, rows: int, ours: Callable[[], object], driver: Callable[[], object]) -> None:
    """The better of two interleaved runs each."""
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(2):
        for number, function in enumerate((ours, driver)):
            start_s = time.perf_counter()
            function()
            times[number].append(time.perf_counter() - start_s)
    mine, theirs = rows / min(times[0]), rows / min(times[1])
    print(f"{name:34} {mine:10,.0f} {theirs:10,.0f}  {mine / theirs:5.1f}", flush=True)


def _read_all(url: str) -> int:
    with registry.open_source(address.parse(url)) as source:
        return sum(found.num_rows for found in _batches(source))


def _batches(source: Source) -> list[pa.RecordBatch]:
    return [found for part in source.slices(1) for found in source.read(part)]


def _chroma_loop(url: str, rows: int) -> None:
    where = address.parse(url)
    client = chromadb.PersistentClient(str(where.folder()), settings=Settings(anonymized_telemetry=False))
    collection = client.get_collection(where.collection(), embedding_function=None)
    for offset in range(0, rows, 1000):
        collection.get(limit=1000, offset=offset, include=["embeddings", "documents", "metadatas"])
    client.close()


def _client(place: Place) -> QdrantClient:
    return QdrantClient(
        port=place.qdrant_rest_port, grpc_port=place.qdrant_port, prefer_grpc=True, check_compatibility=False
    )


def _qdrant_read_loop(place: Place) -> None:
    client, offset = _client(place), None
    while True:
        found, offset = client.scroll("compare", limit=1000, offset=offset, with_vectors=True, with_payload=True)
        np.array([point.vector for point in found], dtype=np.float32)
        if offset is None:
            return


def _qdrant_write_loop(place: Place, data: RawData) -> None:
    client = _client(place)
    client.delete_collection("theirs")
    params = qdrant.VectorParams(size=data.vectors.shape[1], distance=qdrant.Distance.COSINE)
    client.create_collection("theirs", vectors_config=params)
    for start in range(0, len(data), 500):
        numbers = range(start, min(start + 500, len(data)))
        points = [
            qdrant.PointStruct(id=number, vector=data.vectors[number].tolist(), payload=data.with_text(number))
            for number in numbers
        ]
        client.upsert("theirs", points, wait=True)


def _as_batches(data: RawData) -> list[pa.RecordBatch]:
    return [
        batch.make(
            [str(number) for number in range(start, stop)],
            IdKind.UINT64,
            vectors={"": batch.dense_array(data.vectors[start:stop])},
            documents=[None] * (stop - start),
            payloads=canonical.encode_many(data.with_text(number) for number in range(start, stop)),
        )
        for start, stop in ((start, min(start + 1000, len(data))) for start in range(0, len(data), 1000))
    ]


def _write_all(url: str, batches: list[pa.RecordBatch], dimension: int) -> None:
    field = VectorField("", VectorKind.DENSE, DType.FLOAT32, dimension, Metric.COSINE)
    with registry.open_target(address.parse(url)) as target:
        target.drop()
        target.create(CollectionSchema("ours", (field,), frozenset({IdKind.UINT64})), {})
        with target.bulk_load():
            for item in batches:
                target.write(item)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--compare-rows", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=384)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
