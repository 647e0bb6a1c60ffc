"""The files in which a person settles conflicts, and the versions that lost."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.mapping.cases import make_schema
from tests.support.migrating import mixed_batch
from tests.transfer.merge_model import KNOWN, SAME, World, conflicts_of, texts, versions
from tests.transfer.support import archived, memory
from vecferry import archive as archives
from vecferry import batch as columns
from vecferry import canonical
from vecferry.archive.conflicts import LOST, losers_schema, read_losers, write_losers
from vecferry.archive.delta_rows import OP
from vecferry.archive.storage import LocalStorage
from vecferry.errors import ArchiveDamaged, ConfigError, DataDiffer, NotFound, StoreRefused, VecferryError
from vecferry.model import DType, IdKind, VectorField, VectorKind
from vecferry.transfer.conflict_files import read_decisions, write_conflicts
from vecferry.transfer.conflicts import MAX_SHOWN_CHARACTERS, WHOLE, Choice, Conflicts, Decisions, prefer, shown
from vecferry.transfer.merge import Rules

ENDINGS = pytest.mark.parametrize("ending", ["jsonl", "csv"])
# Ids that spreadsheets change, and one that breaks lines.
FIRST, SECOND, GONE = "00012", "=1+1", 'a "b",\n;c'


def disputed() -> World:
    """Three records: one in conflict by two parts, one by its document, one deleted here and changed there."""
    world = World()
    world.add(FIRST, (1, 1, 0), (2, 2, 0), (KNOWN, KNOWN))
    world.add(SECOND, (0, 1, 1), (0, 0, 2), (KNOWN, KNOWN))
    world.add(GONE, None, (0, 2, 0), (KNOWN, KNOWN))
    world.add("quiet", (1, 0, 0), (0, 1, 0), (KNOWN, KNOWN))
    return world


def written(folder: Path, ending: str) -> tuple[Path, Conflicts]:
    """The file for them."""
    path, conflicts = folder / f"conflicts.{ending}", disputed().merge().conflicts
    assert write_conflicts(path, conflicts, "m-1")
    return path, conflicts


def edit(path: Path, change: Callable[[list[dict[str, object]]], object]) -> None:
    """Change the rows of a file as a person's program would."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        change(rows)
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
        return
    head, *lines = path.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    change(rows)
    path.write_text("\r\n".join([head, *map(json.dumps, rows), ""]))


def decide(*decisions: str) -> Callable[[list[dict[str, object]]], object]:
    """Write these decisions, in the order of the rows."""
    return lambda rows: [row.update(decision=word) for row, word in zip(rows, decisions, strict=True)]


@ENDINGS
def test_s16_a_file_that_was_edited_settles_each_conflict_as_it_says(tmp_path: Path, ending: str) -> None:
    """Part by part, saved by a program that writes semicolons and other line ends; the rest of the merge goes along."""
    path, conflicts = written(tmp_path, ending)
    assert conflicts_of(disputed().merge()) == {FIRST: {"vectors", "payload"}, SECOND: {"document"}, GONE: {"record"}}
    edit(path, decide("old", "new", "new", "old"))
    decisions = read_decisions(path, conflicts)
    assert len(decisions) == 4
    world = disputed()
    plan = world.merge(Rules(SAME, decide=decisions))
    world.write(plan)
    assert world.old == {FIRST: (1, 2, 0), SECOND: (0, 1, 2), "quiet": (1, 1, 0)}
    assert plan.counts.settled == 3
    assert not len(plan.conflicts)


@ENDINGS
def test_s16_a_file_shows_people_all_three_versions(tmp_path: Path, ending: str) -> None:
    """What stands in each store and what stood there before, as JSON; nothing where the record is gone."""
    path, _ = written(tmp_path, ending)
    seen: list[dict[str, object]] = []
    edit(path, seen.extend)
    values = [json.loads(row["old"]) if ending == "csv" else row["old"] for row in seen]  # type: ignore[call-overload]
    vector = "float32[3] of length 1.118034: 1.0, 0.5, -0.0"
    assert values == [vector, {"price": 100 / 7}, "text 1", None]
    whole = json.loads(seen[3]["new"]) if ending == "csv" else seen[3]["new"]  # type: ignore[call-overload]
    assert whole["payload"] == {"price": 1e16 / 3}
    assert "deleted in the old store" in str(seen[3]["cause"])


def _open(rows: list[dict[str, object]]) -> None:
    decide("old", "new", "new", "old")(rows)
    rows[2]["decision"] = "maybe"


def _renamed(rows: list[dict[str, object]]) -> None:
    decide("old", "new", "new", "old")(rows)
    rows[0]["id"] = 12 if isinstance(rows[0]["id"], int) else json.dumps("12")


def _twice(rows: list[dict[str, object]]) -> None:
    decide("old", "new", "new", "old")(rows)
    rows.append(dict(rows[1]))


def _lacking(rows: list[dict[str, object]]) -> None:
    decide("old", "new", "new", "old")(rows)
    del rows[3]


def _no_hash(rows: list[dict[str, object]]) -> None:
    for row in rows:
        del row["old_hash"]


def _other_part(rows: list[dict[str, object]]) -> None:
    rows[1]["part"] = "weather"


@ENDINGS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_open, "no decision yet: line"),
        (_renamed, "not one of the conflicts"),
        (_twice, "there for the second time"),
        (_lacking, "lacks 1 of the conflicts"),
        (_no_hash, "the column 'old_hash' is missing"),
        (_other_part, "cannot be read"),
    ],
)
def test_s16_a_file_that_does_not_settle_exactly_its_conflicts_is_refused(
    tmp_path: Path, ending: str, change: Callable[[list[dict[str, object]]], object], message: str
) -> None:
    """Each mistake by its line; nothing is decided by half."""
    path, conflicts = written(tmp_path, ending)
    edit(path, change)
    with pytest.raises(ConfigError, match=message):
        read_decisions(path, conflicts)


@ENDINGS
def test_s16_a_file_for_conflicts_that_changed_since_is_refused(tmp_path: Path, ending: str) -> None:
    """One value of one record is another one now: somebody decided over something else."""
    path, _ = written(tmp_path, ending)
    edit(path, decide("old", "new", "new", "old"))
    world = disputed()
    world.new[SECOND] = (0, 0, 0)
    world.new[GONE] = (2, 2, 0)
    with pytest.raises(DataDiffer, match=r"4 of them"):
        read_decisions(path, world.merge().conflicts)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, NotFound),
        (b"", ConfigError),
        (b"[]", ConfigError),
        (b'{"format":"other"}', ConfigError),
        (b"\xff", ConfigError),
    ],
)
def test_s16_a_file_of_another_kind_is_refused(
    tmp_path: Path, content: bytes | None, error: type[VecferryError]
) -> None:
    """Missing, empty, no facts, not text."""
    path = tmp_path / "conflicts.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error):
        read_decisions(path, Conflicts.none())


@ENDINGS
def test_s16_decisions_are_never_written_over(tmp_path: Path, ending: str) -> None:
    """The same conflicts leave the file as it is; other ones are refused while it is there."""
    path, conflicts = written(tmp_path, ending)
    edit(path, decide("old", "new", "new", "old"))
    before = path.read_bytes()
    assert not write_conflicts(path, conflicts, "m-1")
    with pytest.raises(ConfigError, match="is there already"):
        write_conflicts(path, conflicts.filter(np.array([True, False, True, True])), "m-1")
    assert path.read_bytes() == before


def test_s16_a_file_in_a_folder_that_may_not_be_written_is_one_clear_error(tmp_path: Path) -> None:
    """A path that is no folder at all, for one."""
    (tmp_path / "file").write_text("")
    with pytest.raises((StoreRefused, OSError)):
        write_conflicts(tmp_path / "file" / "conflicts.jsonl", Conflicts.none(), "m-1")


def test_s16_a_decision_over_values_that_changed_leaves_the_conflict_open() -> None:
    """Hashes of both sides belong to a decision, so that none settles what nobody saw."""
    conflicts = disputed().merge().conflicts
    decisions = Decisions(conflicts, prefer(Choice.NEW)(conflicts))
    world = disputed()
    world.new[SECOND] = (0, 0, 0)
    world.old[SECOND] = (0, 1, 2)
    world.new[FIRST] = (2, 0, 0)
    plan = world.merge(Rules(SAME, decide=decisions))
    assert conflicts_of(plan) == {}
    world.old[FIRST] = (2, 2, 0)
    world.new[FIRST] = (1, 1, 0)
    assert conflicts_of(world.merge(Rules(SAME, decide=decisions))) == {FIRST: {"vectors", "payload"}}


def test_s16_a_record_with_one_conflict_open_stays_as_it_is_with_all_of_them_listed() -> None:
    """Half a decision would write half a record."""
    conflicts = disputed().merge().conflicts
    half = Decisions(conflicts, np.array([Choice.NEW, Choice.OPEN, Choice.NEW, Choice.OLD], np.int8))
    plan = disputed().merge(Rules(SAME, decide=half))
    assert conflicts_of(plan) == {FIRST: {"vectors", "payload"}}
    assert sorted(texts(plan.upserts.records)) == [SECOND, "quiet"]


def test_s16_the_digest_of_conflicts_does_not_depend_on_their_order() -> None:
    """Batches may come in any order; another value is another digest."""
    conflicts = disputed().merge().conflicts
    halves = [
        conflicts.filter(np.array([True, True, False, False])),
        conflicts.filter(np.array([False, False, True, True])),
    ]
    assert Conflicts.all_of(reversed(halves)).digest() == conflicts.digest()
    assert conflicts.records() == 3
    assert halves[0].digest() + halves[1].digest() == conflicts.digest()
    assert halves[0].digest() != halves[1].digest()


def test_s16_long_values_are_cut_for_the_eye_and_vectors_are_told_in_short() -> None:
    """Sparse, multi, named and missing vectors, a payload of a megabyte, an integer of thirty digits."""
    sparse = columns.Sparse(np.arange(9, dtype=np.uint32), np.ones(9, np.float32), np.array([0, 9], np.int32))
    multi = columns.Multi(np.ones((2, 3), np.float16), np.array([0, 2], np.int32))
    vectors = {"s": columns.sparse_array(sparse), "m": columns.multi_array(multi)}
    vectors["none"] = pa.nulls(1, columns.arrow_type(VectorField("none", VectorKind.DENSE, DType.INT8, 2)))
    payload = canonical.encode({"long": "x" * 1_000_000, "n": 10**30})
    one = columns.make(["a"], IdKind.STRING, vectors=vectors, documents=["é"], payloads=[payload])
    told = json.loads(shown(one, 0, 0))
    assert told["s"].startswith("sparse float32, 9 entries: 0: 1.0, 1: 1.0")
    assert told["m"] == "2 x float16[3]: 1.0, 1.0, 1.0, 1.0, 1.0, 1.0"
    assert told["none"] is None
    assert len(shown(one, 0, 1)) < MAX_SHOWN_CHARACTERS + 100
    assert "(1,000,0" in shown(one, 0, 1)
    assert shown(one, 0, 2) == '"é"'
    assert len(shown(one, 0, WHOLE)) < MAX_SHOWN_CHARACTERS + 100


def test_s16_losers_are_kept_in_the_archive_and_read_back_whole(tmp_path: Path) -> None:
    """A file of the archive that no manifest lists, found sound by its verification."""
    plan = disputed().merge(Rules(SAME, decide=prefer(Choice.NEW)))
    fields = list(make_schema(IdKind.STRING).vectors)
    archive, _ = archived(tmp_path, memory([mixed_batch(3)]))
    receipt = write_losers(archive.storage, 7, fields, [plan.losers])
    assert receipt.path == "conflicts/00007.parquet"
    found = pa.concat_batches(list(read_losers(archive.storage, 7, batch_rows=2)))
    assert found.schema.equals(losers_schema(fields))
    lost = dict(zip(texts(found), map(json.loads, found.column(LOST).to_pylist()), strict=True))
    assert lost == {FIRST: {"vectors": "old", "payload": "old"}, SECOND: {"document": "old"}, GONE: {"record": "old"}}
    there = found.filter(pa.array([name != GONE for name in texts(found)])).drop_columns([OP, LOST, columns.HASHES])
    assert versions(there) == {FIRST: (1, 1, 0), SECOND: (0, 1, 1)}
    assert not archives.verify(archive, deep=True).damages


@pytest.mark.parametrize("at", ["middle", "end"])
def test_s16_a_file_of_losers_that_was_changed_is_damaged(tmp_path: Path, at: str) -> None:
    """As every other file of an archive."""
    plan = disputed().merge(Rules(SAME, decide=prefer(Choice.NEW)))
    storage = LocalStorage(tmp_path)
    write_losers(storage, 1, list(make_schema(IdKind.STRING).vectors), [plan.losers])
    path = tmp_path / "conflicts" / "00001.parquet"
    content = bytearray(path.read_bytes())
    if at == "end":
        del content[-20:]
    else:
        content[len(content) // 8] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ArchiveDamaged):
        list(read_losers(storage, 1))
