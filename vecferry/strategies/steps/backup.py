"""Verified copies: of a migration's source that is made of files (phase 2), and of a database as an archive."""

from __future__ import annotations

from vecferry import plain
from vecferry.contract import Source
from vecferry.errors import ArchiveDamaged
from vecferry.stores import registry
from vecferry.strategies.runner import Ref
from vecferry.strategies.shared_copy import copied_by_another, stamp_of
from vecferry.strategies.work import Work, open_work
from vecferry.transfer.backup import copy_store, list_files
from vecferry.transfer.backup_listing import BackupListing, Method, utc_now, write_listing
from vecferry.transfer.backup_set import finish, read_making
from vecferry.transfer.engine_name import engine_name

__all__ = ["back_up", "seal_backup"]


def back_up(ref: Ref) -> None:
    """Copy the source's files beside the archive, with checksums, and read the copy back."""
    work = open_work(ref)

    def copy() -> dict[str, object]:
        return _copy(work) if work.config.backup else {"folder": None, "files": []}

    work.once("backup", copy)


def _copy(work: Work) -> dict[str, object]:
    made_at = utc_now()
    work.release()  # an engine of this process must be closed while its files are copied
    with registry.open_source(work.config.source.address()) as source:
        files = source.files()
        if not files:
            return {"folder": None, "files": []}
        shared, stamp = copied_by_another(work, files), stamp_of(files)
        if shared is not None:
            return dict(shared)
        listing = _listing(work, source, made_at)
        write_listing(work.backup_folder, listing)
        return {"folder": str(work.backup_folder), "files": plain.to_plain(listing.files), "stamp": stamp}


def _listing(work: Work, source: Source, made_at: str) -> BackupListing:
    copied = tuple(copy_store(source, work.backup_folder / Method.FILES))
    address = work.config.source.public()
    engine = engine_name(address.scheme, source)
    name = work.plan.schema.name
    return BackupListing(
        str(address), name, engine, Method.FILES, copied, made_at, rows=work.plan.rows, verified_at=utc_now()
    )


def seal_backup(ref: Ref) -> None:
    """Make the verified archive a backup: list its files with their checksums. Raises ArchiveDamaged for no backup."""
    work = open_work(ref)
    folder = work.archive_folder.parent
    making = read_making(folder)
    if making is None:
        raise ArchiveDamaged(f"{folder} is no backup in the making", advice="make the backup again")
    manifest = work.archive.manifest()
    files = list_files(work.archive_folder)
    address = work.config.source.public()
    with registry.open_source(work.config.source.address()) as source:
        engine = engine_name(address.scheme, source)
    listing = BackupListing(
        making.source,
        making.collection,
        engine,
        Method.ARCHIVE,
        tuple(files),
        making.made_at,
        rows=manifest.rows,
        digest=str(manifest.digest),
        verified_at=utc_now(),
    )
    work.once("backup", lambda: {"folder": str(folder), "files": plain.to_plain(files)})
    finish(folder, listing)
