"""What a store claims to hold, value by value; what it does not claim must be refused or held all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address
from vecferry.capabilities import Capabilities, PayloadSupport, PayloadType
from vecferry.contract import Target
from vecferry.errors import BadRecord, StoreRefused, VecferryError
from vecferry.model import DType, IdKind, RecordId, VectorField, VectorKind
from vecferry.testing import generators
from vecferry.testing.rows import read_all, rows_of

if TYPE_CHECKING:
    from vecferry.testing.target_suite import TargetBase
else:
    TargetBase = object

__all__ = ["LimitsConformance"]

_REFUSALS = (BadRecord, StoreRefused)
_EXAMPLES = generators.payload_examples(PayloadSupport())
_IDS = {
    IdKind.UINT64: ["0", "1", "9223372036854775808", "18446744073709551615"],
    IdKind.INT64: ["-1", "7", "-9223372036854775808", "9223372036854775807"],
    IdKind.UUID: ["00000000-0000-0000-0000-000000000000", "7d444840-9dc0-11d1-b245-5ffdce74fad2"],
    IdKind.STRING: ["12", "one", "7d444840-9dc0-11d1-b245-5ffdce74fad2"],
}


class LimitsConformance(TargetBase):
    """Ids, vectors and payloads at their borders."""

    refused_ids: ClassVar[frozenset[str]] = frozenset()
    """String ids of the hostile list that the engine will not take; asserted to be refused."""

    altered_types: ClassVar[frozenset[PayloadType]] = frozenset()
    """Payload types that the store does not claim and that the engine changes in silence; asserted to be changed."""

    # Ids

    @pytest.mark.parametrize("kind", IdKind)
    def test_each_kind_of_id_is_kept_or_refused(self, target: Target, kind: IdKind) -> None:
        """Ids of a claimed kind come back with their kind and text; of any other kind they are refused."""
        schema = self.create(target)
        ids = [RecordId(kind, text) for text in _IDS[kind]]
        batch = generators.records(schema.vectors, target.capabilities(), len(ids), ids=ids)
        if kind not in target.capabilities().id_kinds:
            with pytest.raises(_REFUSALS):
                target.write(batch)
            assert target.fetch(batches.ids_batch(ids)).num_rows == 0
            return
        target.write(batch)
        assert read_all(target) == rows_of([batch])
        assert rows_of([target.fetch(batches.ids_batch(ids))]) == rows_of([batch])
        target.delete(batches.ids_batch(ids[:1]))
        assert set(read_all(target)) == set(ids[1:])

    def test_ids_that_look_alike_are_different(self, target: Target) -> None:
        """`12` and `"12"`, a UUID and its text, are two records wherever the store has both kinds."""
        schema = self.create(target)
        twins = [(IdKind.UINT64, "12"), (IdKind.INT64, "12"), (IdKind.STRING, "12")]
        twins += [(kind, "7d444840-9dc0-11d1-b245-5ffdce74fad2") for kind in (IdKind.UUID, IdKind.STRING)]
        ids = [RecordId(kind, text) for kind, text in twins if kind in target.capabilities().id_kinds]
        batch = generators.records(schema.vectors, target.capabilities(), len(ids), ids=ids)
        target.write(batch)
        assert read_all(target) == rows_of([batch])

    def test_hostile_string_ids_are_kept(self, target: Target, address: Address) -> None:
        """Ids that look like numbers, paths, SQL or markup are plain text; known refusals are refused."""
        schema = self.create(target)
        claimed = target.capabilities()
        ids = generators.hostile_ids(claimed, self.refused_ids)
        batch = generators.records(schema.vectors, claimed, len(ids), ids=ids)
        target.write(batch)
        assert rows_of([target.fetch(batches.ids_batch(ids))]) == rows_of([batch])
        for text in self.refused_ids | ({""} if IdKind.STRING in claimed.id_kinds and not claimed.empty_id else set()):
            refused = [RecordId(IdKind.STRING, text)]
            with pytest.raises(_REFUSALS):
                target.write(generators.records(schema.vectors, claimed, 1, ids=refused))
        target.close()
        with self.open_source(address) as source:
            assert read_all(source) == rows_of([batch])

    # Vectors

    @pytest.mark.parametrize("dtype", DType)
    @pytest.mark.parametrize("kind", VectorKind)
    def test_each_kind_and_dtype_is_kept_or_refused(self, target: Target, kind: VectorKind, dtype: DType) -> None:
        """Vectors of a claimed kind and dtype keep their bits; a kind or dtype that is not claimed is refused."""
        claimed = target.capabilities()
        dimension = None if kind is VectorKind.SPARSE else 6
        name = "named" if claimed.vectors.named else ""
        field = VectorField(name, kind, dtype, dimension, generators.plain_metric(claimed))
        batch = generators.records((field,), _without_missing(claimed), 12)
        if kind in claimed.vectors.kinds and dtype in claimed.vectors.dtypes and kind is VectorKind.DENSE:
            self.create(target, (field,))
            target.write(batch)
            assert read_all(target) == rows_of([batch])
        elif kind not in claimed.vectors.kinds or dtype not in claimed.vectors.dtypes:
            with pytest.raises(VecferryError):
                self._create_and_write(target, field, batch)

    def test_a_wrong_dimension_is_refused(self, target: Target) -> None:
        """A batch of another dimension is refused, naming the store, and nothing of it is stored."""
        schema = self.create(target)
        wrong = (replace(schema.vectors[0], dimension=(schema.vectors[0].dimension or 0) + 1),)
        with pytest.raises(_REFUSALS):
            target.write(generators.records(wrong, target.capabilities(), 5))
        assert target.count() == 0

    def test_an_unknown_vector_name_is_refused(self, target: Target) -> None:
        """A batch with a vector that the collection does not have is refused."""
        schema = self.create(target)
        other = replace(schema.vectors[0], name="unknown")
        with pytest.raises(_REFUSALS):
            target.write(generators.records((other,), _without_missing(target.capabilities()), 5))

    def test_a_missing_vector_is_kept_or_refused(self, target: Target) -> None:
        """Where the store claims it, a record may lack its vector; elsewhere that is refused, never a row of zeros."""
        schema = self.create(target)
        claimed = target.capabilities()
        whole = generators.records(schema.vectors, _without_missing(claimed), 10)
        present = np.arange(10) != 4
        matrix = batches.dense_column(whole).full()
        batch = _with_vector(whole, batches.dense_array(matrix, present))
        if not claimed.vectors.missing:
            with pytest.raises(_REFUSALS):
                target.write(batch)
            return
        target.write(batch)
        assert read_all(target) == rows_of([batch])
        assert target.describe().missing_vectors == 1

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_nonfinite_numbers_are_kept_or_refused(self, target: Target, number: float) -> None:
        """NaN and infinities in a vector come back where claimed, and are refused elsewhere."""
        schema = self.create(target)
        claimed = target.capabilities()
        whole = generators.records(schema.vectors, _without_missing(claimed), 10)
        matrix = batches.dense_column(whole).full().copy()
        if matrix.dtype.kind != "f":
            pytest.fail("the plainest vector of a store is expected to be of floats")
        matrix[3, 2] = number
        batch = _with_vector(whole, batches.dense_array(matrix))
        if not claimed.vectors.nonfinite:
            with pytest.raises(_REFUSALS):
                target.write(batch)
            return
        target.write(batch)
        assert read_all(target) == rows_of([batch])

    # Payloads and documents

    @pytest.mark.parametrize("kind", PayloadType)
    def test_each_payload_type_is_kept_or_refused(self, target: Target, kind: PayloadType) -> None:
        """Values of a claimed type come back exactly; others come back exactly or are refused, never changed."""
        claimed = target.capabilities()
        values = generators.payload_examples(claimed.payload).get(kind) or _EXAMPLES[kind]
        batch = self._payload_batch(target, [{"key": value} for value in values])
        if kind in claimed.payload.types:
            target.write(batch)
            assert read_all(target) == rows_of([batch])
        else:
            assert self._changed_in_silence(target, batch) == (kind in self.altered_types)

    def test_integers_and_floats_are_not_confused(self, target: Target) -> None:
        """`1` and `1.0` come back as what they were."""
        claimed = target.capabilities().payload.types
        numbers = [1, 2**53] * (PayloadType.INTEGER in claimed) + [1.0, 2.0**53] * (PayloadType.FLOAT in claimed)
        batch = self._payload_batch(target, [{"key": number} for number in numbers])
        target.write(batch)
        assert read_all(target) == rows_of([batch])

    def test_nasty_payload_keys_are_kept(self, target: Target) -> None:
        """Keys with dots, quotes, spaces or other scripts stay as they are."""
        keys = generators.payload_keys(target.capabilities().payload)
        batch = self._payload_batch(target, [{key: "value", "other": "x"} for key in keys])
        target.write(batch)
        assert read_all(target) == rows_of([batch])

    def test_documents_are_kept_or_refused(self, target: Target) -> None:
        """Absent, empty and other documents stay apart; a store without documents refuses them."""
        schema = self.create(target)
        claimed = target.capabilities()
        holding = replace(claimed, document=True)
        batch = generators.records(schema.vectors, holding, 20)
        if not claimed.document:
            with pytest.raises(_REFUSALS):
                target.write(batch)
            return
        target.write(batch)
        assert read_all(target) == rows_of([batch])

    def _create_and_write(self, target: Target, field: VectorField, batch: pa.RecordBatch) -> None:
        self.create(target, (field,))
        target.write(batch)

    def _payload_batch(self, target: Target, payloads: Sequence[dict[str, Any]]) -> pa.RecordBatch:
        """Create the collection; records with these payloads, not written yet."""
        schema = self.create(target)
        plain = generators.records(schema.vectors, target.capabilities(), len(payloads))
        texts = pa.array([canonical.encode(payload) for payload in payloads], pa.binary()).cast(pa.string())
        at = plain.schema.get_field_index(batches.PAYLOAD)
        return plain.set_column(at, plain.schema.field(at), texts)

    def _changed_in_silence(self, target: Target, batch: pa.RecordBatch) -> bool:
        """Whether a value that the store does not claim was taken and came back as something else."""
        expected = rows_of([batch])
        for start in range(batch.num_rows):
            try:
                target.write(batch.slice(start, 1))
            except _REFUSALS:
                continue
            found = rows_of([target.fetch(batch.slice(start, 1).select([batches.ID, batches.ID_KIND]))])
            if any(row != expected[item] for item, row in found.items()) or not found:
                return True
        return False


def _without_missing(claimed: Capabilities) -> Capabilities:
    return replace(claimed, vectors=replace(claimed.vectors, missing=False))


def _with_vector(batch: pa.RecordBatch, array: pa.Array) -> pa.RecordBatch:
    name = batches.column_name("")
    at = batch.schema.get_field_index(name)
    return batch.set_column(at, pa.field(name, array.type), array)
