"""Compare rows: what the plan says a target must hold against what another reader read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry.align import align
from vecferry.mapping import Tolerance
from vecferry.model import Finding, Level, VectorField
from vecferry.validation.payload import different_documents, different_payloads
from vecferry.validation.vectors import compare_vectors

__all__ = ["MAX_FINDINGS", "Comparison", "compare_rows", "total"]

MAX_FINDINGS = 20
"""Findings kept per slice: enough to see what is wrong, small enough for a receipt. All are counted."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Counts of one or many batches: rows compared, and rows that differ per part."""

    rows: int = 0
    missing: int = 0
    payloads: int = 0
    documents: int = 0
    vectors: int = 0
    within_tolerance: int = 0
    findings: tuple[Finding, ...] = ()

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.rows + other.rows,
            self.missing + other.missing,
            self.payloads + other.payloads,
            self.documents + other.documents,
            self.vectors + other.vectors,
            self.within_tolerance + other.within_tolerance,
            (self.findings + other.findings)[:MAX_FINDINGS],
        )

    @property
    def same(self) -> bool:
        """Whether no row differs."""
        return not (self.missing or self.payloads or self.documents or self.vectors)


def total(comparisons: Iterable[Comparison]) -> Comparison:
    """The sum of many."""
    return sum(comparisons, Comparison())


def compare_rows(
    expected: pa.RecordBatch,
    actual: pa.RecordBatch,
    vectors: Iterable[VectorField],
    tolerances: Mapping[str, Tolerance],
) -> Comparison:
    """Compare each expected row with the one of its id in `actual` (any order, rows may be absent)."""
    rows = align(expected, actual)
    wanted, got = rows.expected, rows.actual
    payloads, documents = different_payloads(wanted, got), different_documents(wanted, got)
    beyond, near = np.zeros(wanted.num_rows, dtype=bool), np.zeros(wanted.num_rows, dtype=bool)
    findings = _missing_findings(expected, rows.found)
    for field in vectors:
        found = compare_vectors(wanted, got, field, tolerances.get(field.name, Tolerance()))
        beyond, near = beyond | found.different, near | found.near
        findings += _vector_findings(wanted, got, field, found.different)
    findings += _text_findings(wanted, got, payloads, columns.PAYLOAD, "payload differs")
    findings += _text_findings(wanted, got, documents, columns.DOCUMENT, "document differs")
    return Comparison(
        expected.num_rows,
        int((~rows.found).sum()),
        int(payloads.sum()),
        int(documents.sum()),
        int(beyond.sum()),
        int((near & ~beyond).sum()),
        tuple(findings[:MAX_FINDINGS]),
    )


def _some_rows(mask: npt.NDArray[np.bool_]) -> list[int]:
    listed: list[int] = np.flatnonzero(mask)[:MAX_FINDINGS].tolist()
    return listed


def _ids(batch: pa.RecordBatch, rows: list[int]) -> list[str]:
    return [str(record_id) for record_id in columns.record_ids(batch.take(pa.array(rows, pa.int64())))]


def _missing_findings(expected: pa.RecordBatch, found: npt.NDArray[np.bool_]) -> list[Finding]:
    names = _ids(expected, _some_rows(~found))
    return [Finding(Level.IDS, "missing", "the record is not in the target", name) for name in names]


def _text_findings(
    wanted: pa.RecordBatch, got: pa.RecordBatch, mask: npt.NDArray[np.bool_], column: str, what: str
) -> list[Finding]:
    rows = _some_rows(mask)
    names = _ids(wanted, rows)
    return [
        Finding(Level.PAYLOAD, what, f"expected {_short(wanted, column, row)}, found {_short(got, column, row)}", name)
        for row, name in zip(rows, names, strict=True)
    ]


def _short(batch: pa.RecordBatch, column: str, row: int) -> str:
    text = batch.column(column)[row].as_py()
    return "nothing" if text is None else repr(text if len(text) <= 200 else text[:197] + "...")


def _vector_findings(
    wanted: pa.RecordBatch, got: pa.RecordBatch, field: VectorField, mask: npt.NDArray[np.bool_]
) -> list[Finding]:
    rows = _some_rows(mask)
    column = columns.column_name(field.name)
    return [
        Finding(
            Level.VECTORS,
            "vector differs",
            f"vector {field.name!r}: expected {_numbers(wanted, column, row)}, found {_numbers(got, column, row)}",
            name,
        )
        for row, name in zip(rows, _ids(wanted, rows), strict=True)
    ]


def _numbers(batch: pa.RecordBatch, column: str, row: int) -> str:
    value = batch.column(column)[row].as_py()
    if isinstance(value, list) and len(value) > 4:
        return f"[{', '.join(map(str, value[:4]))}, ... {len(value)} numbers]"
    return "nothing" if value is None else str(value)
