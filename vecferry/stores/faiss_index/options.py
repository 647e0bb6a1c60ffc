"""What the URL may say of an index: where its metadata is and how it is keyed, and what a target builds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from vecferry.address import Address
from vecferry.errors import BadOption

__all__ = ["Ids", "Keys", "Kind", "Options"]

_MAX_NUMBER = 1 << 20
_E = TypeVar("_E", bound=StrEnum)


class Kind(StrEnum):
    """The kind of index that a target builds."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVF = "ivf"


class Ids(StrEnum):
    """Whose number or text a record's id is. `AUTO`: the key `id` of its metadata, unless the index has own ids."""

    AUTO = "auto"
    INDEX = "index"
    METADATA = "metadata"


class Keys(StrEnum):
    """What the keys of the metadata are: the index's own ids (row numbers where it has none), or always rows."""

    ID = "id"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a URL. `metadata` is where the JSON is or would be, None where none is wanted.

    `named`: the URL names it, so that it must be there. `nlist` None: 4 * sqrt(rows), as FAISS advises.
    """

    metadata: Path | None
    named: bool = False
    ids: Ids = Ids.AUTO
    by: Keys = Keys.ID
    kind: Kind = Kind.FLAT
    m: int = 32
    ef_construct: int = 40
    nlist: int | None = None
    nprobe: int = 1

    @classmethod
    def of(cls, address: Address) -> Options:
        """Raises BadOption for an option that is unknown, malformed, or not of the kind that is built."""
        address.only_options("metadata", "id", "by", "index", "m", "ef_construct", "nlist", "nprobe")
        given = address.options
        kind = _choice(given, "index", Kind, Kind.FLAT)
        _refuse_foreign(given, kind, {"m": Kind.HNSW, "ef_construct": Kind.HNSW, "nlist": Kind.IVF, "nprobe": Kind.IVF})
        return cls(
            _metadata(address),
            bool(given.get("metadata")),
            _choice(given, "id", Ids, Ids.AUTO),
            _choice(given, "by", Keys, Keys.ID),
            kind,
            _number(given, "m", 32, 2),
            _number(given, "ef_construct", 40, 1),
            _number(given, "nlist", 1, 1) if "nlist" in given else None,
            _number(given, "nprobe", 1, 1),
        )


def _metadata(address: Address) -> Path | None:
    final = address.file.absolute()
    if "metadata" not in address.options:
        beside = final.with_suffix(".json")
        return None if beside == final else beside
    if not address.options["metadata"]:
        return None
    path = final.parent / address.options["metadata"]
    if path == final:
        raise BadOption(f"{address}: the metadata cannot be the index itself")
    return path


def _choice(given: dict[str, str], name: str, kind: type[_E], default: _E) -> _E:
    text = given.get(name, default.value)
    if text not in set(kind):
        raise BadOption(f"?{name}={text} is not known here", advice=f"it may be {', '.join(kind)}")
    return kind(text)


def _refuse_foreign(given: dict[str, str], kind: Kind, owners: dict[str, Kind]) -> None:
    for name, owner in owners.items():
        if name in given and kind is not owner:
            raise BadOption(f"?{name}= is an option of ?index={owner}, not of {kind}")


def _number(given: dict[str, str], name: str, default: int, least: int) -> int:
    text = given.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= _MAX_NUMBER:
        raise BadOption(f"?{name}={text} is not a whole number from {least} to {_MAX_NUMBER:,}")
    return int(text)
