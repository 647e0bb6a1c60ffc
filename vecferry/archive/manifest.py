"""The manifest and the plan file as data: bytes in, bytes out, no I/O.

A manifest keeps every field that it does not know, at every depth: reading and writing one changes
nothing. Its own checksum covers the unknown fields as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vecferry import canonical, plain
from vecferry.archive import layout
from vecferry.errors import ArchiveDamaged
from vecferry.model import CollectionSchema, Digest, JsonObject, Receipt

__all__ = ["Changes", "DeltaEntry", "Manifest", "PartEntry", "parse_plan", "plan_bytes"]

_CHECKSUM = "checksum"
_HEAD = ("format", "format_version", "collection", "generation", "complete", "source", "plan", "schema", "mapping")
_OURS = frozenset((*_HEAD, "parts", "deltas", "cutover", "rows", "digest", _CHECKSUM))
_DAMAGED = "restore the file from a copy; if the archive was still being filled, `vecferry resume ID` writes it anew"


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One slice in the manifest: the receipt of its rows, and of its `hashes/` file once that was written."""

    rows: Receipt
    hashes: Receipt | None = None


@dataclass(frozen=True, slots=True)
class DeltaEntry:
    """One delta in the manifest, loaded and read back.

    `direction` is `forward` (the source's changes) or `reverse`. `closing` numbers the deltas in the order of their
    read-backs: of two that name one id, the greater tells its state. `added` and `removed` are digests.
    """

    rows: Receipt
    hashes: Receipt
    direction: str
    closing: int
    added: Digest
    removed: Digest


@dataclass(frozen=True, slots=True)
class Changes:
    """What one commit sets. None, or nothing, leaves a field as it was.

    `parts`, `hashes` and `deltas` replace the entries of their numbers and leave the others. `cutover` is the receipt
    of the file that the way back stands on.
    `mapping` is any JSON value that the caller wants back; so are the values of `more`, by field name.
    """

    schema: CollectionSchema | None = None
    mapping: Any = None
    fingerprint: str | None = None
    parts: tuple[Receipt, ...] = ()
    hashes: tuple[Receipt, ...] = ()
    deltas: tuple[DeltaEntry, ...] = ()
    cutover: Receipt | None = None
    complete: bool | None = None
    more: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a collection's archive holds. `raw` is the whole document; the rest are its fields, read.

    `complete` says that every slice of the plan is among `parts`. `digest` is the sum of theirs. `deltas` are in the
    order of closing, and `current` is what the collection became by them. `cutover` is there once a switch was near.
    """

    raw: Mapping[str, Any]
    collection: str
    generation: int
    complete: bool
    schema: CollectionSchema
    fingerprint: str
    plan_sha256: str
    parts: tuple[PartEntry, ...]
    digest: Digest
    deltas: tuple[DeltaEntry, ...] = ()
    cutover: Receipt | None = None

    @property
    def current(self) -> Digest:
        """Digest of the records with all deltas: those that each added instead of those that they replaced."""
        total = self.digest
        for delta in self.deltas:
            total = total + delta.added - delta.removed
        return total

    @property
    def mapping(self) -> Any:
        """The mapping decisions as the caller gave them (None: none)."""
        return self.raw.get("mapping")

    @property
    def rows(self) -> int:
        """Records in all parts."""
        return self.digest.count

    def changed(self, changes: Changes) -> Manifest:
        """The next generation."""
        schema = None if changes.schema == self.schema else changes.schema
        settings = _settings(replace(changes, schema=schema), self.raw["source"])
        entries = {entry["number"]: entry for entry in self.raw["parts"]}
        raw = {**self.raw, **settings, "generation": self.generation + 1}
        if changes.deltas:
            raw |= {"format_version": _at_least(raw["format_version"]), "deltas": _with_deltas(raw, changes)}
        if changes.cutover is not None:
            raw |= {"format_version": _at_least(raw["format_version"]), "cutover": plain.to_plain(changes.cutover)}
        return _finished(raw, _merged(entries, changes))

    def to_bytes(self) -> bytes:
        """The text of `manifest.json`."""
        return _text(self.raw)

    @classmethod
    def first(cls, collection: str, plan_sha256: str, changes: Changes) -> Manifest:
        """Generation 1. `changes` must hold a schema (ValueError else)."""
        if changes.schema is None:
            raise ValueError("the first manifest of an archive needs the collection's schema")
        if changes.deltas or changes.cutover is not None:
            raise ValueError("the first manifest of an archive can list no deltas and no cutover")
        raw = {
            "format": layout.FORMAT,
            "format_version": layout.VERSION,
            "collection": collection,
            "generation": 1,
            "complete": False,
            "plan": {"path": layout.PLAN, "sha256": plan_sha256},
            "mapping": None,
        }
        return _finished({**raw, **_settings(changes, {"fingerprint": ""})}, _merged({}, changes))

    @classmethod
    def parse(cls, data: bytes, place: str) -> Manifest:
        """The manifest in these bytes; `place` names them in messages. Raises ArchiveDamaged."""
        raw = _document(data, place)
        if raw.get(_CHECKSUM) != _checksum(raw):
            raise ArchiveDamaged(f"{place} was changed after it was written: its checksum differs", advice=_DAMAGED)
        try:
            return _read(raw)
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveDamaged(f"{place} is not a manifest: {_reason(error)}", advice=_DAMAGED) from error


def plan_bytes(collection: str, plan: JsonObject) -> bytes:
    """The text of `plan.json`: equal plans give equal bytes."""
    head = {"format": layout.FORMAT, "format_version": layout.VERSION}
    return _text({**head, "collection": collection, "plan": plain.to_plain(plan)}, sort_keys=True)


def parse_plan(data: bytes, place: str) -> tuple[str, JsonObject]:
    """The collection's name and the plan in these bytes. Raises ArchiveDamaged."""
    raw = _document(data, place)
    if not isinstance(raw.get("collection"), str) or not isinstance(raw.get("plan"), dict):
        raise ArchiveDamaged(f"{place} holds no plan", advice=_DAMAGED)
    return raw["collection"], raw["plan"]


def _settings(changes: Changes, source: Mapping[str, Any]) -> dict[str, Any]:
    """Top-level fields that the changes set. `source` is the field of that name as it was."""
    taken = sorted(_OURS & set(changes.more))
    if taken:
        raise ValueError(f"the manifest's field {taken[0]!r} cannot be set as one of `more`")
    fingerprint = {} if changes.fingerprint is None else {"fingerprint": changes.fingerprint}
    result: dict[str, Any] = {**plain.to_plain(changes.more), "source": {**source, **fingerprint}}
    if changes.schema is not None:
        result["schema"] = plain.to_plain(changes.schema)
    if changes.mapping is not None:
        result["mapping"] = plain.to_plain(changes.mapping)
    if changes.complete is not None:
        result["complete"] = changes.complete
    return result


def _merged(entries: dict[int, dict[str, Any]], changes: Changes) -> list[dict[str, Any]]:
    """Entries of the parts by number; an entry that did not change keeps its unknown fields."""
    result = dict(entries)
    for receipt in changes.parts:
        new = plain.to_plain(receipt)
        old = result.get(receipt.number, {})
        if any(old.get(name) != value for name, value in new.items()):
            result[receipt.number] = new
    for receipt in changes.hashes:
        if receipt.number not in result:
            raise ValueError(f"hashes of part {receipt.number} were given, but no such part")
        result[receipt.number] = {**result[receipt.number], "hashes": plain.to_plain(receipt)}
    return [result[number] for number in sorted(result)]


def _with_deltas(raw: Mapping[str, Any], changes: Changes) -> list[dict[str, Any]]:
    """Entries of the deltas in the order of closing; one that did not change keeps its unknown fields."""
    result = {entry["number"]: entry for entry in raw.get("deltas", [])}
    for delta in changes.deltas:
        new = {
            **plain.to_plain(delta.rows),
            "hashes": plain.to_plain(delta.hashes),
            "direction": delta.direction,
            "closing": delta.closing,
            "added": str(delta.added),
            "removed": str(delta.removed),
        }
        old = result.get(delta.rows.number, {})
        if any(old.get(name) != value for name, value in new.items()):
            result[delta.rows.number] = new
    return sorted(result.values(), key=lambda entry: int(entry["closing"]))


def _at_least(version: str) -> str:
    """The version of an archive that has deltas or a cutover now; one of a later minor version keeps its own."""
    return version if int(version.partition(".")[2]) >= layout.FORMAT_MINOR else layout.VERSION


def _finished(raw: Mapping[str, Any], parts: list[dict[str, Any]]) -> Manifest:
    digest = _total(Digest.parse(part["digest"]) for part in parts)
    whole = {**raw, "rows": digest.count, "digest": str(digest), "parts": parts}
    whole.pop(_CHECKSUM, None)
    return _read({**whole, _CHECKSUM: _checksum(whole)})


def _read(raw: Mapping[str, Any]) -> Manifest:
    """The fields of a document. Raises KeyError, TypeError or ValueError."""
    parts = tuple(_entry(part) for part in raw["parts"])
    numbers = [part.rows.number for part in parts]
    if numbers != sorted(set(numbers)):
        raise ValueError("its parts are not in ascending order, each once")
    digest = Digest.parse(raw["digest"])
    if digest != _total(Digest.parse(part.rows.digest) for part in parts) or raw["rows"] != digest.count:
        raise ValueError("its digest is not the sum of its parts'")
    return Manifest(
        raw=raw,
        collection=plain.from_plain(str, raw["collection"]),
        generation=plain.from_plain(int, raw["generation"]),
        complete=plain.from_plain(bool, raw["complete"]),
        schema=plain.from_plain(CollectionSchema, raw["schema"]),
        fingerprint=plain.from_plain(str, raw["source"]["fingerprint"]),
        plan_sha256=plain.from_plain(str, raw["plan"]["sha256"]),
        parts=parts,
        digest=digest,
        deltas=_deltas(raw),
        cutover=_cutover(raw),
    )


def _cutover(raw: Mapping[str, Any]) -> Receipt | None:
    if raw.get("cutover") is None:
        return None
    found = plain.from_plain(Receipt, raw["cutover"])
    if found.path != layout.CUTOVER:
        raise ValueError(f"the cutover names the file {found.path!r} instead of {layout.CUTOVER}")
    return found


def _deltas(raw: Mapping[str, Any]) -> tuple[DeltaEntry, ...]:
    deltas = tuple(_delta(entry) for entry in raw.get("deltas", []))
    closings, numbers = [delta.closing for delta in deltas], {delta.rows.number for delta in deltas}
    if closings != sorted(set(closings)) or len(numbers) != len(deltas):
        raise ValueError("its deltas are not in the order of closing, each once")
    return deltas


def _delta(raw: Mapping[str, Any]) -> DeltaEntry:
    rows, hashes = plain.from_plain(Receipt, raw), plain.from_plain(Receipt, raw["hashes"])
    for receipt, path in ((rows, layout.delta_path(rows.number)), (hashes, layout.delta_hashes_path(rows.number))):
        if receipt.path != path or receipt.number != rows.number:
            raise ValueError(f"delta {rows.number} names the file {receipt.path!r} instead of {path}")
    direction, closing = plain.from_plain(str, raw["direction"]), plain.from_plain(int, raw["closing"])
    return DeltaEntry(rows, hashes, direction, closing, Digest.parse(raw["added"]), Digest.parse(raw["removed"]))


def _entry(raw: Mapping[str, Any]) -> PartEntry:
    rows = plain.from_plain(Receipt, raw)
    hashes = plain.from_plain(Receipt, raw["hashes"]) if raw.get("hashes") is not None else None
    for receipt, path in ((rows, layout.part_path(rows.number)), (hashes, layout.hashes_path(rows.number))):
        if receipt is not None and (receipt.path != path or receipt.number != rows.number):
            raise ValueError(f"part {rows.number} names the file {receipt.path!r} instead of {path}")
    return PartEntry(rows, hashes)


def _total(digests: Iterable[Digest]) -> Digest:
    return sum(digests, Digest())


def _document(data: bytes, place: str) -> dict[str, Any]:
    """A JSON object of our format, of a version that can be read."""
    try:
        raw = canonical.parse_strict(data.decode())
    except ValueError as error:
        raise ArchiveDamaged(f"{place} is not JSON text: {_reason(error)}", advice=_DAMAGED) from error
    if not isinstance(raw, dict) or raw.get("format") != layout.FORMAT:
        raise ArchiveDamaged(f"{place} does not belong to a vecferry archive", advice="name an archive's folder")
    version = str(raw.get("format_version"))
    major, _, minor = version.partition(".")
    if not (major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()):
        raise ArchiveDamaged(f"{place} states no format version", advice=_DAMAGED)
    if int(major) > layout.FORMAT_MAJOR:
        raise ArchiveDamaged(
            f"{place} has the format version {version}; this vecferry reads up to {layout.FORMAT_MAJOR}.x",
            advice="install a newer vecferry: pip install --upgrade vecferry",
        )
    return raw


def _checksum(raw: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON text of everything but the checksum itself, in hex."""
    covered = {name: value for name, value in raw.items() if name != _CHECKSUM}
    return hashlib.sha256(canonical.encode(covered)).hexdigest()


def _text(raw: Mapping[str, Any], *, sort_keys: bool = False) -> bytes:
    return (json.dumps(raw, indent=1, sort_keys=sort_keys, allow_nan=False) + "\n").encode()


def _reason(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)
