"""Snapshot-restore: which snapshot, the digest that pins it, the copy under the pause, and the proof that it holds."""

from __future__ import annotations

import shutil
from dataclasses import replace

from vecferry import failpoints, plain
from vecferry.contract import Source, SourceFile
from vecferry.errors import BadOption, DataDiffer, NotFound, PlanRefused, Stopped, UnsafeRoute
from vecferry.ledger import State
from vecferry.model import Digest
from vecferry.stores import registry
from vecferry.stores.folder_files import files_below
from vecferry.strategies import telling
from vecferry.strategies.runner import Ref
from vecferry.strategies.snapshots import (
    WAY_FACT,
    Moment,
    Need,
    Snapshot,
    SnapshotKind,
    SnapshotWay,
    address_of,
    copied_address,
    copy_folder,
    digest_folder,
    exported_digest,
    find_snapshot,
    keep_snapshot,
    opened_folder,
    opens_beside,
    snapshot_of,
    source_of,
    way_chosen,
)
from vecferry.strategies.steps.copy import at_most
from vecferry.strategies.steps.cutover import preflight_switch
from vecferry.strategies.steps.foretelling import parts_of_pause
from vecferry.strategies.steps.inventory import refuse_strangers
from vecferry.strategies.steps.measuring import measured
from vecferry.strategies.steps.server_snapshot import fetch_snapshot, is_restorable, is_restoring
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, passes, progress, retry, space
from vecferry.transfer.backup import CopiedFile, copy_files, require_room
from vecferry.transfer.backup_listing import BackupListing, Method, utc_now, write_listing
from vecferry.transfer.differences import SeenBefore, compare
from vecferry.transfer.engine_name import engine_name
from vecferry.transfer.export import export_slices
from vecferry.transfer.plan import cut

__all__ = [
    "begin_digest",
    "begin_snapshot",
    "choose_snapshot",
    "copy_store_files",
    "digest_slice",
    "end_digest",
    "export_snapshot",
    "freeze_snapshot",
    "freeze_source",
    "is_source_frozen",
    "preflight_snapshot",
    "require_pinned",
    "require_unchanged",
]

_DIGEST = "digest"
_DATABASE = "chroma.sqlite3"


def choose_snapshot(ref: Ref) -> None:
    """Choose how the snapshot is taken, and measure how fast a copy goes, before anybody is asked.

    Raises BadOption for a folder that is none, PlanRefused where the pause would be longer than its limit.
    """
    work = open_work(ref)

    def choose() -> dict[str, object]:
        kind, limit_s = _kind(work), work.config.pause_limit_s
        rates = measured(work)
        way = SnapshotWay(kind, _says(work, kind), rates, parts_of_pause(work, kind, rates))
        if way.pause_s > limit_s:
            raise PlanRefused(
                f"writes would pause for about {way.pause_s:,.0f} s, and pause_limit_s allows {limit_s:,.0f} s",
                advice=f"vecferry abort {ref.migration}, then begin anew with a longer --pause-limit-s, or with "
                "--strategy blue-green, which copies before the pause",
            )
        found: dict[str, object] = plain.to_plain(way)
        return found

    work.once(WAY_FACT, choose)


def _kind(work: Work) -> SnapshotKind:
    source, folder = work.source(), work.config.snapshot_folder
    if not source.capabilities().returns_same_bits:
        raise PlanRefused(
            f"{source.url} does not return the same bits twice, so that no digest pins it",
            advice="take --strategy blue-green, which compares within a tolerance",
        )
    if folder is not None:
        if not work.config.source.public().scheme.startswith("chroma") or not work.config.source.public().host:
            raise BadOption("snapshot_folder belongs to a Chroma server (chroma://)", advice="leave it out")
        if not (folder / _DATABASE).is_file():
            raise BadOption(f"{folder} is not the folder of a Chroma server: it has no {_DATABASE}")
        return SnapshotKind.FOLDER
    handles.release(work.config.source.address())  # an engine of this process is closed before its files are listed
    if not work.config.backup:
        return SnapshotKind.ARCHIVE
    with registry.open_source(work.config.source.address()) as opened:
        if opened.files():
            return SnapshotKind.FILES
    return SnapshotKind.SERVER if is_restorable(work) else SnapshotKind.ARCHIVE


def _says(work: Work, kind: SnapshotKind) -> str:
    source = work.config.source.public()
    words = {
        SnapshotKind.FILES: f"the files of {source} are copied, with checksums, and read from the copy",
        SnapshotKind.FOLDER: f"the server's folder {work.config.snapshot_folder} is copied, with checksums, and read "
        "from the copy",
        SnapshotKind.SERVER: f"the server of {source} makes a snapshot, which the new one takes back whole; every "
        "record is exported to the archive as well, to be compared with",
        SnapshotKind.ARCHIVE: f"every record of {source} is exported to the archive",
    }
    return words[kind]


def is_source_frozen(ref: Ref) -> bool:
    """Whether the pause of an earlier run holds yet: the snapshot that it took may still be gone on with."""
    return telling.held_pause(open_work(ref)) is not None


def preflight_snapshot(ref: Ref) -> None:
    """Before anything pauses: there is room, both stores answer, the target is this migration's own or absent.

    Raises UnsafeRoute, Stopped, TargetNotEmpty.
    """
    work = open_work(ref)
    if work.fact("loaded") is not None:
        preflight_switch(ref)
        return
    work.check()
    space.require_for_passes(work.archive_folder, work.plan.rows)
    work.release()
    _require_room_for_copies(work)
    try:
        retry.call(work.config.retry_budget_s, work.source().count)
    except NotFound as error:
        raise UnsafeRoute(f"the old store is gone: {error}", advice="nothing was paused or switched") from error
    if not is_restoring(work):
        refuse_strangers(work)
    work.release()


def _require_room_for_copies(work: Work) -> None:
    """Raise Stopped where the disk is too small for the files that are copied under the pause."""
    kind = way_chosen(work).kind
    if kind in (SnapshotKind.FILES, SnapshotKind.FOLDER):
        size_bytes = sum(item.file.stat().st_size for item in _files(work, kind))
        require_room(copy_folder(work), size_bytes * (2 if opens_beside(work, kind) else 1))


def freeze_source(ref: Ref, approval: int | None) -> None:
    """Use the yes, then pause the writes in the ledger; the state stays. A pause of this migration that holds is kept.

    Raises UnsafeRoute for a yes that is none, Stopped where there was no question because a pause held, and it ended.
    """
    work = open_work(ref)
    if is_source_frozen(ref):
        return
    if approval is None:
        raise Stopped(
            "the pause of the earlier run ended just now", advice=f"vecferry resume {ref.migration} asks for a new one"
        )
    route, config = work.migration.route, work.config
    work.ledger.use_approval(ref.migration, approval, ref.token)
    ttl_s = min(config.hooks.pause_ttl_s, config.pause_limit_s)
    work.ledger.pause_writes(route, ref.migration, ttl_s, ref.token, workspace=work.workspace, state_to=None)
    failpoints.reached("snapshot.frozen")


def begin_digest(ref: Ref, token: int, moment: Moment) -> list[int]:
    """Open the old store anew and cut slices for a digest of every record; their numbers.

    None for files that are, by their fingerprint, bit for bit those of the digest before. Raises UnsafeRoute when the
    pause is over, DataDiffer where it is another collection than the one that was planned.
    """
    work = open_work(ref)
    work.check()
    work.require_pause(token)
    handles.release(work.config.source.address())
    source, config, folder = work.source(), work.config, digest_folder(work, moment)
    work.ledger.set_fact(ref.migration, _DIGEST, {"moment": moment.value}, ref.token)
    shutil.rmtree(folder, ignore_errors=True)
    if moment is Moment.AFTER and _is_untouched(work, source):
        return []
    spool = passes.begin_spool(source, folder, config.slice_rows, config.workers, config.retry_budget_s)
    known = work.once("identity", lambda: {"source": spool.view.identity})["source"]
    described = retry.call(config.retry_budget_s, source.describe)
    passes.require_same_collection(source.url, work.plan.schema, described, known, spool.view.identity)
    progress.begin(ref.migration, _DIGEST, spool.view.rows)
    return [part.number for part in spool.view.slices]


def _is_untouched(work: Work, source: Source) -> bool:
    before = passes.open_spool(digest_folder(work, Moment.BEFORE)).view.fingerprint
    return bool(before) and retry.call(work.config.retry_budget_s, source.fingerprint) == before


def digest_slice(ref: Ref, number: int) -> int:
    """Read one slice and lay its ids and hashes aside. Returns its rows."""
    work = open_work(ref)
    moment = Moment((work.fact(_DIGEST) or {})["moment"])
    spool = passes.open_spool(digest_folder(work, moment))
    return passes.spool_slice(work.source(), number, spool, work.limits(_DIGEST)).rows


def end_digest(ref: Ref) -> str:
    """The digest of all that was read. Raises DataDiffer where the store itself counts another number of records."""
    work = open_work(ref)
    moment = Moment((work.fact(_DIGEST) or {})["moment"])
    folder = digest_folder(work, moment)
    if moment is Moment.AFTER and not folder.exists():
        found = snapshot_of(work).digest
    else:
        found = str(_read_digest(work, passes.open_spool(folder)))
    handles.release(work.config.source.address())
    failpoints.reached("snapshot.digest_ended")
    return found


def _read_digest(work: Work, spool: passes.Spool) -> Digest:
    total = sum((Digest.parse(one.digest) for one in spool.slices()), Digest())
    counted = passes.require_unmoved(work.source(), spool.view, work.config.retry_budget_s)
    if counted != total.count:
        raise _changed(work, f"{total.count:,} records were read and it counts {counted:,}")
    return total


def _changed(work: Work, how: str) -> DataDiffer:
    return DataDiffer(
        f"{work.config.source.public()} was written under the pause: {how}",
        advice="nothing was switched. Find out who writes it without minding the pause, then vecferry resume "
        f"{work.ref.migration}",
    )


def begin_snapshot(ref: Ref, token: int, digest: str) -> Need:
    """What is to be done now that the old store has this digest, under this pause.

    What an earlier pause pinned is worth as much as the digest says: the same, and all of it stays; else a whole
    snapshot is brought up to date record by record, and one that was not finished is forgotten.
    """
    work = open_work(ref)
    found = find_snapshot(work)
    if found is not None and found.pause == token and found.digest != digest:
        raise _changed(work, f"its digest is {digest}, and was {found.digest}")
    if found is not None and found.whole:
        keep_snapshot(work, replace(found, pause=token, digest=digest))
        return Need.KEEP if exported_digest(work) == digest else Need.CARRY
    if found is None or found.digest != digest:
        for row in work.slices():
            if row.copied is not None:
                work.ledger.forget_slice(ref.migration, row.slice.number, ref.token)
        found = Snapshot(way_chosen(work).kind, token, digest)
    keep_snapshot(work, replace(found, pause=token))
    failpoints.reached("snapshot.begun")
    return Need.MAKE


def copy_store_files(ref: Ref) -> None:
    """Copy the files, where the snapshot is one of files, and cut slices of what is to be exported.

    Raises DataDiffer where a file was written to under the copy, Stopped for a disk that is too small.
    """
    work = open_work(ref)
    work.check()
    found = snapshot_of(work)
    if found.slices is not None:
        return
    work.release()
    if found.kind is SnapshotKind.SERVER:
        found = replace(found, files=fetch_snapshot(work))
        _list_copies(work, found.files, Method.SNAPSHOT, found.digest)
    elif found.kind is not SnapshotKind.ARCHIVE:
        files = copy_files(_files(work, found.kind), copy_folder(work))
        _list_copies(work, tuple(files))
        place = copy_folder(work)
        if opens_beside(work, found.kind):
            place = opened_folder(work)
            shutil.rmtree(place, ignore_errors=True)
            copy_files([SourceFile(copy_folder(work) / item.path, item.path) for item in files], place)
        found = replace(found, folder=str(place), files=tuple(files))
    config, source = work.config, source_of(work, found)
    rows = retry.call(config.retry_budget_s, source.count)
    keep_snapshot(work, replace(found, slices=cut(source, rows, config.slice_rows, config.workers)))
    failpoints.reached("snapshot.copied")


def _files(work: Work, kind: SnapshotKind) -> list[SourceFile]:
    folder = work.config.snapshot_folder
    if kind is SnapshotKind.FOLDER and folder is not None:
        return files_below(folder, folder, lambda path: not path.name.endswith("-shm"))
    with registry.open_source(work.config.source.address()) as source:
        return list(source.files())


def _list_copies(
    work: Work, files: tuple[CopiedFile, ...], method: Method = Method.FILES, digest: str | None = None
) -> None:
    """The copy is a backup as well: it lists itself."""
    address, name = work.config.source.public(), work.plan.schema.name
    copied = str(copied_address(work, way_chosen(work).kind))
    with registry.open_source(work.config.source.address()) as source:
        engine = engine_name(address.scheme, source)
    now = utc_now()
    rows = None if digest is None else Digest.parse(digest).count
    listing = BackupListing(copied, name, engine, method, files, now, rows, digest, verified_at=now)
    write_listing(work.backup_folder, listing)
    kept = {"folder": str(work.backup_folder), "files": plain.to_plain(files)}
    work.ledger.set_fact(work.ref.migration, "backup", kept, work.ref.token)


def export_snapshot(ref: Ref, number: int) -> int:
    """Write one part of the archive from the snapshot. Returns its rows."""
    work = open_work(ref)
    rows = work.slices()
    row = next(one for one in rows if one.slice.number == number)
    if row.copied is not None:
        return row.copied.rows
    found = snapshot_of(work)
    mine = [one for at, one in enumerate(found.slices or ()) if at % len(rows) == number]
    source = source_of(work, found)
    with at_most("export", work, source.capabilities().parallel_reads):
        receipt = export_slices(source, work.plan.schema, number, mine, work.archive, work.limits("export"))
    work.ledger.record_copied(ref.migration, number, receipt, ref.token)
    failpoints.reached("copy.part_recorded")
    return receipt.rows


def require_unchanged(ref: Ref, digest: str) -> Snapshot:
    """The digest after the snapshot must be the one before it, and that of what was exported. Raises DataDiffer."""
    work = open_work(ref)
    found = snapshot_of(work)
    if digest != found.digest:
        raise _changed(work, _named(work))
    exported = exported_digest(work)
    if exported != digest:
        folder = f"; is {work.config.snapshot_folder} the folder of this server" if work.config.snapshot_folder else ""
        raise DataDiffer(
            f"the snapshot is not what {work.config.source.public()} holds: its digest is {exported}, the store's was "
            f"{digest} before and after it{folder}",
            advice="nothing was switched. Was a record written and taken back meanwhile? vecferry resume "
            f"{ref.migration} takes another snapshot",
        )
    whole = replace(found, whole=True)
    keep_snapshot(work, whole)
    handles.release(address_of(work, found))
    shutil.rmtree(opened_folder(work), ignore_errors=True)
    failpoints.reached("snapshot.pinned")
    return whole


def _named(work: Work) -> str:
    """What differs between the two digests, by name."""
    before, after = (passes.open_spool(digest_folder(work, moment)) for moment in Moment)
    counted = sum(one.rows for one in after.slices())
    return str(compare(after, SeenBefore(before), counted, work.config.sync.memory_mb))


def freeze_snapshot(ref: Ref, token: int) -> None:
    """The new store is proven, and the pause holds: state FROZEN, under that same pause. Raises UnsafeRoute."""
    work = open_work(ref)
    work.require_pause(token)
    detail = {"pause": token, "digest": snapshot_of(work).digest}
    work.move(State.READY, State.FROZEN, event="snapshot proven under its pause", detail=detail)
    failpoints.reached("snapshot.proven")


def require_pinned(ref: Ref, token: int) -> None:
    """Right before the switch: the pause holds, and what is known is what the digest under this pause pins.

    Raises UnsafeRoute, DataDiffer.
    """
    work = open_work(ref)
    work.require_pause(token)
    found = snapshot_of(work)
    if found.pause != token:
        raise UnsafeRoute(
            "the snapshot was taken under another pause, which is over",
            advice=f"nothing was switched; vecferry resume {ref.migration} pauses and looks again",
        )
    current = exported_digest(work)
    if current != found.digest:
        raise _changed(work, f"the digest of what was carried over is {current}, and was {found.digest}")
