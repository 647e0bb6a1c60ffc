"""Compare rows: what the plan says a target must hold against what another reader read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry.align import Aligned, align
from vecferry.mapping import Tolerance
from vecferry.model import Finding, Level, VectorField
from vecferry.validation.payload import different_documents, different_payloads
from vecferry.validation.vectors import compare_vectors, explain

__all__ = ["MAX_FINDINGS", "Comparison", "compare_aligned", "compare_rows", "total"]

MAX_FINDINGS = 20
"""Findings kept per slice and level: enough to see what is wrong, small enough for a receipt. All are counted."""

_SHOWN_BEFORE, _SHOWN_AFTER = 40, 120
"""Characters of a text that a finding shows around the place where it differs."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Counts of one or many batches: rows compared, and rows that differ per part.

    `missing` were not found; `surplus` came without being expected, or twice. A row whose payload and
    document differ counts in both.
    """

    rows: int = 0
    missing: int = 0
    surplus: int = 0
    payloads: int = 0
    documents: int = 0
    vectors: int = 0
    within_tolerance: int = 0
    findings: tuple[Finding, ...] = ()

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.rows + other.rows,
            self.missing + other.missing,
            self.surplus + other.surplus,
            self.payloads + other.payloads,
            self.documents + other.documents,
            self.vectors + other.vectors,
            self.within_tolerance + other.within_tolerance,
            _first_of_each_level(self.findings + other.findings),
        )

    @property
    def same(self) -> bool:
        """Whether no row differs."""
        return not (self.missing or self.surplus or self.payloads or self.documents or self.vectors)


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
    return compare_aligned(align(expected, actual), vectors, tolerances)


def compare_aligned(rows: Aligned, vectors: Iterable[VectorField], tolerances: Mapping[str, Tolerance]) -> Comparison:
    """The same for rows that were matched already."""
    wanted, got = rows.expected, rows.actual
    payloads, documents = different_payloads(wanted, got), different_documents(wanted, got)
    beyond, near = np.zeros(wanted.num_rows, dtype=bool), np.zeros(wanted.num_rows, dtype=bool)
    findings = [*_id_findings(rows.missing, "missing", "the record is not in the target")]
    findings += _id_findings(rows.surplus, "surplus", "the record came unasked, or more than once")
    for field in vectors:
        tolerance = tolerances.get(field.name, Tolerance())
        found = compare_vectors(wanted, got, field, tolerance)
        beyond, near = beyond | found.different, near | found.near
        findings += _vector_findings(wanted, got, field, tolerance, found.different)
    findings += _text_findings(wanted, got, payloads, columns.PAYLOAD, "payload differs")
    findings += _text_findings(wanted, got, documents, columns.DOCUMENT, "document differs")
    return Comparison(
        len(rows.found),
        rows.missing.num_rows,
        rows.surplus.num_rows,
        int(payloads.sum()),
        int(documents.sum()),
        int(beyond.sum()),
        int((near & ~beyond).sum()),
        _first_of_each_level(findings),
    )


def _first_of_each_level(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """So that many differences of one level hide none of another."""
    kept, counts = [], Counter[Level]()
    for finding in findings:
        counts[finding.level] += 1
        if counts[finding.level] <= MAX_FINDINGS:
            kept.append(finding)
    return tuple(kept)


def _named_rows(batch: pa.RecordBatch, mask: Mask) -> Iterator[tuple[int, str]]:
    """The first rows where the mask is true, with their ids."""
    rows = np.flatnonzero(mask)[:MAX_FINDINGS]
    if not len(rows):
        return iter(())
    names = map(str, columns.record_ids(columns.ids_of(batch).take(pa.array(rows))))
    return zip(rows.tolist(), names, strict=True)


def _id_findings(ids: pa.RecordBatch, kind: str, detail: str) -> Iterator[Finding]:
    for _, name in _named_rows(ids, np.ones(ids.num_rows, dtype=bool)):
        yield Finding(Level.IDS, kind, detail, name)


def _text_findings(
    wanted: pa.RecordBatch, got: pa.RecordBatch, mask: Mask, column: str, what: str
) -> Iterator[Finding]:
    for row, name in _named_rows(wanted, mask):
        texts = wanted.column(column)[row].as_py(), got.column(column)[row].as_py()
        yield Finding(Level.PAYLOAD, what, _text_difference(*texts), name)


def _text_difference(wanted: str | None, got: str | None) -> str:
    """Two texts from a little before the place where they part."""
    at = next((place for place, pair in enumerate(zip_longest(wanted or "", got or "")) if pair[0] != pair[1]), 0)
    start = max(0, at - _SHOWN_BEFORE) if at > _SHOWN_BEFORE + _SHOWN_AFTER else 0
    sides = ("nothing" if text is None else _short(text, start, at + _SHOWN_AFTER) for text in (wanted, got))
    return "expected {}, found {}".format(*sides)


def _short(text: str, start: int, stop: int) -> str:
    return "..." * bool(start) + repr(text[start:stop]) + "..." * (stop < len(text))


def _vector_findings(
    wanted: pa.RecordBatch, got: pa.RecordBatch, field: VectorField, tolerance: Tolerance, mask: Mask
) -> Iterator[Finding]:
    vector = f"vector {field.name!r}" if field.name else "vector"
    for row, name in _named_rows(wanted, mask):
        detail = explain(wanted.slice(row, 1), got.slice(row, 1), field, tolerance)
        yield Finding(Level.VECTORS, "vector differs", f"{vector}: {detail}", name)
