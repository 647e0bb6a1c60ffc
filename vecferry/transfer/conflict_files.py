"""The file in which a person decides conflicts: JSON lines, or CSV with its facts in a `.json` beside it.

The file belongs to the conflicts that it was written for: its digest covers ids, parts and both values. Read back it
must hold each of them once, and nothing else, with a decision. The columns `old`, `new` and `known` are for the eye.

    conflicts.jsonl       a first line of facts, then one line a conflict
    conflicts.csv         one row a conflict; every value is JSON text, so that no spreadsheet takes it for a number
    conflicts.csv.json    the facts
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical
from vecferry.errors import ConfigError, DataDiffer, NotFound
from vecferry.hashing import HASH_BYTES
from vecferry.idtable import IdTable
from vecferry.model import IdKind, RecordId
from vecferry.stores.staging import write_whole, writing
from vecferry.transfer.conflicts import CONFLICTS_SCHEMA, PART_NAMES, Choice, Conflicts, Decisions

__all__ = ["digest_of", "read_decisions", "write_conflicts"]

FORMAT, VERSION = "vecferry-conflicts", 1
_HOW = 'write "old" or "new" as the decision of each conflict: whose version stays; the other one goes to the archive'
_ADVICE = "change nothing but the decisions; remove the file and have it written again"
_COLUMNS = ("id_kind", "id", "part", "cause", "old", "new", "known", "decision", "old_hash", "new_hash")
_CHOICES = {"old": Choice.OLD, "new": Choice.NEW}
_MAX_NAMED = 5


def write_conflicts(path: Path, conflicts: Conflicts, migration: str) -> bool:
    """Write the file that a person edits; `.csv` chooses CSV, any other ending JSON lines.

    A file of the very same conflicts stays as it is, with what was decided there: False. Raises ConfigError where
    another file is in the way, StoreRefused or Stopped when it cannot be written.
    """
    if path.exists():
        if _facts_of(path).get("digest") == str(conflicts.digest()):
            return False
        raise ConfigError(
            f"{path} is there already, and is not about these conflicts", advice="name another file, or remove this one"
        )
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "migration": migration,
        "conflicts": len(conflicts),
        "digest": str(conflicts.digest()),
        "how": _HOW,
    }
    with writing(str(path)):
        for file, content in _contents(path, facts, conflicts):
            write_whole(file, content.encode())
    return True


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _facts_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _contents(path: Path, facts: Mapping[str, Any], conflicts: Conflicts) -> Iterator[tuple[Path, str]]:
    """Which files to write; the one that a person opens last."""
    if not _is_csv(path):
        lines = (",".join(f"{_json(name)}:{text}" for name, text in row.items()) for row in _rows(conflicts))
        yield path, "".join([_json(facts) + "\n", *(f"{{{line}}}\n" for line in lines)])
        return
    yield _facts_path(path), _json(facts) + "\n"
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(_rows(conflicts))
    # With the mark, spreadsheets know that it is UTF-8.
    yield path, "\ufeff" + text.getvalue()


def _json(value: Any) -> str:
    return canonical.encode(value).decode()


def _rows(conflicts: Conflicts) -> Iterator[dict[str, str]]:
    """Each conflict as JSON texts by column; no decision yet."""
    for row in conflicts.batch.to_pylist():
        texts = {name: _json(row[name]) for name in ("id_kind", "id", "part", "cause")}
        texts |= {name: row[name] or "null" for name in ("old", "new", "known")}
        hashes = {name: _json(row[name].hex()) for name in ("old_hash", "new_hash")}
        yield {name: (texts | hashes).get(name, "null") for name in _COLUMNS}


# Reading back


def digest_of(path: Path) -> str:
    """The digest of the conflicts that a file was written for. Raises NotFound, ConfigError."""
    return str(_facts_of(path).get("digest"))


def read_decisions(path: Path, conflicts: Conflicts, accepted: str = "") -> Decisions:
    """What a person decided, for exactly these conflicts.

    A file whose digest is `accepted` decided them in a run that died: it may hold more, which are settled by now.
    Raises NotFound for no file, DataDiffer where the conflicts are not those that the file was written for,
    ConfigError, naming lines and ids, for one that is missing, unknown, twice there or without a decision.
    """
    facts = _facts_of(path)
    is_known = bool(accepted) and facts.get("digest") == accepted
    if not is_known and facts.get("digest") != str(conflicts.digest()):
        raise DataDiffer(
            f"{path} was written for other conflicts ({facts.get('conflicts')} of them): since then records changed",
            advice="write the file again and decide once more; nothing was merged",
        )
    entries = list(_csv_entries(path) if _is_csv(path) else _line_entries(path))
    found = IdTable([conflicts.keys()]).find(_as_conflicts(entries).keys())
    if is_known:
        entries = [entry for entry, at in zip(entries, found.tolist(), strict=True) if at >= 0]
        found = found[found >= 0]
    _refuse_others(path, conflicts, entries, found)
    _refuse(path, "no decision yet", [entry for entry in entries if entry.decision not in _CHOICES])
    choices = np.zeros(len(conflicts), dtype=np.int8)
    choices[found] = [_CHOICES[entry.decision] for entry in entries]
    return Decisions(conflicts, choices)


def _refuse_others(path: Path, conflicts: Conflicts, entries: Sequence[_Entry], found: npt.NDArray[np.int64]) -> None:
    """Raise ConfigError unless each conflict stands in the file once, and nothing else."""
    unknown = [entry for entry, at in zip(entries, found.tolist(), strict=True) if at < 0]
    _refuse(path, "not one of the conflicts (was an id, a part or a hash changed?)", unknown)
    first = set(np.unique(found, return_index=True)[1].tolist())
    _refuse(path, "there for the second time", [entry for at, entry in enumerate(entries) if at not in first])
    missing = np.setdiff1d(np.arange(len(conflicts)), found)
    if len(missing):
        some = conflicts.ids().take(pa.array(missing[:_MAX_NAMED]))
        names = ", ".join(map(str, columns.record_ids(some)))
        raise ConfigError(f"{path} lacks {len(missing):,} of the conflicts: {names}", advice=_ADVICE)


def _refuse(path: Path, what: str, entries: Sequence[_Entry]) -> None:
    if entries:
        named = ", ".join(f"line {entry.line} ({entry.id!r}, {entry.part})" for entry in entries[:_MAX_NAMED])
        more = f" and {len(entries) - _MAX_NAMED:,} more" * (len(entries) > _MAX_NAMED)
        raise ConfigError(f"{path}: {what}: {named}{more}", advice=_HOW)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What counts of one line."""

    line: int
    id_kind: IdKind
    id: str
    part: str
    old_hash: bytes
    new_hash: bytes
    decision: str

    @classmethod
    def of(cls, path: Path, line: int, values: Mapping[str, Any]) -> _Entry:
        """Raises ConfigError, naming the line, for values that cannot be read."""
        try:
            old_hash, new_hash = (bytes.fromhex(values[name]) for name in ("old_hash", "new_hash"))
            kind, record_id, part = IdKind(values["id_kind"]), values["id"], values["part"]
            decision = values["decision"]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}, line {line}: {_in_words(error)}", advice=_ADVICE) from error
        sound = isinstance(record_id, str) and part in PART_NAMES and len(old_hash) == len(new_hash) == HASH_BYTES
        if not sound:
            raise ConfigError(f"{path}, line {line}: its id, part or hashes cannot be read", advice=_ADVICE)
        return cls(line, kind, record_id, part, old_hash, new_hash, decision if isinstance(decision, str) else "")


def _in_words(error: Exception) -> str:
    return f"the column {error} is missing" if isinstance(error, KeyError) else str(error)


def _as_conflicts(entries: Sequence[_Entry]) -> Conflicts:
    ids = columns.ids_batch(RecordId(entry.id_kind, entry.id) for entry in entries)
    hash_type = CONFLICTS_SCHEMA.field("old_hash").type
    nothing = pa.nulls(len(entries), pa.string())
    arrays = [
        *ids.columns,
        pa.array([entry.part for entry in entries], pa.string()),
        pa.array([""] * len(entries), pa.string()),
        pa.array([entry.old_hash for entry in entries], hash_type),
        pa.array([entry.new_hash for entry in entries], hash_type),
        *[nothing] * 3,
    ]
    return Conflicts(pa.RecordBatch.from_arrays(arrays, schema=CONFLICTS_SCHEMA))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}", advice="a dry run of the rollback writes it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _object(path: Path, line: int, text: str) -> Mapping[str, Any]:
    try:
        found = canonical.parse_strict(text)
    except ValueError as error:
        raise ConfigError(f"{path}, line {line}: this is not JSON: {error}", advice=_ADVICE) from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}, line {line}: this is no JSON object", advice=_ADVICE)
    return found


def _facts_of(path: Path) -> Mapping[str, Any]:
    """What a file says of itself. Raises ConfigError for one of another kind, or of a later version."""
    place = _facts_path(path) if _is_csv(path) else path
    facts = _object(place, 1, _text_of(place).partition("\n")[0])
    if facts.get("format") != FORMAT or facts.get("version") != VERSION:
        raise ConfigError(f"{place} does not begin with the facts of a file of conflicts", advice=_ADVICE)
    return facts


def _line_entries(path: Path) -> Iterator[_Entry]:
    for line, text in enumerate(_text_of(path).split("\n"), start=1):
        if line > 1 and text.strip():
            yield _Entry.of(path, line, _object(path, line, text))


def _csv_entries(path: Path) -> Iterator[_Entry]:
    """Rows as a spreadsheet saved them: some write semicolons or tabs between the columns."""
    text = _text_of(path)
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    try:
        for row in reader:
            if any(value.strip() for value in row.values() if isinstance(value, str)):
                yield _Entry.of(path, reader.line_num, {name: _cell(value) for name, value in row.items()})
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}", advice=_ADVICE) from error


def _cell(text: Any) -> Any:
    """The value of a cell: JSON text, or a plain word that a person wrote."""
    if not isinstance(text, str):
        return None
    try:
        return canonical.parse_strict(text)
    except ValueError:
        return text.strip()
