"""The verdict: all levels of the ladder, each verified, mismatched, suspended or not checked."""

from __future__ import annotations

from collections.abc import Sequence

from vecferry.model import Finding, Level, LevelResult, LevelState, Verdict, VerdictState
from vecferry.validation.compare import Comparison

__all__ = ["GATE", "judge"]

GATE = (Level.SCHEMA, Level.COUNT, Level.IDS, Level.PAYLOAD, Level.VECTORS)
"""The levels that a verdict of "same" needs."""

_NOT_YET = {
    Level.EXACT_KNN: "exact k-NN on both sides",
    Level.RECALL: "recall@k of the index",
    Level.SCORES: "rank correlation of scores",
    Level.LATENCY: "latency under equal load",
}


def judge(
    schema: Sequence[Finding], counts: Sequence[Finding], extra: Sequence[Finding], extra_ids: int, rows: Comparison
) -> Verdict:
    """The verdict over a whole collection: schema, counts, ids beyond the expected ones, and all rows compared."""
    of = {level: tuple(item for item in rows.findings if item.level is level) for level in Level}
    payloads = rows.payloads + rows.documents
    levels = [
        _level(Level.SCHEMA, 1, len(schema), tuple(schema), "every vector's kind, dtype, dimension and metric"),
        _level(Level.COUNT, rows.rows, len(counts), tuple(counts), "exact counts"),
        _level(Level.IDS, rows.rows, rows.missing + extra_ids, of[Level.IDS] + tuple(extra), "the full id set"),
        _level(Level.PAYLOAD, rows.rows, payloads, of[Level.PAYLOAD], "every payload and document, byte for byte"),
        _level(
            Level.VECTORS,
            rows.rows,
            rows.vectors,
            of[Level.VECTORS],
            "every vector, bit for bit or within the plan's tolerance",
            rows.within_tolerance,
        ),
    ]
    levels += [LevelResult(level, LevelState.NOT_CHECKED, bound=what) for level, what in _NOT_YET.items()]
    same = all(result.state is LevelState.VERIFIED for result in levels if result.level in GATE)
    return Verdict(VerdictState.SAME if same else VerdictState.DIFFERENT, tuple(levels))


def _level(
    level: Level, checked: int, differences: int, findings: tuple[Finding, ...], bound: str, near: int = 0
) -> LevelResult:
    state = LevelState.MISMATCHED if differences else LevelState.VERIFIED
    return LevelResult(level, state, checked, differences, near, bound, findings)
