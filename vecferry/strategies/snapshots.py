"""The snapshot of a snapshot-restore as the ledger keeps it: its kind, the digest that pins it, where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from vecferry import plain
from vecferry.address import Address, parse
from vecferry.contract import Source
from vecferry.errors import NotFound
from vecferry.model import Digest, Slice
from vecferry.strategies.work import Work
from vecferry.transfer import handles
from vecferry.transfer.backup import CopiedFile
from vecferry.transfer.backup_listing import Method
from vecferry.transfer.originals import in_original_terms
from vecferry.transfer.relocated import is_read_directly, relocated

__all__ = [
    "SNAPSHOT_FACT",
    "WAY_FACT",
    "Moment",
    "Need",
    "PausePart",
    "Rates",
    "Snapshot",
    "SnapshotKind",
    "SnapshotWay",
    "address_of",
    "copied_address",
    "copy_folder",
    "digest_folder",
    "exported_digest",
    "find_snapshot",
    "is_restored",
    "keep_snapshot",
    "opened_folder",
    "opens_beside",
    "snapshot_of",
    "source_of",
    "way_chosen",
]

SNAPSHOT_FACT, WAY_FACT = "snapshot", "snapshot way"


class SnapshotKind(StrEnum):
    """What is copied under the pause: the store's own files, the folder of its server, or records to the archive.

    `SERVER`: records to the archive, and a snapshot that one server makes and another one takes back.
    """

    FILES = "files"
    FOLDER = "folder"
    SERVER = "server"
    ARCHIVE = "archive"


class Need(StrEnum):
    """What is to be done under a pause: make a snapshot, take the one that is there, or bring it up to date."""

    MAKE = "make"
    KEEP = "keep"
    CARRY = "carry"


class Moment(StrEnum):
    """When a digest of the old store is taken."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds a record, measured with `rows` of them by as many workers as the copy has: reading and hashing it in the
    old store, writing it to a part, writing it from there to the new store, reading it back and comparing it, listing
    its id. `record_bytes` are those of one record in memory. `open_old_s` and `open_new_s` are the seconds until a
    store that was opened anew has answered, `ready_s` those until the new one was ready for reads.

    `unknown` says why the new store was not measured; it is taken for as fast as the old one then.
    """

    rows: int = 0
    record_bytes: float = 0.0
    read_s: float = 0.0
    part_s: float = 0.0
    write_s: float = 0.0
    compare_s: float = 0.0
    list_s: float = 0.0
    open_old_s: float = 0.0
    open_new_s: float = 0.0
    ready_s: float = 0.0
    unknown: str = ""

    def __str__(self) -> str:
        pairs = (
            ("read", self.read_s),
            ("written", self.write_s),
            ("compared", self.compare_s),
            ("listed", self.list_s),
        )
        known = pairs[:1] if self.unknown else pairs
        return ", ".join(f"{name} {1 / max(seconds, 1e-9):,.0f}" for name, seconds in known)


@dataclass(frozen=True, slots=True)
class PausePart:
    """What is done under the pause, `times` times, in about `seconds` each; `guessed` where nothing like it was done
    before.
    """

    name: str
    seconds: float
    times: int = 1
    guessed: bool = False

    def __str__(self) -> str:
        often = f"{self.times} x " if self.times != 1 else ""
        return f"{self.name} {often}{self.seconds:,.1f} s{' (guessed)' if self.guessed else ''}"


@dataclass(frozen=True, slots=True)
class SnapshotWay:
    """How the plan means to take it, and what the pause will be made of."""

    kind: SnapshotKind
    says: str
    rates: Rates
    parts: tuple[PausePart, ...]

    @property
    def pause_s(self) -> float:
        """For about how long writes pause."""
        return sum(part.times * part.seconds for part in self.parts)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`digest` is what the old store held under the pause of the token `pause`.

    `folder` is where its files were copied to (None: none were). `slices` cover the copy, or the store itself; None
    until they were cut. `whole`: everything was exported, and the store was found unchanged afterwards.
    """

    kind: SnapshotKind
    pause: int
    digest: str
    folder: str | None = None
    files: tuple[CopiedFile, ...] = ()
    slices: tuple[Slice, ...] | None = None
    whole: bool = False

    @property
    def size_bytes(self) -> int:
        """Of the copied files."""
        return sum(item.size_bytes for item in self.files)


def way_chosen(work: Work) -> SnapshotWay:
    """What the plan says. Raises NotFound before there is one."""
    found = work.fact(WAY_FACT)
    if found is None:
        raise NotFound(f"migration {work.ref.migration} has chosen no snapshot yet")
    return plain.from_plain(SnapshotWay, found)


def find_snapshot(work: Work) -> Snapshot | None:
    """The last snapshot that was begun, under this pause or an earlier one."""
    found = work.fact(SNAPSHOT_FACT)
    return None if found is None else plain.from_plain(Snapshot, found)


def snapshot_of(work: Work) -> Snapshot:
    """The same where there is one. Raises NotFound."""
    found = find_snapshot(work)
    if found is None:
        raise NotFound(f"migration {work.ref.migration} has begun no snapshot yet")
    return found


def keep_snapshot(work: Work, found: Snapshot) -> None:
    """Record it."""
    work.ledger.set_fact(work.ref.migration, SNAPSHOT_FACT, plain.to_plain(found), work.ref.token or None)


def digest_folder(work: Work, moment: Moment) -> Path:
    """Where the ids and hashes of a digest are laid aside."""
    return Path(work.archive.place) / ".passes" / f"digest-{moment}"


def copy_folder(work: Work) -> Path:
    """Where files are copied to: the backup of a migration, with its listing beside it."""
    return work.backup_folder / Method.FILES


def opened_folder(work: Work) -> Path:
    """Where an engine that writes to what it opens gets a copy of its own, so that the backup stays as it is."""
    return Path(work.archive.place) / ".passes" / "opened"


def source_of(work: Work, found: Snapshot) -> Source:
    """What is exported, in original terms: the copy, or where no files were copied the old store itself."""
    if found.folder is None:
        return work.source()
    return in_original_terms(handles.source(address_of(work, found)))


def address_of(work: Work, found: Snapshot) -> Address:
    """Where the copy is opened."""
    old = work.config.source.address()
    if found.folder is None:
        return old
    return replace(relocated(copied_address(work, found.kind), Path(found.folder)), trusted=old.trusted)


def copied_address(work: Work, kind: SnapshotKind) -> Address:
    """What is copied, as a store: of a server's folder that folder, else the source itself."""
    source, folder = work.config.source.public(), work.config.snapshot_folder
    if kind is not SnapshotKind.FOLDER or folder is None:
        return source
    named = {key: value for key, value in source.options.items() if key in ("tenant", "database")}
    inside = parse(f"chroma+path:///x/{source.raw_path.rstrip('/').rpartition('/')[2]}")
    return relocated(replace(inside, options=named), folder)


def opens_beside(work: Work, kind: SnapshotKind) -> bool:
    """Whether the engine writes to what it opens, and gets a copy of its own."""
    return kind is SnapshotKind.FILES and not is_read_directly(work.config.source.public().scheme)


def is_restored(work: Work) -> bool:
    """Whether the target comes into being as a whole, from a snapshot of the source's server."""
    return way_chosen(work).kind is SnapshotKind.SERVER


def exported_digest(work: Work) -> str:
    """What the archive holds now: its parts, and what was carried over since."""
    if work.archive.has_manifest() and work.fact("loaded"):
        return str(work.archive.manifest().current)
    copied = (row.copied for row in work.slices())
    return str(sum((Digest.parse(one.digest) for one in copied if one is not None), Digest()))
