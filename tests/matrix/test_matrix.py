"""Every source to every target: sources that the engines' own clients wrote, every record compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from tests.support.migrating import Harness
from tests.support.raw_collections import KINDS, ONLY_READ, Place, RawData, target_url
from vecferry import address
from vecferry.ledger import State
from vecferry.stores import registry

FILES = ("numpy", "numpy-tree", "jsonl")


RARE = ("numpy-tree", *ONLY_READ)
"""Kinds that the long run crosses with all others."""


def kinds(names: Iterable[str]) -> list[ParameterSet]:
    """Kinds of stores, those of the long run marked."""
    return [pytest.param(name, marks=pytest.mark.slow if name in RARE else ()) for name in names]


@pytest.mark.parametrize("target_kind", kinds(KINDS))
@pytest.mark.parametrize("source_kind", kinds([*KINDS, *ONLY_READ]))
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
