"""The verdict: all levels of the ladder, each verified, mismatched, suspended or not checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vecferry.model import Finding, Level, LevelResult, LevelState, Verdict, VerdictState
from vecferry.validation.compare import Comparison

__all__ = ["GATE", "judge"]

GATE = (Level.SCHEMA, Level.COUNT, Level.IDS, Level.PAYLOAD, Level.VECTORS)
"""The levels that a verdict of "same" needs."""

_VECTORS = "every vector, bit for bit or within the plan's tolerance"
_NOT_YET = {
    Level.EXACT_KNN: "exact k-NN on both sides",
    Level.RECALL: "recall@k of the index",
    Level.SCORES: "rank correlation of scores",
    Level.LATENCY: "latency under equal load",
}


def judge(
    schema: Sequence[Finding],
    counts: Sequence[Finding],
    others: Sequence[Finding],
    other_ids: int,
    rows: Comparison,
    left_behind: int = 0,
) -> Verdict:
    """The verdict over a whole collection: schema, counts, `other_ids` that only a full list shows, all rows.

    `left_behind`: records of the source that stayed there, as the plan said and somebody agreed to.
    """
    of = {level: tuple(item for item in rows.findings if item.level is level) for level in Level}
    ids, payloads = rows.missing + rows.surplus + other_ids, rows.payloads + rows.documents
    levels = [
        _level(Level.SCHEMA, 1, schema, len(schema), "every vector's kind, dtype, dimension and metric"),
        _level(Level.COUNT, rows.rows, counts, len(counts), "exact counts" + _stayed(left_behind)),
        _level(Level.IDS, rows.rows, of[Level.IDS] + tuple(others), ids, "the full id set"),
        _of_rows(Level.PAYLOAD, rows, of[Level.PAYLOAD], payloads, "every payload and document, byte for byte"),
        replace(
            _of_rows(Level.VECTORS, rows, of[Level.VECTORS], rows.vectors, _VECTORS),
            within_tolerance=rows.within_tolerance,
        ),
    ]
    levels += [LevelResult(level, LevelState.NOT_CHECKED, bound=what) for level, what in _NOT_YET.items()]
    same = all(result.state is LevelState.VERIFIED for result in levels if result.level in GATE)
    return Verdict(VerdictState.SAME if same else VerdictState.DIFFERENT, tuple(levels))


def _stayed(rows: int) -> str:
    return f"; {rows:,} of the source's records stayed behind, as agreed to" if rows else ""


def _level(level: Level, checked: int, findings: Sequence[Finding], differences: int, bound: str) -> LevelResult:
    state = LevelState.MISMATCHED if differences else LevelState.VERIFIED
    return LevelResult(level, state, checked, differences, bound=bound, findings=tuple(findings))


def _of_rows(level: Level, rows: Comparison, findings: Sequence[Finding], differences: int, bound: str) -> LevelResult:
    """A level that compares records. What was not found was not compared: nothing is verified then."""
    result = _level(level, rows.rows - rows.missing, findings, differences, bound)
    if rows.missing and not differences:
        left = f"{bound}, of the records that were found; {rows.missing:,} were not"
        return replace(result, state=LevelState.SUSPENDED, bound=left)
    return result
