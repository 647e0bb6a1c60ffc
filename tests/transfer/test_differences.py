"""A pass against the known state: every record that differs is a candidate, of its kind, and no other one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.migrating import mixed_batch
from tests.transfer.support import archived, limits, memory, name, one
from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive, Changes, DeltaEntry, DeltaHashRows, DeltaRows, HashRows
from vecferry.archive.delta_rows import Before
from vecferry.contract import Target
from vecferry.errors import ArchiveDamaged, Stopped
from vecferry.model import CollectionSchema, DType, IdKind, Metric, RecordId, VectorField, VectorKind
from vecferry.transfer.differences import CHANGE, MAX_EXAMPLES, Differences, Side, compare, read_candidates
from vecferry.transfer.known import KnownState
from vecferry.transfer.passes import Spool, begin_spool, spool_slice

FIELD = VectorField("", VectorKind.DENSE, DType.FLOAT32, 2, Metric.DOT)
SCHEMA = CollectionSchema("docs", (FIELD,), frozenset(IdKind), has_document=True)
HASH = pa.binary(48)
Content = dict[RecordId, int]

KEYS = [
    *(RecordId(IdKind.UINT64, str(number)) for number in range(6)),
    *(RecordId(IdKind.STRING, text) for text in ("0", "1", "", " 0", "ü", "a b")),
    RecordId(IdKind.INT64, "-1"),
    RecordId(IdKind.UUID, "c0ffee00-0000-4000-8000-000000000001"),
]
"""Ids that look alike, among others."""

CONTENT = st.dictionaries(st.sampled_from(KEYS), st.integers(0, 2))


def batch_of(content: Content) -> pa.RecordBatch:
    """Records whose every part is a function of one number."""
    ids = columns.ids_batch(content)
    numbers = np.array([[value, 1] for value in content.values()], dtype=np.float32).reshape(-1, 2)
    return columns.make(
        ids.column("id"),
        ids.column("id_kind"),
        vectors={"": columns.dense_array(numbers)},
        documents=[f"v{value}" if value else None for value in content.values()],
        payloads=[b'{"v":%d}' % value for value in content.values()],
    )


def link(ids: pa.RecordBatch) -> pa.RecordBatch:
    """In the target an id is the same one."""
    return columns.ids_of(ids)


def archive_of(folder: Path, states: list[Content]) -> Archive:
    """An archive of the first state, caught up by a delta to each of the others."""
    archive = Archive.create(folder / uuid4().hex, "docs", {"version": 1})
    receipt = archive.write_part(0, columns.arrow_schema(SCHEMA.vectors), [batch_of(states[0])])
    rows = [
        HashRows(one, one, *[columns.stored_hashes(one)] * 2, np.ones(len(one), bool)) for one in archive.read_part(0)
    ]
    archive.commit(Changes(SCHEMA, parts=(receipt,), hashes=(archive.write_hashes(0, rows),), complete=True))
    for number, (old, new) in enumerate(pairwise(states), 1):
        add_delta(archive, number, old, new)
    return archive


def add_delta(archive: Archive, number: int, old: Content, new: Content) -> None:
    """Write what leads from one state to the next."""
    upserts = {key: value for key, value in new.items() if old.get(key) != value}
    gone = columns.ids_batch(key for key in old if key not in new)
    rows = []
    if upserts:
        records = batch_of(upserts)
        rows.append(DeltaRows.upserts(0, records, nothing_before(records)))
    if gone.num_rows:
        rows.append(DeltaRows.tombstones(len(upserts), SCHEMA.vectors, gone, nothing_before(gone)))
    written = archive.write_delta(number, SCHEMA.vectors, rows)
    found = [DeltaHashRows.of(one, present(one)) for one in archive.read_delta(number)]
    hashes = archive.write_delta_hashes(number, found)
    shift = written.shift
    archive.commit(
        Changes(deltas=(DeltaEntry(written.receipt, hashes, "forward", number, shift.added, shift.removed),))
    )


def nothing_before(records: pa.RecordBatch) -> Before:
    """The place in the target, and no hashes."""
    none = pa.nulls(records.num_rows, HASH)
    return Before(records.column("id"), records.column("id_kind"), none, none)


def present(rows: DeltaRows) -> pa.Array:
    """Hashes of the records; null for those that are gone."""
    return rows.column("source_hash").take(pa.array(np.arange(len(rows)), mask=rows.gone()))


def spool_of(folder: Path, store: Target, slices: int = 3) -> Spool:
    """All slices of a store laid aside."""
    spool = begin_spool(store, folder / uuid4().hex, 2, slices, 0.0)
    for part in spool.view.slices:
        spool_slice(store, part.number, spool, limits())
    return spool


def found_in(spool: Spool, side: Side) -> dict[RecordId, str]:
    """The candidates, each with its kind of change."""
    names = ("id", "id_kind") if side is Side.SOURCE else ("target_id", "target_id_kind")
    result = {}
    for batch in read_candidates(spool, 5):
        ids = pa.RecordBatch.from_arrays([batch.column(name) for name in names], names=["id", "id_kind"])
        result |= dict(zip(columns.record_ids(ids), batch.column(CHANGE).to_pylist(), strict=True))
    return result


def oracle(known: Content, seen: Content) -> dict[RecordId, str]:
    """What differs, in plain Python."""
    gone = {key: "gone" for key in known if key not in seen}
    new = {key: "new" for key in seen if key not in known}
    return {**gone, **new, **{key: "changed" for key in seen if key in known and seen[key] != known[key]}}


def compared(folder: Path, states: list[Content], seen: Content, side: Side) -> tuple[Differences, Spool]:
    """Lay a state aside and compare it with the last one that is known."""
    store = memory([batch_of(seen)], SCHEMA)
    spool = spool_of(folder, store)
    known = KnownState(archive_of(folder, states), link)
    return compare(spool, known, store.count(), 64, side), spool


CASES = given(st.lists(CONTENT, min_size=1, max_size=4), CONTENT, st.sampled_from(Side))


@settings(max_examples=examples(10), deadline=None)
@CASES
def test_candidates_are_exactly_the_records_that_differ(
    tmp_path_factory: pytest.TempPathFactory, states: list[Content], seen: Content, side: Side
) -> None:
    """S4: whatever was copied, carried over and seen now, candidates and counts are those of a plain comparison."""
    require_like_the_oracle(tmp_path_factory, states, seen, side)


@pytest.mark.slow
@settings(max_examples=examples(300), deadline=None)
@CASES
def test_candidates_are_exactly_the_records_that_differ_in_many_cases(
    tmp_path_factory: pytest.TempPathFactory, states: list[Content], seen: Content, side: Side
) -> None:
    """The same, longer."""
    require_like_the_oracle(tmp_path_factory, states, seen, side)


def require_like_the_oracle(
    tmp_path_factory: pytest.TempPathFactory, states: list[Content], seen: Content, side: Side
) -> None:
    """One case."""
    folder = tmp_path_factory.mktemp("differences")
    differences, spool = compared(folder, states, seen, side)
    wanted = oracle(states[-1], seen)
    assert found_in(spool, side) == wanted
    counts = {kind: list(wanted.values()).count(kind) for kind in ("new", "changed", "gone")}
    assert differences.counts() == counts
    assert differences.complete
    assert bool(differences) == bool(wanted)
    assert (differences.rows, differences.unsettled) == (len(seen), len(wanted))


def test_the_digest_of_a_quiet_pass_is_that_of_the_known_state(tmp_path: Path) -> None:
    """S10: two passes that see the same have equal digests, whatever the slices; it is the archive's own."""
    state = {key: row % 3 for row, key in enumerate(KEYS)}
    one, _ = compared(tmp_path, [{KEYS[0]: 1}, state], state, Side.SOURCE)
    store = memory([batch_of(state)], SCHEMA)
    archive = archive_of(tmp_path, [state])
    other = compare(spool_of(tmp_path, store, 1), KnownState(archive, link), store.count(), 64)
    assert one.digest == other.digest == str(archive.manifest().current)
    assert one.unsettled == other.unsettled == 0


VECTOR = columns.dense_column(one(7)).values[0]
CHANGED: dict[str, dict[str, object]] = {
    "one bit of a vector": {"vector": np.nextafter(VECTOR, np.float32(9)).tolist()},
    "a payload value": {"payload": '{"price":1.5}'},
    "an integer that became a float": {"payload": one(7).column("payload")[0].as_py().replace("2007", "2007.0")},
    "a document": {"document": "Other words"},
    "a document that is gone": {"document": None},
    "a document that is empty": {"document": ""},
}


def since_archived(folder: Path, store: Target, batches: list[pa.RecordBatch]) -> Differences:
    """What a pass finds when these records were written after the copy."""
    archive, _ = archived(folder / uuid4().hex, store)
    for batch in batches:
        store.write(batch)
    return compare(spool_of(folder, store), KnownState(archive, link), store.count(), 64)


@pytest.mark.parametrize("what", CHANGED)
def test_the_smallest_change_of_any_part_is_seen(tmp_path: Path, what: str) -> None:
    """S4: a record that differs in one part alone, however little, is named."""
    number = 8 if "document" in what else 7
    found = since_archived(tmp_path, memory([mixed_batch(10)]), [one(number, **CHANGED[what])])
    assert found.counts() == {"new": 0, "changed": 1, "gone": 0}
    assert found.changed.examples == (str(name(number)),)


def test_many_changes_are_counted_and_some_are_named(tmp_path: Path) -> None:
    """A collection that was emptied and filled anew does not fill the message; one that was not says so."""
    rows, store = MAX_EXAMPLES + 5, memory([mixed_batch(MAX_EXAMPLES + 5)])
    assert str(since_archived(tmp_path, store, [mixed_batch(rows)])) == "no changes"
    archive, _ = archived(tmp_path / "emptied", store)
    store.delete(mixed_batch(rows))
    store.write(mixed_batch(rows, first=rows))
    found = compare(spool_of(tmp_path, store), KnownState(archive, link), store.count(), 64)
    assert found.counts() == {"new": rows, "changed": 0, "gone": rows}
    assert len(found.new.examples) == len(found.gone.examples) == MAX_EXAMPLES
    assert str(found).startswith(f"{rows} new (for example {found.new.examples[0]}, ")
    assert len(str(found)) < 300


def test_a_record_that_did_not_travel_is_not_new(tmp_path: Path) -> None:
    """Records that stay behind stand in the part and not among the proven hashes; they are no change at the source."""
    store = memory([mixed_batch(10, first=10), one(5, vector=None)])
    archive, _ = archived(tmp_path / "archive", store)
    known = archive.read_hashes(0)
    travelled = [row for row, text in enumerate(known.ids().column("id").to_pylist()) if text != "doc-5"]
    archive.write_hashes(0, [known.slice(row, 1) for row in travelled])
    assert len(archive.read_hashes(0)) == 10
    assert not compare(spool_of(tmp_path, store), KnownState(archive, link), 11, 64)
    store.write(one(5))
    found = compare(spool_of(tmp_path, store), KnownState(archive, link), 11, 64)
    assert found.changed.examples == (str(name(5)),)


def test_a_candidate_brings_what_is_known_of_it(tmp_path: Path) -> None:
    """The recorded id in the target and both hashes stand beside a changed or deleted record; a new one has none."""
    _, spool = compared(tmp_path, [{KEYS[0]: 0, KEYS[1]: 1}], {KEYS[0]: 2, KEYS[2]: 1}, Side.SOURCE)
    found = pa.concat_batches(list(read_candidates(spool, 100)))
    by_kind = {row["change"]: row for row in found.to_pylist()}
    known = sealing.seal(batch_of({KEYS[0]: 0, KEYS[1]: 1})).column("source_hash").to_pylist()
    for kind, at in (("changed", 0), ("gone", 1)):
        row = by_kind[kind]
        assert (row["target_id"], row["target_id_kind"]) == (row["id"], row["id_kind"])
        assert row["source_hash"] == row["target_hash"] == row["archived_hash"] == known[at]
        assert row["live"]
    assert by_kind["new"]["target_id"] is by_kind["new"]["source_hash"] is None


def test_a_record_that_comes_back_keeps_its_recorded_place(tmp_path: Path) -> None:
    """S2: the link of a deleted record is kept, so that it returns to where it was."""
    _, spool = compared(tmp_path, [{KEYS[0]: 0}, {}], {KEYS[0]: 0}, Side.SOURCE)
    found = pa.concat_batches(list(read_candidates(spool, 100)))
    (row,) = found.to_pylist()
    assert (row["change"], row["live"], row["target_id"]) == ("new", False, KEYS[0].text)


def test_a_torn_scan_is_seen(tmp_path: Path) -> None:
    """S4: an id that two slices gave with different content is a candidate, and the pass is not called whole."""
    store = memory([batch_of(dict.fromkeys(KEYS, 0))], SCHEMA)
    spool = spool_of(tmp_path, store, 2)
    moved = next(store.read(spool.view.slices[0], batch_rows=1))
    moved_key = columns.record_ids(moved)[0]
    store.write(batch_of({moved_key: 2}))
    # The record moves into the other slice while that is read.
    parts = [*store.read(spool.view.slices[1]), store.fetch(columns.ids_batch([moved_key]))]
    torn = _Torn(store, parts)
    spool_slice(torn, 1, spool, limits())
    known = KnownState(archive_of(tmp_path, [dict.fromkeys(KEYS, 0)]), link)
    found = compare(spool, known, store.count(), 64)
    assert found_in(spool, Side.SOURCE) == {moved_key: "changed"}
    assert (found.torn, found.rows, found.distinct) == (1, len(KEYS) + 1, len(KEYS))
    assert not found.complete


class _Torn:
    """A store as a scan sees it that other writers get between."""

    def __init__(self, store: Target, parts: list[pa.RecordBatch]) -> None:
        self.url, self._parts = store.url, parts

    def read(self, *args: object, **options: object) -> Iterator[pa.RecordBatch]:
        """The prepared rows, whatever the slice."""
        return iter(self._parts)


def test_records_that_the_store_counts_and_the_pass_did_not_see_keep_it_from_being_called_quiet(tmp_path: Path) -> None:
    """S4: fewer ids than the store counts are no empty pass, even if nothing differs."""
    state = dict.fromkeys(KEYS, 0)
    store = memory([batch_of(state)], SCHEMA)
    known = KnownState(archive_of(tmp_path, [state]), link)
    found = compare(spool_of(tmp_path, store), known, store.count() + 2, 64)
    assert not found
    assert not found.complete
    assert found.unsettled == 2


def test_a_damaged_archive_ends_the_comparison_with_its_own_error(tmp_path: Path) -> None:
    """What is wrong with a file of hashes is told as such, not in the words of the engine that compares."""
    state = dict.fromkeys(KEYS, 0)
    archive = archive_of(tmp_path, [state])
    file = Path(archive.storage.place("hashes/00000.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    store = memory([batch_of(state)], SCHEMA)
    with pytest.raises(ArchiveDamaged, match="hashes"):
        compare(spool_of(tmp_path, store), KnownState(archive, link), store.count(), 64)


def test_a_slice_that_was_not_read_stops_the_comparison(tmp_path: Path) -> None:
    """A pass that died on its way proves nothing."""
    store = memory([batch_of(dict.fromkeys(KEYS, 0))], SCHEMA)
    spool = spool_of(tmp_path, store)
    spool.file(1).unlink()
    with pytest.raises(Stopped, match="slice 1"):
        compare(spool, KnownState(archive_of(tmp_path, [{}]), link), store.count(), 64)
