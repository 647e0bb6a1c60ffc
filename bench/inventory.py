"""Time and memory of an inventory beside a plain scan of the same collection, and estimates beside what engines take.

    python -m bench.inventory [--rows 500000] [--dimension 384] [--engine-rows 36000] [--engine-dimension 128]

Trust the ratios of one run, not its absolute figures. The plain scan opens the same source, reads every slice with
vectors, and throws it away: what any look at all records costs at least.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import numpy.typing as npt
import qdrant_edge as engine
from chromadb.config import Settings

from bench.copy_speed import big_numpy
from bench.processes import Run, measured, vecferry

SCAN = """
import sys
from vecferry import address
from vecferry.stores import registry
with registry.open_source(address.parse(sys.argv[1])) as source:
    for part in source.slices(5):
        for batch in source.read(part, batch_rows=5000):
            pass
"""

OPEN = """
import sys, numpy as np
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssFile", "RssShmem")))
if sys.argv[1] == "chroma":
    import chromadb
    from chromadb.config import Settings
    client = chromadb.PersistentClient(sys.argv[2], settings=Settings(anonymized_telemetry=False))
    client.heartbeat()
    before = resident()
    collection = client.get_collection("docs", embedding_function=None)
    for row in np.random.default_rng(0).normal(size=(int(sys.argv[3]), int(sys.argv[4]))):
        collection.query(query_embeddings=[row.tolist()], n_results=10, include=[])
else:
    import qdrant_edge as engine
    before = resident()
    shard = engine.EdgeShard.load(sys.argv[2] + "/docs")
    for row in np.random.default_rng(0).normal(size=(int(sys.argv[3]), int(sys.argv[4]))):
        shard.query(engine.QueryRequest(query=engine.Query.Nearest(row.tolist()), limit=10))
print(resident() - before)
"""
QUERIES = 2000
"""So many that every page of an index was touched."""


def main() -> int:
    """Both halves; exit code 1 when memory went beyond 1 GB or a run failed."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="vecferry-bench-", dir=options.folder) as name:
        folder = Path(name)
        _engines(folder, options.engine_rows, options.engine_dimension)
        return 0 if _inventory(folder, options.rows, options.dimension) else 1


def _inventory(folder: Path, rows: int, dimension: int) -> bool:
    source = big_numpy(folder, rows, dimension)
    home = folder / "home"
    print(f"\n{rows:,} x {dimension} float32 in a .npy file, with a JSONL of 4 keys beside it")
    print(f"{'':26} exit   seconds   rows/s   CPU s  peak MB")
    scan = measured([sys.executable, "-c", SCAN, source], home)
    _show("plain scan", scan, rows)
    whole = vecferry(["inventory", source, "--json"], home)
    _show("inventory", whole, rows)
    print(
        f"{'inventory / plain scan':26}      {whole.wall_s / scan.wall_s:9.2f} {'':8} {whole.cpu_s / scan.cpu_s:7.2f}"
    )
    return all(run.exit_code == 0 and run.peak_bytes < 1e9 for run in (scan, whole))


def _show(name: str, run: Run, rows: int) -> None:
    print(
        f"{name:26} {run.exit_code:4} {run.wall_s:9.1f} {rows / run.wall_s:8,.0f} {run.cpu_s:7.1f}"
        f" {run.peak_bytes / 1e6:8,.0f}",
        flush=True,
    )


def _engines(folder: Path, rows: int, dimension: int) -> None:
    """Bytes a record that engines take, beside the estimates.

    RAM is what a fresh process gains when it opens a collection and searches it. Two sizes are made, so that what does
    not grow with the records (logs, caches, the engine itself) falls out.
    """
    print(f"bytes a record, from {rows // 3:,} to {rows:,} x {dimension} float32 with a payload of 3 keys")
    print(f"{'':26} {'RAM':>9} {'estimate':>9} {'disk':>9} {'estimate':>9}")
    for name, scheme, fill in (("chroma", "chroma+path", _fill_chroma), ("qdrant", "qdrant+edge", _fill_qdrant)):
        figures = []
        for count in (rows // 3, rows):
            place = folder / f"{name}-{count}"
            fill(place, count, dimension)
            figures.append(_taken(name, f"{scheme}://{place}/docs", place, dimension))
        growth = [(large - small) / (rows - rows // 3) for small, large in zip(*figures, strict=True)]
        print(f"{name:26} " + " ".join(f"{figure:9,.0f}" for figure in growth), flush=True)


def _taken(name: str, url: str, place: Path, dimension: int) -> tuple[int, int, int, int]:
    """RAM and its estimate, disk and its estimate, in bytes."""
    command = [sys.executable, "-c", OPEN, name, str(place), str(QUERIES), str(dimension)]
    opened = measured(command, place / "home")
    if opened.exit_code:
        raise RuntimeError(f"{name} was not opened: {opened.output[-500:]}")
    sizes = json.loads(vecferry(["inventory", url, "--json"], place / "home").output)["sizes"]
    stored, loaded = sizes["stored"], sizes["loaded"]
    return int(opened.output), loaded["ram_bytes"], stored["disk_bytes"], loaded["disk_bytes"]


def _fill_chroma(folder: Path, rows: int, dimension: int) -> None:
    client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
    collection = client.create_collection("docs", embedding_function=None)
    for numbers, vectors in _blocks(rows, dimension):
        collection.add([str(number) for number in numbers], vectors, [_payload(number) for number in numbers])
    client.close()


def _fill_qdrant(folder: Path, rows: int, dimension: int) -> None:
    """Indexed and searched by its graph whatever its size; without the log, which the embedded engine never cuts."""
    (folder / "docs").mkdir(parents=True)
    config = engine.EdgeConfig(
        vectors=engine.EdgeVectorParams(size=dimension, distance=engine.Distance.Cosine),
        hnsw_config=engine.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=1),
        optimizers=engine.EdgeOptimizersConfig(indexing_threshold=1),
        wal_enabled=False,
    )
    shard = engine.EdgeShard.create(str(folder / "docs"), config)
    for numbers, vectors in _blocks(rows, dimension):
        points = [
            engine.Point(number, vector.tolist(), _payload(number))
            for number, vector in zip(numbers, vectors, strict=True)
        ]
        shard.update(engine.UpdateOperation.upsert_points(points))
    shard.optimize()
    shard.flush()
    shard.close()


def _blocks(rows: int, dimension: int) -> Iterator[tuple[range, npt.NDArray[np.float32]]]:
    numbers = np.random.default_rng(0)
    for start in range(0, rows, 1000):
        block = range(start, min(start + 1000, rows))
        yield block, numbers.normal(size=(len(block), dimension)).astype(np.float32)


def _payload(number: int) -> dict[str, Any]:
    return {"title": f"title {number}", "year": number % 40, "price": float(number)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--engine-rows", type=int, default=36_000)
    parser.add_argument("--engine-dimension", type=int, default=128)
    parser.add_argument("--folder", help="where the collections go (default: the system's temporary folder)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
