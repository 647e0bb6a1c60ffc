"""The half of the conformance suite that only reads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from vecferry import batch as batches
from vecferry.address import Address
from vecferry.contract import Reader, Source
from vecferry.errors import NotFound
from vecferry.model import ALL_PARTS, IDS_ONLY, IdKind, Part, RecordId, Slice
from vecferry.stores import registry
from vecferry.testing.rows import Row, read_all, rows_of

__all__ = ["Place", "SourceConformance"]

Place = Callable[[str], Address]
"""Gives the address of a collection by its name; the place is fresh for every test."""

_SUBSETS = [frozenset(found) for size in range(4) for found in itertools.combinations(Part, size)]


def subset_name(parts: frozenset[Part]) -> str:
    return "+".join(sorted(parts)) or "ids only"


def narrowed(row: Row, parts: frozenset[Part]) -> Row:
    """The row as a read of these parts alone should show it."""
    return Row(
        row.vectors if Part.VECTORS in parts else {},
        row.document if Part.DOCUMENT in parts else None,
        row.payload if Part.PAYLOAD in parts else None,
    )


class SourceConformance:
    """What every store must do that can be read. Subclass it, give `place` and `expected`."""

    @pytest.fixture
    def place(self) -> Place:
        """Give the function that makes fresh addresses."""
        raise NotImplementedError("a store's test gives a fixture `place`: collection name -> Address")

    @pytest.fixture
    def address(self, place: Place) -> Address:
        """Where this test's collection is."""
        return place("records")

    @pytest.fixture
    def expected(self, address: Address) -> pa.RecordBatch:
        """Make the collection at `address` and give all of its records, at least 40, in one batch."""
        raise NotImplementedError("a store's test gives a fixture `expected`: it makes the collection")

    def open_source(self, address: Address, reader: Reader = Reader.FAST) -> Source:
        """Open for reading; a store outside the registry overrides it."""
        return registry.open_source(address, reader)

    @pytest.fixture
    def source(self, address: Address, expected: pa.RecordBatch) -> Iterator[Source]:
        """The collection, opened for reading."""
        assert expected.num_rows >= 40, "the suite needs some rows to cut into slices"
        with self.open_source(address) as opened:
            yield opened

    # Describing

    def test_a_missing_collection_is_not_found(self, place: Place) -> None:
        """Opening or describing what is not there raises NotFound, by either reader."""
        for reader in Reader:
            with pytest.raises(NotFound), self.open_source(place("nothing here"), reader) as opened:
                opened.describe()

    def test_the_count_is_exact(self, source: Source, expected: pa.RecordBatch) -> None:
        """`count()` is the number of records."""
        assert source.count() == expected.num_rows

    def test_the_schema_names_every_vector(self, source: Source, expected: pa.RecordBatch) -> None:
        """`describe()` gives each vector's name, kind, dtype and dimension, and only kinds of ids that it may hold."""
        schema = source.describe()
        found = {(v.name, v.kind, v.dtype, v.dimension) for v in schema.vectors}
        assert found == {(v.name, v.kind, v.dtype, v.dimension) for v in batches.fields_of(expected.schema)}
        assert {IdKind(kind) for kind in batches.id_kinds(expected)} <= schema.id_kinds
        documents = expected.column(batches.DOCUMENT)
        assert schema.has_document or documents.null_count == len(documents)

    def test_the_url_names_the_store(self, source: Source, address: Address) -> None:
        """`url` is the address that messages show."""
        assert source.url == str(address)

    # Reading

    def test_reading_gives_every_record_bit_for_bit(self, source: Source, expected: pa.RecordBatch) -> None:
        """All ids, vectors, documents and payloads come back as they were stored."""
        assert read_all(source) == rows_of([expected])

    def test_the_public_reader_gives_the_same(self, source: Source, address: Address, expected: pa.RecordBatch) -> None:
        """The slow public path shows the same records as the fast one."""
        source.close()
        with self.open_source(address, Reader.PUBLIC) as public:
            assert read_all(public) == rows_of([expected])

    def test_reading_again_gives_the_same_bits(
        self, source: Source, address: Address, expected: pa.RecordBatch
    ) -> None:
        """A read after closing and opening again gives what the first read gave."""
        first = read_all(source)
        source.close()
        with self.open_source(address) as again:
            assert read_all(again) == first

    def test_only_the_wanted_parts_are_read(self, source: Source, expected: pa.RecordBatch) -> None:
        """Every subset of the parts gives the ids and those parts, in the schema that the contract fixes."""
        whole = rows_of([expected])
        for parts in _SUBSETS:
            schema = batches.arrow_schema(source.describe().vectors, parts)
            found = [batch for part in source.slices(2) for batch in source.read(part, parts)]
            assert found, subset_name(parts)
            assert all(batch.schema.equals(schema) for batch in found), (subset_name(parts), found[0].schema)
            assert rows_of(found) == {key: narrowed(row, parts) for key, row in whole.items()}, subset_name(parts)

    def test_batches_keep_to_their_limit(self, source: Source, expected: pa.RecordBatch) -> None:
        """No batch is empty or larger than asked for, and together they are complete."""
        for batch_rows in (1, 7, 1000):
            found = [b for part in source.slices(2) for b in source.read(part, batch_rows=batch_rows)]
            assert all(0 < batch.num_rows <= batch_rows for batch in found), batch_rows
            assert rows_of(found) == rows_of([expected]), batch_rows

    # Slices

    def test_slices_are_disjoint_and_complete(self, source: Source, expected: pa.RecordBatch) -> None:
        """Slices are numbered from 0, and every record is in exactly one."""
        for wanted in (1, 2, 5, 1000):
            slices = source.slices(wanted)
            assert [part.number for part in slices] == list(range(len(slices))), wanted
            assert set(read_all(source, IDS_ONLY, slices=wanted)) == set(batches.record_ids(expected)), wanted

    def test_several_slices_share_the_work(self, source: Source, expected: pa.RecordBatch) -> None:
        """Of five slices of 40 rows or more, at least two hold something."""
        sizes = [sum(b.num_rows for b in source.read(part, IDS_ONLY)) for part in source.slices(5)]
        assert sum(size > 0 for size in sizes) >= 2

    def test_slices_are_plain_data(self, source: Source, address: Address, expected: pa.RecordBatch) -> None:
        """A slice that went through JSON reads the same records with another handle."""
        import orjson

        stored = orjson.dumps([[part.number, dict(part.bounds), part.rows] for part in source.slices(3)])
        source.close()
        slices = [Slice(number, bounds, rows) for number, bounds, rows in orjson.loads(stored)]
        with self.open_source(address) as again:
            assert rows_of(b for part in slices for b in again.read(part)) == rows_of([expected])

    def test_rows_of_a_slice_are_right_where_given(self, source: Source, expected: pa.RecordBatch) -> None:
        """A slice that states its number of rows holds that many."""
        for part in source.slices(4):
            read = sum(batch.num_rows for batch in source.read(part, IDS_ONLY))
            assert part.rows is None or part.rows == read

    def test_slices_are_read_by_several_threads(self, source: Source, expected: pa.RecordBatch) -> None:
        """As many threads as the capabilities allow read at once and get what one would."""
        slices = source.slices(6)
        with ThreadPoolExecutor(source.capabilities().parallel_reads) as pool:
            found = list(pool.map(lambda part: list(source.read(part, batch_rows=5)), slices))
        assert rows_of(itertools.chain.from_iterable(found)) == rows_of([expected])

    # Fetching

    def test_fetch_gives_the_records_asked_for(self, source: Source, expected: pa.RecordBatch) -> None:
        """`fetch` gives exactly the ids asked for, whole, in the order that it likes."""
        wanted = batches.record_ids(expected)[::3][::-1]
        everything = rows_of([expected])
        assert rows_of([source.fetch(batches.ids_batch(wanted))]) == {key: everything[key] for key in wanted}

    def test_fetch_gives_only_the_wanted_parts(self, source: Source, expected: pa.RecordBatch) -> None:
        """`fetch` has the same schema as `read` for every subset of the parts."""
        wanted, everything = batches.record_ids(expected)[1:6], rows_of([expected])
        for parts in _SUBSETS:
            found = source.fetch(batches.ids_batch(wanted), parts)
            schema = batches.arrow_schema(source.describe().vectors, parts)
            assert found.schema.equals(schema), (subset_name(parts), found.schema)
            assert rows_of([found]) == {key: narrowed(everything[key], parts) for key in wanted}, subset_name(parts)

    def test_fetch_leaves_absent_ids_out(self, source: Source, expected: pa.RecordBatch) -> None:
        """Ids that are not there are left out: unknown ones, and ones of another kind with the same text."""
        present = batches.record_ids(expected)[4]
        others = [RecordId(kind, present.text) for kind in IdKind if kind is not present.kind]
        absent = [item for item in others if item not in set(batches.record_ids(expected))]
        absent += [
            RecordId(IdKind.UINT64, "987654321987"),
            RecordId(IdKind.INT64, "-987654321987"),
            RecordId(IdKind.UUID, "ffffffff-ffff-4fff-8fff-ffffffffffff"),
            RecordId(IdKind.STRING, "no such id"),
        ]
        assert set(rows_of([source.fetch(batches.ids_batch([*absent, present]))])) == {present}
        assert source.fetch(batches.ids_batch(absent)).num_rows == 0

    def test_fetch_of_nothing_is_empty(self, source: Source) -> None:
        """No ids give a batch without rows, in the usual schema."""
        found = source.fetch(batches.ids_batch([]))
        assert found.num_rows == 0
        assert found.schema.equals(batches.arrow_schema(source.describe().vectors, ALL_PARTS))

    # Manners

    def test_reading_changes_nothing(self, source: Source, address: Address, expected: pa.RecordBatch) -> None:
        """The fingerprint of a store of files is the same after everything was read."""
        before = source.fingerprint()
        read_all(source)
        source.fetch(batches.ids_batch(batches.record_ids(expected)[:3]))
        source.close()
        with self.open_source(address) as again:
            assert again.fingerprint() == before

    def test_closing_twice_is_fine(self, source: Source) -> None:
        """`close()` may be called again."""
        source.close()
        source.close()

    def test_capabilities_agree_with_the_records(self, source: Source, expected: pa.RecordBatch) -> None:
        """The store claims to hold what it holds."""
        claimed = source.capabilities()
        assert {IdKind(kind) for kind in batches.id_kinds(expected)} <= claimed.id_kinds
        fields = batches.fields_of(expected.schema)
        assert {field.kind for field in fields} <= claimed.vectors.kinds
        assert {field.dtype for field in fields} <= claimed.vectors.dtypes
        assert claimed.parallel_reads >= 1
        assert claimed.max_batch_rows >= 1
