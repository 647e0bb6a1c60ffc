"""A merge in plain Python, record by record, and two small stores as dictionaries to hold the real one against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.mapping.cases import FILES, QDRANT, make_schema, mapping_for
from vecferry import batch as columns
from vecferry import canonical, sealing
from vecferry.mapping import Mapping as Moving
from vecferry.model import IdKind
from vecferry.testing.rows import rows_of
from vecferry.transfer.conflicts import Choice, prefer, undecided
from vecferry.transfer.merge import Intent, Known, MergePlan, Rules, merge

Version = tuple[int, int, int]
"""A record: the number of the value of its vectors, its payload and its document. 0 is the value that was known."""

Store = dict[str, Version]
"""What a store has, by id."""

Pair = tuple[Version | None, Version | None]
"""What is known of an id in the old store and in the new one; None where it was not there."""

PARTS = ("vectors", "payload", "document")
SCHEMA = make_schema(IdKind.STRING, document=True)
# Floats that engines round: a part that shares a field with another must not look changed for that.
_FLOATS = (632 / 7, 100 / 7, 1e16 / 3)
KNOWN = (0, 0, 0)
DECIDE = {"": undecided, "old": prefer(Choice.OLD), "new": prefer(Choice.NEW)}
EVERY = tuple(product(range(3), repeat=3))
FEW = tuple((vector, payload, 0) for vector, payload in product(range(3), repeat=2))


def records(store: Mapping[str, Version | None], kind: IdKind = IdKind.STRING) -> pa.RecordBatch:
    """The records of a store, in the source's terms; those that are None are not there."""
    rows = [(name, version) for name, version in store.items() if version is not None]
    vectors = np.array([[version[0], 0.5, -0.0] for _, version in rows], dtype=np.float32).reshape(-1, 3)
    return columns.make(
        [name for name, _ in rows],
        [kind] * len(rows),
        vectors={"": columns.dense_array(vectors)},
        documents=pa.array([f"text {version[2]}" if version[2] else None for _, version in rows], pa.string()),
        payloads=pa.array([canonical.encode({"price": _FLOATS[v[1]]}).decode() for _, v in rows], pa.string()),
    )


SAME = mapping_for(SCHEMA, None, FILES)
"""A new store that holds everything as it is."""
OTHER = mapping_for(SCHEMA, records({"a": (0, 0, 1)}), QDRANT)
"""One that has neither such ids nor documents, and rounds floats."""


MAPPINGS = pytest.mark.parametrize("mapping", [SAME, OTHER], ids=["the same", "another engine"])


@dataclass
class World:
    """An old store, a new one that `mapping` leads to, and what is known of both."""

    old: Store = field(default_factory=dict)
    new: Store = field(default_factory=dict)
    known: dict[str, Pair] = field(default_factory=dict)
    mapping: Moving = SAME

    def add(self, name: str, old: Version | None, new: Version | None, known: Pair | None) -> None:
        """One id with what each store has of it."""
        for store, version in ((self.old, old), (self.new, new)):
            if version is not None:
                store[name] = version
        if known is not None:
            self.known[name] = known

    def known_rows(self, *, with_records: bool = True) -> Known:
        """The known state as columns."""
        old = {name: pair[0] for name, pair in self.known.items()}
        new = {name: pair[1] for name, pair in self.known.items()}
        ids = columns.make(list(self.known), IdKind.STRING)
        links = columns.ids_of(self.mapping.forward(ids))
        sides = (*_hashes(old, SAME), *_hashes(new, self.mapping))
        return Known(ids, links, *sides, records(old) if with_records else None)

    def merge(self, rules: Rules | None = None, intents: Sequence[Intent] = (), **known: bool) -> MergePlan:
        """The plan for everything that is here."""
        raw = self.mapping.expected(records(self.new))
        return merge(records(self.old), raw, self.known_rows(**known), rules or Rules(self.mapping), intents)

    def write(self, plan: MergePlan, names: Iterable[str] | None = None) -> None:
        """Do to the old store what the plan says, to all records or to some."""
        wanted = None if names is None else set(names)
        for name, version in versions(plan.upserts.records).items():
            if wanted is None or name in wanted:
                self.old[name] = version
        for name in texts(plan.deletes):
            if wanted is None or name in wanted:
                self.old.pop(name, None)

    def record(self, plan: MergePlan) -> None:
        """Close the delta of a plan: what both stores have now is known, but for stale parts of the old one."""
        for carried in (plan.upserts, plan.same):
            for name, stale in zip(texts(carried.records), carried.stale.tolist(), strict=True):
                before = self.known.get(name, (None, None))[0] or (None, None, None)
                now = tuple(b if s else o for b, o, s in zip(before, self.old[name], stale, strict=True))
                assert None not in now
                self.known[name] = (now, self.new.get(name))  # type: ignore[assignment]
        for name in (*texts(plan.deletes), *texts(plan.same_deletes)):
            self.known[name] = (None, None)


def _hashes(
    store: Mapping[str, Version | None], mapping: Moving
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    there = np.array([version is not None for version in store.values()], dtype=bool)
    found = np.zeros((len(store), columns.HASHES_BYTES), dtype=np.uint8)
    found[there] = sealing.hash_parts(mapping.expected(records(store)))
    return found, there


def texts(batch: pa.RecordBatch) -> list[str]:
    """Ids as text."""
    found: list[str] = batch.column(columns.ID).to_pylist()
    return found


def versions(batch: pa.RecordBatch) -> Store:
    """The versions that records are; a float that an engine rounded is still that of its version."""
    found: Store = {}
    for name, row in rows_of([batch]).items():
        vector = int(np.frombuffer(row.vectors[""][2], np.float32)[0])
        price = canonical.decode(row.payload or b"")["price"]
        payload = next(number for number, value in enumerate(_FLOATS) if abs(price - value) < 1e-9 * value)
        found[name.text] = (vector, payload, int(row.document.split()[1]) if row.document else 0)
    return found


def near(expected: pa.RecordBatch, found: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Parts of the same version: an old store that rounds what it is given is compared so."""
    sides = [np.array(list(versions(batch).values())).reshape(-1, len(PARTS)) for batch in (expected, found)]
    same: npt.NDArray[np.bool_] = sides[0] == sides[1]
    return same


@dataclass
class Outcome:
    """What becomes of one id: the version that the old store has in the end, and what is told of it."""

    old: Version | None
    conflicts: frozenset[str] = frozenset()
    kept: bool = False
    same: bool = False


def judge(old: Version | None, new: Version | None, known: Pair | None, prefer: str = "") -> Outcome:
    """The table of `docs/concepts.md`, said once more. `prefer`: "old" or "new" wins conflicts; else they stay open."""
    old_known, new_known = known or (None, None)
    if old == old_known and new == new_known:
        return Outcome(old)
    if new == new_known or (new_known is None and new == old_known):
        return Outcome(old, kept=old != old_known)
    if old is None and old_known is None:
        return Outcome(new)
    if old is None or new is None:
        return _judge_gone(old, new, old_known, prefer)
    return _judge_parts(old, new, old_known, new_known if new_known is not None else old_known, prefer)


def _judge_gone(old: Version | None, new: Version | None, old_known: Version | None, prefer: str) -> Outcome:
    """One of the two is gone, and the new side did something."""
    if old is None and new is None:
        return Outcome(None, same=True)
    if old == old_known:
        return Outcome(new)
    return Outcome({"new": new}.get(prefer, old), frozenset({"record"}))


def _judge_parts(
    old: Version, new: Version, old_known: Version | None, new_known: Version | None, prefer: str
) -> Outcome:
    result, conflicts, kept, same = list(old), set(), False, False
    for part, name in enumerate(PARTS):
        by_old = old_known is None or old[part] != old_known[part]
        by_new = new_known is None or new[part] != new_known[part]
        if by_new and not by_old:
            result[part] = new[part]
        elif by_old and not by_new:
            kept = True
        elif by_old and old[part] == new[part]:
            same = True
        elif by_old:
            conflicts.add(name)
            result[part] = new[part] if prefer == "new" else old[part]
    if conflicts and not prefer:
        return Outcome(old, frozenset(conflicts))
    vector, payload, document = result
    written = (vector, payload, document) != old
    return Outcome((vector, payload, document), frozenset(conflicts), kept, same and not written)


def outcomes(world: World, wins: str = "") -> dict[str, Outcome]:
    """What plain Python says of each id."""
    names = world.known.keys() | world.old.keys() | world.new.keys()
    return {
        name: judge(world.old.get(name), world.new.get(name), world.known.get(name), wins) for name in sorted(names)
    }


def conflicts_of(plan: MergePlan) -> dict[str, frozenset[str]]:
    """Parts in conflict, by id."""
    found: dict[str, set[str]] = {}
    batch = plan.conflicts.batch
    for name, part in zip(texts(batch), batch.column("part").to_pylist(), strict=True):
        found.setdefault(name, set()).add(part)
    return {name: frozenset(parts) for name, parts in found.items()}
