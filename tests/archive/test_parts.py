from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archive.support import KINDS_OF_VECTORS, TYPES, collections, cut, path_of, rows, same_bits
from tests.golden.make_archive_v1 import VECTORS, column_of
from tests.support.examples import examples
from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive, HashRows
from vecferry.archive.grouping import row_groups
from vecferry.errors import ArchiveDamaged, BadRecord, RetryLater
from vecferry.model import ALL_PARTS, Digest, DType, IdKind, Part, VectorField, VectorKind


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.create(tmp_path, "docs", {})


@settings(max_examples=examples(60), deadline=None)
@given(collections(), st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 7))
def test_any_records_come_back_bit_for_bit(
    collection: tuple[list[VectorField], pa.RecordBatch], sizes: list[int], batch_rows: int
) -> None:
    """Every kind of vector, id, document and payload is read as it was written, whatever the batches."""
    fields, batch = collection
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.create(Path(folder), "docs", {})
        receipt = archive.write_part(0, columns.arrow_schema(fields), cut(batch, sizes))
        found = list(archive.read_part(0, batch_rows))
    assert receipt.rows == batch.num_rows
    assert all(item.num_rows <= batch_rows for item in found)
    if batch.num_rows:
        assert same_bits(pa.concat_batches(found), pa.concat_batches([sealing.seal(batch)]))
        assert receipt.digest == str(sealing.digest(sealing.seal(batch)))


@settings(max_examples=examples(30), deadline=None)
@given(collections(), st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=2, max_size=2))
def test_the_same_rows_give_the_same_bytes_however_they_are_cut(
    collection: tuple[list[VectorField], pa.RecordBatch], sizes: list[list[int]]
) -> None:
    """A part that is written again with other batch sizes has the same checksum."""
    fields, batch = collection
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.create(Path(folder), "docs", {})
        one, other = (archive.write_part(0, columns.arrow_schema(fields), cut(batch, item)) for item in sizes)
    assert one == other


@settings(max_examples=examples(50), deadline=None)
@given(collections(), st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 6), st.integers(1, 2000))
def test_the_borders_of_row_groups_depend_on_the_rows_alone(
    collection: tuple[list[VectorField], pa.RecordBatch], sizes: list[int], max_rows: int, max_bytes: int
) -> None:
    """Groups keep all rows in order and their limits, and do not depend on how the rows came."""
    _, batch = collection
    whole = [group.num_rows for group in row_groups([batch], max_rows, max_bytes)]
    groups = list(row_groups(cut(batch, sizes), max_rows, max_bytes))
    assert [group.num_rows for group in groups] == whole
    assert all(0 < count <= max_rows for count in whole)
    assert [name for group in groups for name in group.column("id").to_pylist()] == batch.column("id").to_pylist()


def test_row_groups_end_at_10_000_rows_or_64_mebibytes(archive: Archive) -> None:
    """What a writer holds in memory does not grow with the part."""
    archive.write_part(0, TYPES, [rows(0, 10_001)])
    assert groups_of(archive, 0) == [10_000, 1]
    wide = columns.make(["1", "2", "3"], IdKind.STRING, documents=["x" * (40 << 20)] * 3, payloads=[b"{}"] * 3)
    archive.write_part(1, columns.arrow_schema(()), [wide])
    assert groups_of(archive, 1) == [1, 1, 1]


def test_reading_holds_a_row_group_and_not_the_part(archive: Archive) -> None:
    """What Arrow holds while a part is read does not grow with the rows that were read."""
    fields, turns = (VectorField(dimension=384),), 40
    vectors = np.random.default_rng(0).random((1000, 384), dtype=np.float32)

    def batches() -> Iterator[pa.RecordBatch]:
        for turn in range(turns):
            names = [f"{turn}-{row}" for row in range(1000)]
            array = {"": columns.dense_array(vectors)}
            yield columns.make(names, IdKind.STRING, vectors=array, documents=names, payloads=[b"{}"] * 1000)

    size_bytes = archive.write_part(0, columns.arrow_schema(fields), batches()).size_bytes
    before = pa.total_allocated_bytes()
    held = max(pa.total_allocated_bytes() - before for _ in archive.read_part(0, 1000))
    assert held < size_bytes / 2


def groups_of(archive: Archive, number: int) -> list[int]:
    """Rows of each row group of a part."""
    metadata = pq.ParquetFile(path_of(archive, f"parts/{number:05d}.parquet")).metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def test_every_float_leaf_is_byte_stream_split_and_nothing_but_kinds_has_a_dictionary(archive: Archive) -> None:
    """Parquet ignores a wrong path in silence: the encodings of the written file tell."""
    fields = [*KINDS_OF_VECTORS, VectorField("", dimension=2), VectorField("list.element", dimension=2)]
    vectors = {item.name: column_of(item, [some_vector(item)]) for item in fields}
    batch = columns.make(["1"], IdKind.UINT64, vectors=vectors, documents=["d"], payloads=[b"{}"])
    archive.write_part(0, columns.arrow_schema(fields), [batch])
    group = pq.ParquetFile(path_of(archive, "parts/00000.parquet")).metadata.row_group(0)
    leaves = [group.column(number) for number in range(group.num_columns)]
    floats = {leaf.path_in_schema for leaf in leaves if "BYTE_STREAM_SPLIT" in leaf.encodings}
    wanted = {path for path in (leaf.path_in_schema for leaf in leaves) if is_float_leaf(path)}
    assert floats == wanted
    assert len(floats) == 3 * 3 + 2
    dictionaries = {leaf.path_in_schema for leaf in leaves if "RLE_DICTIONARY" in leaf.encodings}
    assert dictionaries == {"id_kind"}
    assert {leaf.compression for leaf in leaves} == {"ZSTD"}
    assert {leaf.path_in_schema for leaf in leaves if leaf.is_stats_set} == {"id"}


def some_vector(item: VectorField) -> object:
    """One vector of a field."""
    if item.kind is VectorKind.SPARSE:
        return [1], [1]
    row = [1] * (item.dimension or 0)
    return row if item.kind is VectorKind.DENSE else [row]


def is_float_leaf(path: str) -> bool:
    """Whether a Parquet path of the test above holds floats."""
    return path.startswith("vector") and ".indices." not in path and "int8" not in path


def test_a_flipped_byte_anywhere_is_damage_or_changes_nothing(archive: Archive) -> None:
    """No flipped byte of a part makes it give other records: reading it raises, or gives the same rows."""
    batch = rows(0, 50)
    archive.write_part(0, TYPES, [batch])
    path = path_of(archive, "parts/00000.parquet")
    whole = path.read_bytes()
    seen = 0
    for position in range(0, len(whole), 5):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            found = [columns.drop_hashes(item) for item in archive.read_part(0, 100)]
        except ArchiveDamaged:
            seen += 1
        else:
            assert found == [batch]
    assert seen > len(whole) // 5 * 0.6


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_cut_part_is_damage(archive: Archive, kept: float) -> None:
    """A part that lost its end cannot be read."""
    receipt = archive.write_part(0, TYPES, [rows(0, 50)])
    path = path_of(archive, receipt.path)
    path.write_bytes(path.read_bytes()[: int(receipt.size_bytes * kept)])
    with pytest.raises(ArchiveDamaged, match=r"00000\.parquet"):
        list(archive.read_part(0))
    with pytest.raises(ArchiveDamaged, match="not there at its"):
        archive.confirm(receipt)


def test_a_record_that_does_not_have_its_hash_is_damage(archive: Archive) -> None:
    """A file that is sound as Parquet but holds another value is refused by the record's own hash."""
    receipt = archive.write_part(0, TYPES, [rows(0, 50)])
    path = path_of(archive, receipt.path)
    table = pq.read_table(path)
    changed = table.set_column(
        table.schema.get_field_index("payload"), table.schema.field("payload"), pa.array(["{}"] * 50)
    )
    footer = pq.read_metadata(path).metadata
    pq.write_table(changed.replace_schema_metadata(footer), path)
    with pytest.raises(ArchiveDamaged, match="the record 0 is not what was written"):
        list(archive.read_part(0))


def test_a_part_is_held_against_its_receipt(archive: Archive) -> None:
    """A file of the right size with one other byte is not the file of the receipt."""
    receipt = archive.write_part(0, TYPES, [rows(0, 50)])
    archive.confirm(receipt)
    path = path_of(archive, receipt.path)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArchiveDamaged, match="SHA-256"):
        archive.confirm(receipt)


def test_a_part_in_the_place_of_another_is_damage(archive: Archive) -> None:
    """A sound file under a wrong number is not taken for that slice."""
    archive.write_part(0, TYPES, [rows(0, 5)])
    archive.write_part(1, TYPES, [rows(5, 10)])
    path_of(archive, "parts/00001.parquet").rename(path_of(archive, "parts/00000.parquet"))
    with pytest.raises(ArchiveDamaged, match=r"it says that it is parts/00001\.parquet"):
        list(archive.read_part(0))


@pytest.mark.parametrize(
    "parts", [frozenset(), {Part.VECTORS}, {Part.DOCUMENT}, {Part.PAYLOAD, Part.VECTORS}, ALL_PARTS]
)
def test_only_the_wanted_parts_are_read_in_the_collections_schema(archive: Archive, parts: frozenset[Part]) -> None:
    """Any subset of the parts comes in the schema that the batch module states."""
    wanted = frozenset(parts)
    batch = sealing.seal(pa.concat_batches([rows(0, 20)]))
    archive.write_part(0, TYPES, [batch])
    found = next(archive.read_part(0, 20, wanted))
    fields = columns.fields_of(TYPES)
    assert found.schema == columns.arrow_schema(fields, wanted, sealed=True)
    assert found == batch.select(found.schema.names)


def test_vectors_with_names_like_parquet_paths_stay_apart(archive: Archive) -> None:
    """A vector named like a piece of another one's leaf path comes back as its own."""
    names = ["", "list", "list.element", "list.element.list", "a.b", "indices", "vector", "é", " ", "\0"]
    fields = [VectorField(name, dimension=2) for name in names]
    vectors = {
        name: column_of(field, [[float(turn), 0.5]])
        for turn, (name, field) in enumerate(zip(names, fields, strict=True))
    }
    batch = columns.make(["1"], IdKind.STRING, vectors=vectors, documents=[None], payloads=[b"{}"])
    archive.write_part(0, columns.arrow_schema(fields), [batch])
    for parts in (ALL_PARTS, frozenset({Part.VECTORS})):
        found = next(archive.read_part(0, 10, parts))
        assert [columns.dense_column(found, name).values[0, 0] for name in names] == list(range(len(names)))


def test_kinds_of_ids_are_kept_whatever_dictionary_a_driver_made(archive: Archive) -> None:
    """A driver's own dictionary of kinds gives the same bytes as ours."""
    kinds = [IdKind.STRING, IdKind.UINT64, IdKind.STRING]
    own = pa.array([kind.value for kind in kinds]).dictionary_encode()
    batches = [columns.make(["a", "1", "b"], kind, documents=[None] * 3, payloads=[b"{}"] * 3) for kind in (kinds, own)]
    one, other = (archive.write_part(0, columns.arrow_schema(()), [batch]) for batch in batches)
    assert one == other
    assert columns.id_kinds(next(archive.read_part(0))) == kinds


def test_an_empty_slice_gives_a_part_without_rows(archive: Archive) -> None:
    """No records is a part as well: it says so."""
    receipt = archive.write_part(0, TYPES, [])
    assert (receipt.rows, receipt.digest, receipt.id_min) == (0, str(Digest()), None)
    assert sum(batch.num_rows for batch in archive.read_part(0)) == 0


def test_a_receipt_tells_the_borders_of_the_ids_by_their_bytes(archive: Archive) -> None:
    """The smallest and the largest id are by UTF-8 bytes, over all row groups."""
    names = ["b", "é", "a", "Z", "\U0001f6a2", "\uffff"]
    batch = columns.make(names, IdKind.STRING, documents=[None] * 6, payloads=[b"{}"] * 6)
    receipt = archive.write_part(0, columns.arrow_schema(()), [batch])
    assert (receipt.id_min, receipt.id_max) == ("Z", "\U0001f6a2")


@pytest.mark.parametrize(("first", "second"), [(5, 5), (0, 20_000)], ids=["one batch", "row groups apart"])
def test_an_id_that_comes_twice_is_named_and_nothing_is_written(archive: Archive, first: int, second: int) -> None:
    """Duplicate ids in one slice are a bad record, wherever they stand."""
    batches = [rows(0, 20_000), rows(20_000, 20_100)] if second > first else [rows(0, 10)]
    again = rows(first, first + 1, seed=1)
    with pytest.raises(BadRecord, match=f"the id {first} comes twice"):
        archive.write_part(0, TYPES, [*batches, again])
    assert archive.storage.files().keys() == {"plan.json"}


def test_the_same_text_under_two_kinds_is_two_ids(archive: Archive) -> None:
    """`12` the number and `12` the text do not clash."""
    kinds = [IdKind.UINT64, IdKind.STRING, IdKind.INT64]
    batch = columns.make(["12"] * 3, kinds, documents=[None] * 3, payloads=[b"{}"] * 3)
    assert archive.write_part(0, columns.arrow_schema(()), [batch]).rows == 3


def test_a_batch_that_does_not_fit_the_schema_is_refused(archive: Archive) -> None:
    """Another dimension, a missing or an unknown column, a null payload: none is written or dropped in silence."""
    good = rows(0, 2)
    wrong_dimension = columns.make(
        ["7"],
        IdKind.UINT64,
        vectors={"": columns.dense_array(np.zeros((1, 3), np.float32))},
        documents=[None],
        payloads=[b"{}"],
    )
    null_payload = pa.RecordBatch.from_arrays([*good.columns[:-1], pa.array(["{}", None])], names=good.schema.names)
    cases = {
        r"float>\[3\], the collection as": wrong_dimension,
        "lacks the column 'document'": good.drop_columns(["document"]),
        "column 'other'": good.append_column("other", pa.array([1, 2])),
        "the payload of '1' is null": null_payload,
    }
    for message, batch in cases.items():
        with pytest.raises(BadRecord, match=message):
            archive.write_part(0, TYPES, [batch])
    assert archive.storage.files().keys() == {"plan.json"}


def test_a_source_that_fails_half_way_leaves_the_part_as_it_was(archive: Archive) -> None:
    """An error of the source passes through unchanged and nothing half-written is seen."""
    before = archive.write_part(0, TYPES, [rows(0, 5)])

    def failing() -> Iterator[pa.RecordBatch]:
        yield rows(0, 15_000)
        raise RetryLater("the source went away")

    with pytest.raises(RetryLater, match="went away"):
        archive.write_part(0, TYPES, failing())
    archive.confirm(before)
    assert [path.name for path in path_of(archive, "parts").iterdir()] == ["00000.parquet"]


def test_hashes_come_back_with_target_ids_and_what_was_not_found(archive: Archive) -> None:
    """A hashes file tells both ids and both hashes of each record, and which were not in the target."""
    sealed = sealing.seal(rows(0, 4))
    targets = columns.ids_batch([*columns.record_ids(rows(10, 14))])
    source = columns.stored_hashes(sealed)
    target = source[::-1].copy()
    found = np.array([True, False, True, True])
    receipt = archive.write_hashes(3, [HashRows(sealed, targets, source, target, found)])
    back = archive.read_hashes(3)
    assert (len(back), receipt.path, receipt.digest) == (4, "hashes/00003.parquet", str(sealing.digest(sealed)))
    assert columns.record_ids(back.ids()) == columns.record_ids(sealed)
    assert (back.id_hashes() == sealing.hash_ids(sealed)).all()
    assert (back.source_hashes() == source).all()
    assert columns.id_texts(back.target_ids()).to_pylist() == ["10", "12", "13"]
    assert (back.target_id_hashes() == sealing.hash_ids(targets)[found]).all()
    assert (back.target_hashes() == target[found]).all()


def test_hashes_that_were_never_written_are_damage_not_an_empty_answer(archive: Archive) -> None:
    """A missing hashes file is named."""
    with pytest.raises(ArchiveDamaged, match=r"hashes/00000\.parquet"):
        archive.read_hashes(0)


def test_a_null_inside_a_vector_is_refused(archive: Archive) -> None:
    """A vector with a hole is not a vector."""
    good = rows(0, 1)
    holed = pa.array([[1.0, None, 3.0, 4.0]], pa.list_(pa.float32(), 4))
    batch = good.set_column(good.schema.get_field_index("vector"), "vector", holed)
    with pytest.raises(BadRecord, match="null"):
        archive.write_part(0, TYPES, [batch])


def test_all_golden_vector_kinds_are_in_this_test(archive: Archive) -> None:
    """The generator of the property tests knows every kind and type of vector that the golden archive has."""
    assert {(item.kind, item.dtype) for item in VECTORS} <= {(item.kind, item.dtype) for item in KINDS_OF_VECTORS}
    assert pc.all(pa.array([dtype in {item.dtype for item in KINDS_OF_VECTORS} for dtype in DType])).as_py()
