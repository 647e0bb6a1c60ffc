"""Tables that people read, as data: the terminal, Prefect's artifacts and report files render the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vecferry.mapping import Profile, VectorProfile
from vecferry.model import CollectionSchema, Decision, Feature, LevelState, Outcome, VectorField, Verdict

__all__ = [
    "MAX_KEYS_SHOWN",
    "Sheet",
    "decisions_sheet",
    "document_lines",
    "inventory_sheet",
    "not_moved_sheet",
    "note_lines",
    "payload_line",
    "schema_lines",
    "verdict_sheet",
]


MAX_KEYS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Sheet:
    """A titled table of text. `key` names it among the artifacts of a run."""

    key: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def inventory_sheet(url: str, schema: CollectionSchema, profile: Profile) -> Sheet:
    """What the source is: schema and what the profile of all its records showed."""
    lines = [("records", f"{profile.rows:,}"), *schema_lines(schema), *_profile_lines(profile), *note_lines(schema)]
    return Sheet("inventory", f"Inventory of {url}", ("what", "found"), tuple(lines))


def schema_lines(schema: CollectionSchema) -> Iterator[tuple[str, str]]:
    """Ids, vectors, and how files were understood."""
    yield "ids", ", ".join(sorted(schema.id_kinds))
    for field in schema.vectors:
        yield f"vector {field.name or '(unnamed)'}", describe_vector(field)
    if schema.dialect:
        yield "read as", schema.dialect


def note_lines(schema: CollectionSchema) -> Iterator[tuple[str, str]]:
    """What else the store had to say."""
    yield from (("note", note) for note in schema.notes)


def document_lines(profile: Profile) -> Iterator[tuple[str, str]]:
    """Documents as a whole, where there are any."""
    documents = profile.documents
    if documents.present or documents.empty:
        yield "documents", f"{documents.present:,} present, {documents.empty:,} empty, {documents.absent:,} absent"


def payload_line(profile: Profile) -> tuple[str, str]:
    """Payloads as a whole."""
    return "payload", f"{profile.payload.size_bytes:,} bytes of JSON"


def _profile_lines(profile: Profile) -> Iterator[tuple[str, str]]:
    yield from document_lines(profile)
    for name, vector in profile.vectors.items():
        yield f"norms of {name or 'vector'}", _norms(vector)
    yield payload_line(profile)
    for key, found in list(profile.payload.keys.items())[:MAX_KEYS_SHOWN]:
        types = ", ".join(f"{kind} {count:,}" for kind, count in found.types.items())
        yield f"payload key {key!r}", types
    hidden = len(profile.payload.keys) - MAX_KEYS_SHOWN
    if hidden > 0 or profile.payload.more_keys:
        yield "payload keys", f"{max(hidden, 0):,} more"


def _norms(vector: VectorProfile) -> str:
    if vector.norm_min is None or vector.norm_max is None:
        return "none seen"
    return f"{vector.norm_min:.6g} to {vector.norm_max:.6g}, {vector.zeros:,} zero, {vector.missing:,} missing"


def describe_vector(field: VectorField) -> str:
    """One vector in words."""
    size = "" if field.dimension is None else f" {field.dimension}"
    return f"{field.kind}{size} {field.dtype}, metric {field.metric or 'not recorded'}"


_RANK = {Outcome.REFUSED: 0, Outcome.LOSSY: 1, Outcome.ENCODED: 2, Outcome.EXACT: 3}


def decisions_sheet(source: str, target: str, decisions: Sequence[Decision]) -> Sheet:
    """What happens to every feature on the way, the worst first."""
    rows = tuple(
        (
            decision.feature,
            decision.outcome.value,
            "" if decision.rows is None else f"{decision.rows:,}",
            decision.filterable.value,
            decision.detail + (f" ({decision.advice})" if decision.advice else ""),
        )
        for decision in sorted(decisions, key=lambda item: _RANK[item.outcome])
    )
    header = ("feature", "outcome", "records", "filterable", "what happens")
    return Sheet("plan", f"Plan: {source} -> {target}", header, rows)


def not_moved_sheet(features: Sequence[Feature]) -> Sheet:
    """What stays behind: settings, indexes, aliases."""
    rows = tuple((feature.name, feature.value) for feature in features)
    return Sheet("not-moved", "Not moved: build or set these in the target yourself", ("what", "value"), rows)


def verdict_sheet(target: str, verdict: Verdict) -> Sheet:
    """All levels of the validation ladder."""
    rows = tuple(
        (
            result.level.value,
            result.state.value,
            f"{result.checked:,}" if result.state is not LevelState.NOT_CHECKED else "",
            f"{result.differences:,}" if result.state is not LevelState.NOT_CHECKED else "",
            result.bound + (f"; {result.within_tolerance:,} within tolerance" if result.within_tolerance else ""),
        )
        for result in verdict.levels
    )
    findings = [
        f"{item.level}: {item.kind}{f' in record {item.record_id}' if item.record_id else ''}: {item.detail}"
        for result in verdict.levels
        for item in result.findings
    ]
    header = ("level", "result", "compared", "differences", "what was compared")
    return Sheet("verdict", f"Verdict on {target}: {verdict.state}", header, rows, "\n".join(findings))
