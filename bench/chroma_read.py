"""Rows per second and client CPU of reading Chroma: our two readers beside the driver's own loop, in one run.

    python -m bench.chroma_read [--rows 3000] [--dimension 768]

Trust the ratios of one run, not its absolute figures: server and client share this machine's cores.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings

from tests.support.chroma_server import ChromaServer, client_of
from tests.support.raw_collections import RawData, generate
from vecferry import address
from vecferry.contract import Reader
from vecferry.stores import registry

PAGE_ROWS, RUNS = 1000, 3
INCLUDE = ["embeddings", "documents", "metadatas"]


def main() -> None:
    """One table: a server over HTTP, then the folder that it wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--dimension", type=int, default=768)
    options = parser.parse_args()
    data = generate(options.rows, options.dimension)
    print(f"{options.rows:,} x {options.dimension}, payload and document")
    print(f"{'':36} {'rows/s':>8} {'CPU ms/1000':>12} {'rows/s of the driver':>21} {'CPU of the driver':>18}")
    with tempfile.TemporaryDirectory(prefix="vecferry-bench-") as name:
        folder = Path(name) / "chroma"
        with ChromaServer(folder) as server:
            with contextlib.closing(server.client()) as client:
                _fill(client, data)
            url = f"{server.url}/docs"
            readers = {reader: lambda reader=reader: _ours(url, reader) for reader in Reader}
            _table(
                options.rows,
                {
                    "server: the driver's own loop": lambda: _driver(client_of(server.port)),
                    "server: vecferry, fast": readers[Reader.FAST],
                    "server: vecferry, public": readers[Reader.PUBLIC],
                },
            )
        url = f"chroma+path://{folder}/docs"
        _table(
            options.rows,
            {
                "folder: the driver's own loop": lambda: _driver(_engine(folder)),
                "folder: vecferry, read directly": lambda: _ours(url, Reader.FAST),
            },
        )


def _fill(client: Any, data: RawData) -> None:
    collection = client.create_collection("docs", embedding_function=None)
    for start in range(0, len(data), PAGE_ROWS):
        rows = range(start, min(start + PAGE_ROWS, len(data)))
        collection.add(
            ids=[f"doc-{row}" for row in rows],
            embeddings=data.vectors[rows.start : rows.stop],
            documents=[data.texts[row] or "" for row in rows],
            metadatas=[data.payloads[row] for row in rows],
        )


def _table(rows: int, ways: dict[str, Callable[[], int]]) -> None:
    """The best of several interleaved runs each; the first way is what the others are compared with."""
    best = {name: (float("inf"), float("inf")) for name in ways}
    for _ in range(RUNS):
        for name, read in ways.items():
            start_s, cpu_s = time.perf_counter(), time.process_time()
            if read() != rows:
                raise RuntimeError(f"{name} did not read every record")
            wall_s, used_s = time.perf_counter() - start_s, time.process_time() - cpu_s
            best[name] = min(best[name][0], wall_s), min(best[name][1], used_s)
    first_wall_s, first_cpu_s = next(iter(best.values()))
    for name, (wall_s, used_s) in best.items():
        print(
            f"{name:36} {rows / wall_s:8,.0f} {used_s / rows * 1e6:12,.0f}"
            f" {first_wall_s / wall_s:20.1f}x {used_s / first_cpu_s:17.2f}x",
            flush=True,
        )


def _ours(url: str, reader: Reader) -> int:
    with registry.open_source(address.parse(url), reader) as source:
        return sum(batch.num_rows for part in source.slices(1) for batch in source.read(part))


def _engine(folder: Path) -> Any:
    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))


def _driver(client: Any) -> int:
    """What a script does: pages by offset, and an array of each."""
    with contextlib.closing(client):
        collection = client.get_collection("docs", embedding_function=None)
        return sum(len(np.array(page["embeddings"], dtype=np.float32)) for page in _pages(collection))


def _pages(collection: Any) -> Iterator[Any]:
    for offset in range(0, collection.count(), PAGE_ROWS):
        yield collection.get(limit=PAGE_ROWS, offset=offset, include=INCLUDE)


if __name__ == "__main__":
    main()
