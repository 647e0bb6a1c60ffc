"""The whole way on embedded stores: generated files, a migration, the switch, and the way back."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vecferry.cli.actions import request
from vecferry.cli.actions.runs import conduct, first_run
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import BadOption
from vecferry.ledger import Ledger
from vecferry.operations import migrations, routes
from vecferry.strategies.runner import Ref

__all__ = ["demo", "generate"]

ROWS, DIMENSION = 2000, 384
ROUTE = "articles"


def demo(screen: Screen, keep: Path | None) -> Result:
    """Migrate, ask the route, roll back, ask again; every answer is read from the ledger or the stores."""
    with _folder(keep) as folder:
        source = generate(folder / "old")
        before = _checksum(folder / "old")
        ledger = Ledger.open(folder / "ledger.db")
        screen.say(f"the old store: {source}, {ROWS:,} records of {DIMENSION} numbers")
        options = {"source": source, "target": _target(screen, folder), "archive": folder / "archive"}
        config = request.migration(options, route=ROUTE, metric="cosine", approve="auto")
        ref = migrations.start(ledger, config)
        moved = first_run(screen, ledger, ref)
        if moved.error is not None:
            return moved
        switched_to = routes.route(ledger, ROUTE).url
        screen.say(f"route {ROUTE!r} serves {switched_to}; now the way back")
        back = conduct(screen, ledger, ref, partial(routes.rollback, ref=ref))
        if back.error is not None:
            return back
        return _told(ledger, ref, moved, switched_to, untouched=_checksum(folder / "old") == before, keep=keep)


def _told(ledger: Ledger, ref: Ref, moved: Result, switched_to: str, *, untouched: bool, keep: Path | None) -> Result:
    serves = routes.route(ledger, ROUTE).url
    state = ledger.migration(ref.migration).state
    lines = [
        f"after the switch the route {ROUTE!r} served {switched_to}",
        f"after the rollback it serves {serves}; migration {ref.migration} is {state}",
        f"the old store's files are {'byte for byte as they were' if untouched else 'NOT as they were'}",
        f"kept in {keep}: VECFERRY_LEDGER={keep / 'ledger.db'} vecferry status"
        if keep
        else "nothing was kept (vecferry demo --keep DIR keeps all of it)",
        "your own data: vecferry migrate --help",
    ]
    document: dict[str, Any] = {
        "migration": ref.migration,
        "state": state.value,
        "verdict": moved.document["verdict"],
        "switched_to": switched_to,
        "serves": serves,
        "old_store_untouched": untouched,
        "kept": str(keep) if keep else None,
    }
    return Result(document, (*moved.pages[:1], "\n".join(lines)))


def _target(screen: Screen, folder: Path) -> str:
    if find_spec("qdrant_edge") is not None:
        return f"qdrant+edge://{folder}/new/{ROUTE}"
    screen.say("qdrant-edge-py is not installed (pip install 'vecferry[qdrant]'), so the new store is a JSONL file")
    return f"jsonl://{folder}/new/{ROUTE}.jsonl"


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="vecferry-demo-") as folder:
            yield Path(folder)
        return
    if keep.exists() and any(keep.iterdir()):
        raise BadOption(f"{keep} is not empty", advice="vecferry demo --keep NEW_FOLDER")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()


def generate(folder: Path) -> str:
    """Write vectors as one 2-D file and their payloads as lines beside it; its URL."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(1)
    np.save(folder / f"{ROUTE}.npy", numbers.normal(size=(ROWS, DIMENSION)).astype(np.float32))
    lines = (
        {
            "id": f"article-{number}",
            "text": f"Article {number}: a ferry crosses at dawn",
            "year": 1990 + number % 35,
            "rating": number / 7,
            "tags": ["north", "south"][: 1 + number % 2],
        }
        for number in range(ROWS)
    )
    (folder / f"{ROUTE}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return f"numpy://{folder}/{ROUTE}.npy"


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        digest.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
    return digest.hexdigest()
