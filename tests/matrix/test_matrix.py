"""Every source to every target: sources that the engines' own clients wrote, every record compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.migrating import Harness
from tests.support.raw_collections import KINDS, ONLY_READ, Place, RawData, target_url
from vecferry import address
from vecferry.ledger import State
from vecferry.stores import registry

FILES = ("numpy", "numpy-tree", "jsonl")


QUICK = [kind for kind in KINDS if kind not in ("numpy-tree", "qdrant")]


def is_quick(source: str, target: str) -> bool:
    """Embedded stores and a Chroma server, each from and to three of them; all other pairs have their long run."""
    if not {source, target} <= set(QUICK):
        return False
    return (QUICK.index(target) - QUICK.index(source)) % len(QUICK) in (0, 1, 3)


@pytest.mark.parametrize(
    ("source_kind", "target_kind"),
    [
        pytest.param(source, target, marks=() if is_quick(source, target) else pytest.mark.slow)
        for source in (*KINDS, *ONLY_READ)
        for target in KINDS
    ],
)
def test_a_migration_between_any_two_stores_ends_switched(
    source_kind: str,
    target_kind: str,
    place: Place,
    data: RawData,
    source_of: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The verdict is same, the route switched, and the target opened anew holds as many records."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    name = f"{source_kind}-to-{target_kind}".replace("+", "-")
    target = target_url(target_kind, place, name)
    options: dict[str, Any] = {"metric": "cosine"} if source_kind in FILES else {}
    if source_kind in ONLY_READ:
        options["trust_local_files"] = True
    if target_kind == "faiss" and source_kind != "faiss":
        options["metric"] = "dot"  # FAISS has no cosine
    harness = Harness(tmp_path)
    ref = harness.migrate(source_of(source_kind), target, slice_rows=120, **options)
    assert harness.migration(ref).state is State.SWITCHED
    with registry.open_source(address.parse(target)) as opened:
        assert opened.count() == len(data)
