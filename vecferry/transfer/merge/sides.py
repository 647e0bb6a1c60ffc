"""What each store did since the last known pair: records that came, went, or have another value in one part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.idtable import IdTable
from vecferry.ledger import Direction
from vecferry.mapping import Mapping
from vecferry.mapping.document import DocumentFromPayload, DocumentInPayload
from vecferry.model import Part
from vecferry.transfer.merge.comparing import (
    Comparator,
    Mask,
    Rows,
    alike,
    exactly,
    gathered,
    kind_column,
    moved,
    parts_differ,
)
from vecferry.transfer.merge.inputs import Intent, Known, Rules
from vecferry.transfer.merge.returning import Returned

__all__ = ["Sides", "Touched", "judge_sides"]

_PAYLOAD, _DOCUMENT = map(sealing.PART_ORDER.index, (Part.PAYLOAD, Part.DOCUMENT))


@dataclass(frozen=True, slots=True)
class Touched:
    """One store's side of `n` ids, `(n,) bool` each: there now; gone although it was there.

    `changed`, `(n, 3) bool`: parts of records that are there whose value is not the last known one.
    """

    there: Mask
    gone: Mask
    changed: Mask

    @property
    def any(self) -> Mask:
        """Whether anything happened to the record: `(n,) bool`."""
        return self.gone | self.changed.any(axis=1)


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides of all ids that either store, or the known state, has. `ids` are distinct.

    `at_known`, `at_old`, `at_new`: the row of each id there, -1 for none. `same`, `(n, 3) bool`: parts that both
    sides changed to the same value. `refused`, `(n,) bool`: the new side's version has no form in the source's terms.
    """

    ids: pa.RecordBatch
    at_known: Rows
    at_old: Rows
    at_new: Rows
    old: Touched
    new: Touched
    same: Mask
    refused: Mask


@dataclass(frozen=True, slots=True)
class _Versions:
    """Some version of some of the ids: `at` says which row of `records` is an id's, -1 for none.

    `parts`, a row for each of `records`, `(k, 3) bool`: those that count (None: all do).
    """

    records: pa.RecordBatch
    at: Rows
    parts: Mask | None = None

    @property
    def there(self) -> Mask:
        """Ids that have this version."""
        return self.at >= 0

    def take(self, rows: Rows) -> pa.RecordBatch:
        """The version of these ids."""
        return self.records.take(pa.array(self.at[rows]))


@dataclass(frozen=True, slots=True)
class _Planned:
    """What the deltas of one direction hold: whole records, and `(n,) bool`, ids that they remove."""

    upserts: tuple[_Versions, ...]
    gone: Mask
    closed: tuple[bool, ...] = ()

    def upserted(self, *, closed: bool = False) -> Mask:
        """Ids that any of them writes: of those that are open, or of the others."""
        found = np.zeros(len(self.gone), dtype=np.bool_)
        for versions, is_closed in zip(self.upserts, self.closed, strict=True):
            if is_closed is closed:
                found |= versions.there
        return found


@dataclass(frozen=True, slots=True)
class _Scene:
    """Everything that is compared, by id."""

    ids: pa.RecordBatch
    known: Rows
    old: _Versions
    new: _Versions
    before: _Versions
    in_old: Mask
    in_new: Mask
    forward: _Planned
    reverse: _Planned


def judge_sides(
    old: pa.RecordBatch, returned: Returned, known: Known, rules: Rules, intents: Sequence[Intent]
) -> Sides:
    """Compare both stores with the known state and with the open intents."""
    scene = _scene(old, returned, known, intents)
    there_old, there_new = scene.old.there, scene.new.there
    changed_old, ours = _old_changed(scene, known, rules)
    changed_new = _new_changed(scene, returned, known, rules)
    same = _same_now(scene, ours | (changed_old & changed_new), rules)
    # A reverse delta was written, or half of it: what the new store has now counts against that, not against the
    # known state, or else a value that went back to the known one would stay away.
    changed_new |= ours & there_new[:, np.newaxis] & ~same
    # What was written already is the same on both sides now: to be recorded, and no change that a brake would count.
    changed_old |= ours & same
    changed_new |= ours & same
    changed_new |= (scene.in_old & scene.reverse.gone & ~there_old & there_new)[:, np.newaxis]
    refused = _refused(scene, returned) & changed_new.any(axis=1)
    changed_new &= ~refused[:, np.newaxis]
    # Who was written from a store had been there.
    was_old = (scene.in_old | scene.forward.upserted()) & ~scene.forward.gone & ~scene.reverse.gone
    # What was written and closed, and comes once more, was in the new store when it was written.
    again = scene.reverse.upserted(closed=True) & ours.all(axis=1)
    was_new = (scene.in_new | scene.reverse.upserted() | again) & ~scene.forward.gone
    gone_new = was_new & ~there_new
    was_old |= scene.in_old & scene.reverse.gone & gone_new
    touched_old = Touched(there_old, was_old & ~there_old, changed_old)
    touched_new = Touched(there_new, gone_new, changed_new)
    return Sides(scene.ids, scene.known, scene.old.at, scene.new.at, touched_old, touched_new, same, refused)


def _scene(old: pa.RecordBatch, returned: Returned, known: Known, intents: Sequence[Intent]) -> _Scene:
    old = columns.drop_hashes(old)
    kept = np.flatnonzero(~returned.surplus)
    ids = _distinct([known.ids, old, returned.records])
    table = IdTable([sealing.hash_ids(ids)])
    new_at = _positions(table, returned.records.take(pa.array(kept)))
    new_at = np.where(new_at >= 0, kept[new_at] if len(kept) else new_at, -1)
    at_known = _positions(table, known.ids)
    before = known.records if known.records is not None else old.slice(0, 0)
    in_old, in_new = (gathered(side, at_known) for side in (known.in_old, known.in_new))
    forward, reverse = (_planned(table, [i for i in intents if i.direction is way]) for way in Direction)
    now = _Versions(old, _positions(table, old)), _Versions(returned.records, new_at)
    return _Scene(ids, at_known, *now, _Versions(before, _positions(table, before)), in_old, in_new, forward, reverse)


def _distinct(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """All ids once, in the order in which they come first."""
    texts = pa.concat_arrays([batch.column(columns.ID) for batch in batches])
    kinds = pa.concat_arrays([batch.column(columns.ID_KIND).cast(pa.string()) for batch in batches])
    ids = columns.make(texts, kind_column(kinds))
    hashes = sealing.hash_ids(ids)
    return ids.take(pa.array(np.unique(IdTable([hashes]).find(hashes))))


def _positions(table: IdTable, batch: pa.RecordBatch) -> Rows:
    """For each id of the table its row in the batch, -1 for none. Raises ValueError for an id that comes twice."""
    at = np.full(len(table), -1, dtype=np.int64)
    found = table.find(sealing.hash_ids(batch))
    rows = np.flatnonzero(found >= 0)
    at[found[rows]] = rows
    if np.count_nonzero(at >= 0) < len(rows):
        raise ValueError("an id comes twice on one side of a merge")
    return at


def _planned(table: IdTable, intents: Sequence[Intent]) -> _Planned:
    upserts = tuple(
        _Versions(
            columns.drop_hashes(intent.records),
            _positions(table, intent.records),
            None if intent.stale is None else ~intent.stale,
        )
        for intent in intents
    )
    gone = np.zeros(len(table), dtype=np.bool_)
    for intent in intents:
        found = table.find(sealing.hash_ids(intent.gone))
        gone[found[found >= 0]] = True
    return _Planned(upserts, gone, tuple(intent.closed for intent in intents))


def _old_changed(scene: _Scene, known: Known, rules: Rules) -> tuple[Mask, Mask]:
    """Parts that somebody changed in the old store, and parts that hold what an open reverse delta writes."""
    stored = gathered(sealing.hash_parts(scene.old.records), scene.old.at)
    differs = parts_differ(stored, gathered(known.old_hashes, scene.known)) | ~scene.in_old[:, np.newaxis]
    differs &= scene.old.there[:, np.newaxis]
    if rules.noisy_old:
        differs &= ~_matches(differs, [scene.before], scene.old, rules.same_old)
    # What a forward delta holds was seen in the old store when it was made.
    differs &= ~_matches(differs, scene.forward.upserts, scene.old, rules.same_old)
    ours = _matches(differs, scene.reverse.upserts, scene.old, rules.same_old)
    return differs & ~ours, ours


def _new_changed(scene: _Scene, returned: Returned, known: Known, rules: Rules) -> Mask:
    """Parts whose value in the source's terms changed in the new store, by the hashes of what it stores."""
    stored = gathered(sealing.hash_parts(returned.raw), scene.new.at)
    raw = parts_differ(stored, gathered(known.new_hashes, scene.known))
    decoded = gathered(sealing.hash_parts(returned.records), scene.new.at)
    value = parts_differ(decoded, gathered(known.old_hashes, scene.known))
    in_old, in_new = scene.in_old[:, np.newaxis], scene.in_new[:, np.newaxis]
    changed = (_by_source_part(raw, rules.mapping) | ~in_new) & (value | ~in_old) & scene.new.there[:, np.newaxis]
    # Texts that share one field of the target change together there; what the other one was is predicted.
    known_value = _moved(scene.before, changed, rules.mapping)
    changed &= ~_matches(changed, [known_value], scene.new, rules.same_new if rules.noisy_new else exactly)
    for versions in scene.forward.upserts:
        changed &= ~_matches(changed, [_moved(versions, changed, rules.mapping)], scene.new, rules.same_new)
    return changed


def _by_source_part(raw: Mask, mapping: Mapping) -> Mask:
    """Which parts in the source's terms could have changed, given those of the target: documents and payloads may
    stand in each other."""
    result = raw.copy()
    if isinstance(mapping.document, DocumentInPayload):
        result[:, _DOCUMENT] |= raw[:, _PAYLOAD]
    if isinstance(mapping.document, DocumentFromPayload):
        result[:, _PAYLOAD] |= raw[:, _DOCUMENT]
    return result


def _moved(versions: _Versions, needed: Mask, mapping: Mapping) -> _Versions:
    """These versions as the new store would give them back, of the ids that need it."""
    rows = np.flatnonzero(needed.any(axis=1) & versions.there)
    there, of_rows = moved(versions.take(rows), mapping)
    at = np.full(len(versions.at), -1, dtype=np.int64)
    at[rows[of_rows]] = np.arange(len(of_rows))
    return _Versions(there, at)


def _matches(parts: Mask, versions: Sequence[_Versions], found: _Versions, compare: Comparator) -> Mask:
    """Among `parts`, `(n, 3) bool`, those whose value found is that of any of the versions."""
    result = np.zeros_like(parts)
    for version in versions:
        rows = np.flatnonzero(parts.any(axis=1) & version.there & found.there)
        if len(rows):
            same = alike(version.take(rows), found.take(rows), compare)
            result[rows] |= same if version.parts is None else same & version.parts[version.at[rows]]
    return result & parts


def _same_now(scene: _Scene, parts: Mask, rules: Rules) -> Mask:
    """Among `parts`, `(n, 3) bool`, those that are the same in both stores: as they are, or as they would be once the
    old store's value was moved."""
    same = _matches(parts, [scene.old], scene.new, rules.same_new)
    left = parts & ~same
    return same | _matches(left, [_moved(scene.old, left, rules.mapping)], scene.new, rules.same_new)


def _refused(scene: _Scene, returned: Returned) -> Mask:
    problems: Mask = returned.refused.is_valid().to_numpy(zero_copy_only=False)
    return gathered(problems, scene.new.at)
