"""The half of the conformance suite that writes: everything that a target must do, looked at behind its back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address
from vecferry.contract import Reader, Source, Target
from vecferry.errors import DataError, NotFound, TargetNotEmpty, VecferryError
from vecferry.model import CollectionSchema, IdKind, JsonObject, Metric, RecordId, VectorField
from vecferry.stores import registry
from vecferry.testing import generators
from vecferry.testing.limits_suite import LimitsConformance
from vecferry.testing.rows import RawRow, read_all, rows_of, unit
from vecferry.testing.source_suite import Place, SourceConformance

__all__ = ["TargetConformance"]

ROWS = 60
MARK: JsonObject = {"migration": "m-1", "mapping": {"ids": {"mode": "uuid5", "list": [1, 2.5, None, True]}}, "ü": "名"}


class TargetBase(SourceConformance):
    """The fixtures of a store that is written."""

    slices_outlive_writes: ClassVar[bool] = True
    """False for stores of files: there a slice of a file that changed since is a DataError."""

    def open_target(self, address: Address, reader: Reader = Reader.FAST) -> Target:
        """Open for writing; a store outside the registry overrides it."""
        return registry.open_target(address, reader)

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        """What the engine's own client sees, by the text of the id."""
        raise NotImplementedError("a store's test gives `raw_rows`: a look at the collection with the raw client")

    @pytest.fixture
    def target(self, address: Address) -> Iterator[Target]:
        """The target, not created yet."""
        with self.open_target(address) as opened:
            yield opened

    def create(
        self, target: Target, vectors: tuple[VectorField, ...] | None = None, name: str = "records"
    ) -> CollectionSchema:
        """Create the collection with the plainest vectors, or with these."""
        claimed = target.capabilities()
        schema = generators.collection_schema(name, vectors or generators.single_vector(claimed), claimed)
        target.create(schema, MARK)
        return schema

    def fill(self, target: Target, rows: int = ROWS, seed: int = 0) -> pa.RecordBatch:
        """Create the collection with the plainest vectors and write generated records."""
        schema = self.create(target)
        batch = generators.records(schema.vectors, target.capabilities(), rows, seed)
        with target.bulk_load():
            target.write(batch)
        return batch

    @pytest.fixture
    def expected(self, address: Address) -> pa.RecordBatch:
        """A collection with everything that the store claims to hold, written through it."""
        with self.open_target(address) as target:
            schema = self.create(target, generators.rich_vectors(target.capabilities()))
            batch = generators.records(schema.vectors, target.capabilities(), ROWS)
            with target.bulk_load():
                target.write(batch)
            return batch


class TargetConformance(LimitsConformance, TargetBase):
    """What every store must do that can be written. Subclass it, give `place` and `raw_rows`."""

    # Creating and dropping

    def test_opening_a_target_creates_nothing(self, target: Target, address: Address) -> None:
        """Opening, asking and reading leave an absent target absent; reading it is NotFound."""
        assert not target.exists()
        for ask in (target.describe, target.count, lambda: target.slices(2)):
            with pytest.raises(NotFound):
                ask()
        target.close()
        with self.open_target(address) as again:
            assert not again.exists()

    def test_opening_an_absent_source_creates_nothing(self, address: Address) -> None:
        """Opening a source that is not there raises NotFound and does not make it."""
        with pytest.raises(NotFound), self.open_source(address) as opened:
            opened.describe()
        with self.open_target(address) as target:
            assert not target.exists()

    def test_create_makes_an_empty_collection(self, target: Target, address: Address) -> None:
        """After `create` the collection is there and empty, and says its vectors, metric and mark, reopened too."""
        wanted = self.create(target)
        target.close()
        with self.open_target(address) as again:
            assert again.exists()
            assert again.count() == 0
            assert read_all(again, slices=3) == {}
            found = again.describe()
        assert found.vectors == wanted.vectors
        assert found.mark == MARK

    def test_an_empty_load_leaves_an_empty_collection(self, target: Target, address: Address) -> None:
        """A load without a record ends with an empty collection that can be read and fetched from."""
        self.create(target)
        with target.bulk_load():
            pass
        target.close()
        with self.open_source(address) as source:
            assert source.count() == 0
            assert read_all(source) == {}
            assert source.fetch(batches.ids_batch([RecordId(IdKind.UINT64, "1")])).num_rows == 0

    def test_create_refuses_what_exists(self, target: Target) -> None:
        """`create` on an existing collection raises TargetNotEmpty and changes nothing."""
        written = self.fill(target)
        with pytest.raises(TargetNotEmpty):
            self.create(target)
        assert read_all(target) == rows_of([written])

    def test_rich_vectors_are_described(self, target: Target, address: Address) -> None:
        """Every named vector's kind, dtype, dimension and metric is kept by the collection."""
        wanted = self.create(target, generators.rich_vectors(target.capabilities()))
        target.close()
        with self.open_source(address) as source:
            assert set(source.describe().vectors) == set(wanted.vectors)

    def test_drop_removes_everything(self, target: Target, address: Address) -> None:
        """After `drop` nothing is there; dropping again does nothing; the name can be used anew."""
        self.fill(target)
        target.drop()
        assert not target.exists()
        target.drop()
        again = self.fill(target, rows=3)
        assert read_all(target) == rows_of([again])
        assert target.describe().mark == MARK

    def test_drop_removes_an_unfinished_load(self, target: Target, address: Address) -> None:
        """Records of a load that was never finished do not come back after `drop`."""
        schema = self.create(target)
        target.begin_load()
        target.write(generators.records(schema.vectors, target.capabilities(), 5))
        target.close()
        with self.open_target(address) as again:
            again.drop()
            assert not again.exists()
            self.create(again)
            with again.bulk_load():
                pass
            assert again.count() == 0

    def test_names_may_be_any_text(self, place: Place) -> None:
        """A collection whose name needs percent-encoding is created, found and dropped; a like name is another."""
        first, second = place("ünïcödé 名前 & co"), place("unicode")
        with self.open_target(first) as one, self.open_target(second) as two:
            written = self.fill(one, rows=4)
            assert not two.exists()
            assert read_all(one) == rows_of([written])
            one.drop()
            assert not one.exists()

    # Writing

    def test_the_raw_client_sees_what_was_written(self, target: Target, address: Address) -> None:
        """Behind the store's back every id, vector, payload and document is what was written."""
        written = self.fill(target)
        target.close()
        found = self.raw_rows(address)
        dense = batches.dense_column(written)
        vectors = dense.full()
        assert set(found) == {item.text for item in batches.record_ids(written)}
        texts, documents = batches.payloads(written), batches.documents_list(written)
        for at, item in enumerate(batches.record_ids(written)):
            row = found[item.text]
            present = dense.present is None or dense.present[at]
            assert (row.vector is not None) == present, item
            assert not present or np.array_equal(np.asarray(row.vector, dtype=vectors.dtype), vectors[at]), item
            assert canonical.encode(row.payload) == texts[at], item
            assert row.document == documents[at], item

    def test_a_write_is_idempotent(self, target: Target, address: Address) -> None:
        """Writing the same batch again, in another load, changes nothing."""
        written = self.fill(target)
        with target.bulk_load():
            target.write(written)
        target.close()
        with self.open_source(address) as source:
            assert source.count() == written.num_rows
            assert read_all(source) == rows_of([written])

    def test_a_write_replaces_the_whole_record(self, target: Target, address: Address) -> None:
        """The newest write of an id wins, in one load and in the next, and no key or document of an old one stays."""
        schema = self.create(target)
        claimed = target.capabilities()
        first = generators.records(schema.vectors, claimed, 20, seed=1)
        newer = generators.records(schema.vectors, claimed, 20, seed=2)
        newest = _emptied(generators.records(schema.vectors, claimed, 10, seed=3))
        with target.bulk_load():
            target.write(first)
            target.write(newer)
        assert read_all(target) == rows_of([newer])
        with target.bulk_load():
            target.write(newest)
        target.close()
        with self.open_source(address) as source:
            assert read_all(source) == rows_of([newer]) | rows_of([newest])

    def test_a_write_without_a_load_is_applied(self, target: Target, address: Address) -> None:
        """`write` outside a load is seen by a fresh handle at once."""
        schema = self.create(target)
        written = generators.records(schema.vectors, target.capabilities(), 12)
        target.write(written.slice(0, 5))
        target.write(written.slice(5))
        assert target.count() == 12
        target.close()
        with self.open_source(address) as source:
            assert read_all(source) == rows_of([written])

    def test_slices_of_batches_are_written_as_they_are(self, target: Target) -> None:
        """A batch that is a window on a larger one writes its own rows only."""
        schema = self.create(target)
        whole = generators.records(schema.vectors, target.capabilities(), 30)
        with target.bulk_load():
            target.write(whole.slice(7, 9))
        assert read_all(target) == rows_of([whole.slice(7, 9)])

    def test_loads_may_begin_and_end_twice(self, target: Target) -> None:
        """`begin_load` and `finish_load` may be called again, after a crash too, and lose nothing."""
        schema = self.create(target)
        written = generators.records(schema.vectors, target.capabilities(), 20)
        target.begin_load()
        target.write(written.slice(0, 10))
        target.begin_load()
        target.write(written.slice(10))
        target.finish_load()
        target.finish_load()
        assert read_all(target) == rows_of([written])

    def test_a_load_goes_on_with_another_handle(self, target: Target, address: Address) -> None:
        """What a handle wrote before it went away in the middle of a load is there once another has finished it."""
        schema = self.create(target)
        written = generators.records(schema.vectors, target.capabilities(), 20)
        target.begin_load()
        target.write(written.slice(0, 10))
        target.close()
        with self.open_target(address) as again:
            again.begin_load()
            again.write(written.slice(5))
            again.finish_load()
        with self.open_source(address) as source:
            assert read_all(source) == rows_of([written])

    def test_several_threads_write(self, target: Target, address: Address) -> None:
        """As many threads as the capabilities allow write at once, and every record arrives."""
        schema = self.create(target)
        written = generators.records(schema.vectors, target.capabilities(), 90)
        with target.bulk_load(), ThreadPoolExecutor(target.capabilities().parallel_writes) as pool:
            list(pool.map(lambda start: target.write(written.slice(start, 9)), range(0, 90, 9)))
        target.close()
        with self.open_source(address) as source:
            assert read_all(source) == rows_of([written])

    def test_a_batch_of_any_size_is_cut_by_the_store(self, target: Target, address: Address) -> None:
        """A batch beyond the store's own limits arrives whole."""
        schema = self.create(target)
        claimed = target.capabilities()
        rows = claimed.max_batch_rows + 1 if claimed.max_batch_rows <= 6000 else 2000
        written = _emptied(generators.records(schema.vectors, claimed, rows))
        with target.bulk_load():
            target.write(written)
        target.close()
        with self.open_source(address) as source:
            assert source.count() == rows
            assert read_all(source, slices=3) == rows_of([written])

    def test_an_empty_batch_writes_nothing(self, target: Target) -> None:
        """A batch without rows is fine."""
        schema = self.create(target)
        target.write(batches.empty(schema.vectors))
        assert target.count() == 0

    # Deleting

    def test_delete_removes_the_ids_given(self, target: Target, address: Address) -> None:
        """Deleted ids are gone, the others stay; absent ids, and ids of kinds that it cannot hold, are ignored."""
        written = self.fill(target)
        ids = batches.record_ids(written)
        absent = [RecordId(kind, text) for kind, text in ((IdKind.STRING, "none"), (IdKind.UINT64, "424242"))]
        target.delete(batches.ids_batch(ids[::2] + absent))
        assert target.count() == len(ids[1::2])
        target.close()
        with self.open_source(address) as source:
            everything = rows_of([written])
            assert read_all(source) == {key: everything[key] for key in ids[1::2]}
            assert source.fetch(batches.ids_batch(ids[:4])).num_rows == 2

    def test_a_deleted_id_may_be_written_again(self, target: Target) -> None:
        """A record that was deleted and written again is the new one."""
        written = self.fill(target, rows=45)
        target.delete(batches.ids_batch(batches.record_ids(written)))
        assert target.count() == 0
        target.write(written.slice(3, 4))
        assert read_all(target) == rows_of([written.slice(3, 4)])

    # Slices and writes

    def test_slices_stay_what_they_are_after_writes(self, target: Target) -> None:
        """Old slices still give each record of now once; of a changed file they are a DataError instead."""
        written = self.fill(target)
        slices = target.slices(4)
        more = generators.records(target.describe().vectors, target.capabilities(), ROWS + 30)
        target.write(more)
        target.delete(batches.ids_batch(batches.record_ids(written)[:7]))
        if not self.slices_outlive_writes:
            with pytest.raises(DataError):
                list(target.read(slices[0]))
            return
        found = [b for part in slices for b in target.read(part)]
        assert set(rows_of(found)) == set(batches.record_ids(more)) - set(batches.record_ids(written)[:7])

    # Metrics

    @pytest.mark.parametrize("metric", Metric)
    def test_each_metric_is_kept_or_refused(self, target: Target, address: Address, metric: Metric) -> None:
        """A metric that the store claims is described as such and keeps the vectors; any other is refused."""
        claimed = target.capabilities()
        vectors = generators.single_vector(claimed, metric=metric)
        if metric not in claimed.vectors.metrics:
            with pytest.raises(VecferryError):
                self.create(target, vectors)
            assert not target.exists()
            return
        schema = self.create(target, vectors)
        written = generators.records(schema.vectors, claimed, 30)
        target.write(written)
        target.close()
        with self.open_source(address) as source:
            assert source.describe().vectors == vectors
            _same_vectors(source, written, metric)


def _same_vectors(source: Source, written: pa.RecordBatch, metric: Metric) -> None:
    """The vectors are what was written, or their unit vectors where the store normalises under this metric."""
    support = source.capabilities().vectors
    found = source.fetch(written.select([batches.ID, batches.ID_KIND]))
    place = {item: at for at, item in enumerate(batches.record_ids(found))}
    back = batches.dense_column(found).full()[[place[item] for item in batches.record_ids(written)]]
    wanted = batches.dense_column(written).full()
    if metric not in support.normalises | support.distorts:
        assert back.tobytes() == wanted.tobytes()
        return
    expected = unit(wanted) if metric in support.normalises else wanted
    assert np.allclose(back, expected, rtol=4e-6, atol=1e-7)


def _emptied(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with empty payloads and no documents."""
    vectors = {name: batch.column(batches.column_name(name)) for name in batches.vector_names(batch)}
    rows = batch.num_rows
    return batches.make(
        batch.column(batches.ID),
        batch.column(batches.ID_KIND),
        vectors=vectors,
        documents=[None] * rows,
        payloads=[b"{}"] * rows,
    )
