"""`vecferry migrate` between every two stores, by the command line, with the verdict of each.

python -m bench.matrix [--rows 20000] [--dimension 384] [--only SUBSTRING]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench.processes import Run, qdrant_process, vecferry
from tests.support.chroma_server import ChromaServer
from tests.support.ports import free_port
from tests.support.raw_collections import Place, generate, make_source, target_url

KINDS = ("numpy", "jsonl", "qdrant+edge", "qdrant", "chroma+path", "chroma", "faiss", "milvus+path")
FILES = ("numpy", "jsonl")


def main() -> int:
    """Run all pairs; exit code 1 when any did not end with the verdict same."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="vecferry-matrix-") as name:
        folder = Path(name)
        grpc_port, rest_port = free_port(), free_port()
        with qdrant_process(folder / "qdrant", grpc_port, rest_port), ChromaServer(folder / "chroma-server") as chroma:
            return _all_pairs(Place(folder, grpc_port, rest_port, chroma.port), options)


def _all_pairs(place: Place, options: argparse.Namespace) -> int:
    data = generate(options.rows, options.dimension)
    pairs = [(one, other) for one in KINDS for other in KINDS if options.only in f"{one} -> {other}"]
    sources = {
        kind: make_source(kind, place, f"source-{kind.replace('+', '-')}", data) for kind in {a for a, _ in pairs}
    }
    failed = 0
    print(f"{'source -> target':28} exit verdict    records    seconds  rows/s  peak MB", flush=True)
    for number, (source, target) in enumerate(pairs):
        goal = target_url(target, place, f"pair_{number:02d}")
        run = _migrate(sources[source], goal, _metric(source, target), place.folder / f"home-{number}")
        failed += not _show(f"{source} -> {target}", run, options.rows)
    print(f"{len(pairs) - failed} of {len(pairs)} pairs: verdict same, exit 0")
    return 1 if failed else 0


def _migrate(source: str, target: str, metric: str | None, home: Path) -> Run:
    named = ["--metric", metric] if metric else []
    return vecferry(["migrate", "--source", source, "--target", target, "--approve", "auto", "--json", *named], home)


def _metric(source: str, target: str) -> str | None:
    """Files record no metric, so it is named; FAISS has no cosine, so another one is asked for."""
    if target == "faiss":
        return "dot"
    return "cosine" if source in FILES else None


def _show(name: str, run: Run, rows: int) -> bool:
    try:
        report = json.loads(run.output)
    except ValueError:
        report = {}
    verdict = (report.get("verdict") or {}).get("state", "none")
    records = report.get("rows")
    print(
        f"{name:28} {run.exit_code:4} {verdict:10} {records or 0:8,} {run.wall_s:10.1f} {rows / run.wall_s:7,.0f}"
        f" {run.peak_bytes / 1e6:8,.0f}",
        flush=True,
    )
    if run.exit_code:
        print(f"    {report.get('error') or run.output[-500:]}")
    return run.exit_code == 0 and verdict == "same" and records == rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--only", default="", help="only pairs whose `source -> target` holds this text")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
