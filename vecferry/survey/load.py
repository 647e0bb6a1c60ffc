"""What an engine would have to hold, in the few numbers that its memory depends on."""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.model import CollectionSchema, DType, IdKind, VectorField, VectorKind
from vecferry.survey.findings import Survey

__all__ = ["Load", "VectorLoad", "load_of"]


@dataclass(frozen=True, slots=True)
class VectorLoad:
    """One vector of all records: rows of numbers, and all numbers in them. `dimension` is 0 for a sparse vector."""

    name: str
    kind: VectorKind
    dtype: DType
    dimension: int
    rows: int
    numbers: int


@dataclass(frozen=True, slots=True)
class Load:
    """Records, their vectors, and the bytes of everything else. `number_ids`: all ids are integers."""

    records: int
    vectors: tuple[VectorLoad, ...] = ()
    payload_bytes: int = 0
    payload_values: int = 0
    document_bytes: int = 0
    id_bytes: int = 0
    number_ids: bool = False

    @property
    def text_bytes(self) -> int:
        """Payload and documents."""
        return self.payload_bytes + self.document_bytes


def load_of(schema: CollectionSchema, survey: Survey, records: int) -> Load:
    """The load of `records` records like those of a survey, which may have seen fewer."""
    share = records / survey.rows if survey.rows else 0.0

    def scaled(count: int) -> int:
        return round(count * share)

    return Load(
        records,
        tuple(_vector(field, survey, records, share) for field in schema.vectors),
        scaled(survey.payload_bytes),
        scaled(survey.payload_values),
        scaled(survey.documents.size_bytes),
        scaled(survey.id_bytes),
        schema.id_kinds <= {IdKind.UINT64, IdKind.INT64},
    )


def _vector(field: VectorField, survey: Survey, records: int, share: float) -> VectorLoad:
    """As it was seen; where it was not read, one vector a record."""
    dimension = 0 if field.kind is VectorKind.SPARSE else field.dimension or 0
    found = survey.vectors.get(field.name)
    if found is None:
        rows, numbers = records, records * dimension
    else:
        rows, numbers = round(found.rows * share), round(found.numbers * share)
    return VectorLoad(field.name, field.kind, field.dtype, dimension, rows, numbers)
