"""The tables of an inventory: the collection, its vectors, its payload keys, its room, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator

from vecferry.capabilities import PayloadType
from vecferry.operations.surveys import Fit, Inspection, Sizes
from vecferry.strategies.sheets import (
    MAX_KEYS_SHOWN,
    Sheet,
    decisions_sheet,
    document_lines,
    note_lines,
    payload_line,
    schema_lines,
)
from vecferry.survey import KeySurvey, Survey, VectorSurvey
from vecferry.survey.sizing import Estimate

__all__ = ["inspection_sheets"]

_CELL_CHARACTERS = 40


def inspection_sheets(url: str, found: Inspection) -> tuple[Sheet, ...]:
    """Everything that was found; a table that would be empty is left out."""
    sheets = [_collection(url, found)]
    if found.surveyed.survey.vectors:
        sheets.append(_vectors(found.surveyed.survey))
    if found.surveyed.survey.keys:
        sheets.append(_keys(found))
    sheets.append(_room(found.sizes, found.surveyed.records))
    if found.fit is not None:
        sheets.append(_fit(found.fit, url))
    return tuple(sheets)


def _collection(url: str, found: Inspection) -> Sheet:
    inventory = found.surveyed.inventory
    count = f"{found.surveyed.survey.rows:,}"
    if not found.complete:
        count += f" read of {found.surveyed.records:,}"
    profile, schema = inventory.profile, inventory.schema
    lines = [("records", count), *schema_lines(schema), *document_lines(profile), payload_line(profile)]
    lines += list(_longest(found.surveyed.survey))
    if profile.duplicate_ids:
        names = ", ".join(profile.duplicate_examples)
        lines.append(("repeated ids", f"{profile.duplicate_ids:,}, for example {names}"))
    rows = (*lines, *note_lines(schema))
    return Sheet("inventory", f"Inventory of {url}", ("what", "found"), rows)


def _longest(survey: Survey) -> Iterator[tuple[str, str]]:
    if survey.documents.longest_bytes:
        yield "longest document", f"{survey.documents.longest_bytes:,} bytes, record {survey.documents.longest_id}"


# Vectors


def _vectors(survey: Survey) -> Sheet:
    header = ("vector", "records", "missing", "not finite", "zero", "length", "unit", "repeated", "fits in")
    rows = tuple(_vector_row(name, one) for name, one in survey.vectors.items())
    notes = [note for name, one in survey.vectors.items() for note in _vector_notes(name or "(unnamed)", one)]
    return Sheet("vectors", "Vectors", header, rows, "\n".join(notes))


def _vector_row(name: str, one: VectorSurvey) -> tuple[str, ...]:
    return (
        name or "(unnamed)",
        f"{one.present:,}",
        f"{one.missing:,}",
        f"{one.nonfinite:,}",
        f"{one.zeros:,}",
        _lengths(one),
        _share(one.unit, one.rows),
        _count(one.repeats, one.repeats_exact),
        one.smallest_dtype or "no type",
    )


def _lengths(one: VectorSurvey) -> str:
    if one.norm_min is None or one.norm_mean is None or one.norm_max is None:
        return "-"
    return f"{one.norm_min:.4g} to {one.norm_max:.4g}, mean {one.norm_mean:.4g}"


def _vector_notes(name: str, one: VectorSurvey) -> Iterator[str]:
    for words, example in (
        ("not finite", one.nonfinite_example),
        ("only zeros", one.zero_example),
        ("the same numbers as in an earlier record", one.repeat_example),
    ):
        if example:
            yield f"vector {name}: {words}, for example in record {example}"


# Payload keys


def _keys(found: Inspection) -> Sheet:
    survey, profile = found.surveyed.survey, found.surveyed.inventory.profile.payload
    shown = list(survey.keys.items())[:MAX_KEYS_SHOWN]
    rows = []
    for name, key in shown:
        known = profile.keys.get(name)
        rows.append(_key_row(name, key, {} if known is None else known.types, survey.rows))
    hidden = len(survey.keys) - len(shown)
    more = "more than " if survey.more_keys else ""
    note = f"{more}{hidden:,} more keys: --json lists them" if hidden or survey.more_keys else ""
    header = ("key", "records", "share", "types", "different", "longest", "most common")
    return Sheet("payload-keys", "Payload keys", header, tuple(rows), note)


def _key_row(name: str, key: KeySurvey, types: dict[PayloadType, int], rows: int) -> tuple[str, ...]:
    # One type needs no count: it is the key's.
    kinds = ", ".join(types) if len(types) == 1 else ", ".join(f"{kind} {count:,}" for kind, count in types.items())
    return (
        _cut(repr(name)),
        f"{key.values:,}",
        _share(key.values, rows),
        kinds,
        _count(key.distinct, key.distinct_exact),
        f"{key.longest_bytes:,} B in {_cut(key.longest_id)}" if key.longest_bytes else "",
        _common(key),
    )


def _common(key: KeySurvey) -> str:
    """The most common values, as many as fit; none where each value stands once."""
    if not key.top or key.top[0][1] == 1:
        return ""
    found = ""
    for text, count in key.top:
        one = f"{_cut(text)} {_share(count, key.values)}"
        if found and len(found) + len(one) > _CELL_CHARACTERS:
            break
        found += f", {one}" if found else one
    return found


# Room


def _room(sizes: Sizes, records: int) -> Sheet:
    stored = sizes.stored
    rows = [
        ("now", "", "not known" if stored.disk_bytes is None else _size(stored.disk_bytes), stored.of),
        ("archive", "", _size(sizes.archive_at_most_bytes), "at most: Parquet before it is compressed"),
        ("rule of thumb", _size(sizes.guide_ram_bytes), "", "vectors * dimension * 4 bytes * 1.5"),
    ]
    here = sizes.loaded
    if here is not None and here not in sizes.estimates:
        rows.append(_estimate_row(here, " (now)"))
    rows += [_estimate_row(one, " (now)" if one == here else "") for one in sizes.estimates]
    note = "Estimates, with the index built and loaded; the process itself and room to merge segments come on top."
    return Sheet("room", f"Room for {records:,} records", ("what", "RAM", "disk", "how"), tuple(rows), note)


def _estimate_row(one: Estimate, mark: str) -> tuple[str, str, str, str]:
    parts = ", ".join(f"{part.name} {_size(part.ram_bytes)}" for part in one.parts if part.ram_bytes)
    return f"{one.engine}: {one.index}{mark}", _size(one.ram_bytes), _size(one.disk_bytes), parts


# What does not fit


def _fit(fit: Fit, url: str) -> Sheet:
    decisions = decisions_sheet(url, fit.target, fit.misfits)
    others = len(fit.decisions) - len(fit.misfits)
    notes = [f"{others:,} other decisions lose nothing: vecferry plan lists them."]
    if not fit.misfits:
        notes = [f"Everything fits: {others:,} decisions, none of them loses anything."]
    if fit.not_moved:
        notes.append(f"{len(fit.not_moved):,} settings, indexes or aliases are not moved: vecferry plan lists them.")
    if fit.exists:
        notes.append("The target exists already: a migration would refuse it.")
    return Sheet("fit", f"What does not fit {fit.target}", decisions.header, decisions.rows, "\n".join(notes))


# Text


def _share(part: int, whole: int) -> str:
    """Per cent, rounded so that only all is 100 and only nothing is 0."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    return "< 0.1 %" if percent < 0.1 else "> 99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def _count(count: int, exact: bool) -> str:
    return f"{count:,}" if exact else f"about {count:,}"


def _cut(text: str) -> str:
    return text if len(text) <= _CELL_CHARACTERS else f"{text[: _CELL_CHARACTERS - 3]}..."


def _size(size_bytes: int) -> str:
    """Bytes with one decimal of the unit that suits them, decimal units as disks have them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= size:
            return f"{size_bytes / size:,.1f} {unit}"
    return f"{size_bytes / 1e3:,.1f} KB"
