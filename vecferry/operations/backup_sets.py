"""Look after backups: list them, read them back, remove what a retention policy no longer keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from vecferry.archive import Archive, verify
from vecferry.errors import NotFound, StoreRefused
from vecferry.stores.staging import writing
from vecferry.transfer import backup_set
from vecferry.transfer.backup import damages
from vecferry.transfer.backup_listing import BackupListing, Method, write_listing
from vecferry.transfer.backup_set import BackupState, FoundBackup
from vecferry.transfer.retention import Dated, Policy, retain

__all__ = ["Pruned", "Verified", "list_backups", "newest_of", "prune", "verify_backups"]

_WHOLE = (BackupState.VERIFIED, BackupState.UNVERIFIED)


@dataclass(frozen=True, slots=True)
class Verified:
    """One backup that was read back: how, how much, and all that is wrong with it."""

    backup: FoundBackup
    damages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a policy did. `kept` and `left` hold a reason for each folder; `left` are never removed, only told."""

    removed: tuple[Path, ...]
    kept: tuple[tuple[Path, str], ...]
    left: tuple[tuple[Path, str], ...]
    held: tuple[str, ...] = ()


def list_backups(root: Path) -> list[FoundBackup]:
    """Every backup below a folder, with what else stands among them. Raises NotFound where there is none."""
    found = backup_set.scan(root.absolute()) if root.is_dir() else []
    if not found:
        raise NotFound(f"{root} holds no backup", advice="vecferry backup URL FOLDER makes one")
    return found


def newest_of(found: Iterable[FoundBackup]) -> FoundBackup | None:
    """The whole backup that was made last."""
    whole = [item for item in found if item.listing is not None and item.state in _WHOLE]
    return max(whole, key=_age, default=None)


def _age(found: FoundBackup) -> tuple[object, str]:
    assert found.listing is not None, "only whole backups are put in order"
    return found.listing.at, found.folder.name


def verify_backups(root: Path, *, newest: bool) -> list[Verified]:
    """Read backups back: every file against its checksum, an archive also record by record.

    What is found is recorded with the backup, so that retention counts on whole ones alone. `newest`: only the
    newest of each series, damaged or not. Raises NotFound where every backup is still unfinished.
    """
    passed_over = (BackupState.FOREIGN, BackupState.UNFINISHED)
    found = [item for item in list_backups(root) if item.state not in passed_over]
    if not found:
        raise NotFound(f"{root} holds no backup that was finished", advice=f"vecferry backups list {root}")
    return [_verified(item) for item in (_newest_of_each(found) if newest else found)]


def _newest_of_each(found: Sequence[FoundBackup]) -> list[FoundBackup]:
    """By name, which is the time: a damaged one counts, or it would hide behind an older one."""
    return [list(group)[-1] for _, group in groupby(sorted(found, key=_by_series), key=lambda item: item.series)]


def _by_series(found: FoundBackup) -> tuple[str, str, str]:
    return str(found.folder.parent), found.series[1], found.folder.name


def _verified(found: FoundBackup) -> Verified:
    listing = found.listing
    if listing is None:
        return Verified(found, (found.detail,))
    wrong = tuple(_damages(found.folder, listing))
    read = listing.verified(wrong[0] if wrong else None)
    with contextlib.suppress(StoreRefused), writing(str(found.folder)):  # on a disk that is only read
        write_listing(found.folder, read)
    state = BackupState.DAMAGED if wrong else BackupState.VERIFIED
    return Verified(replace(found, state=state, detail=read.damage or listing.note, listing=read), wrong)


def _damages(folder: Path, listing: BackupListing) -> list[str]:
    wrong = damages(listing.files, listing.content(folder))
    if listing.method is not Method.ARCHIVE or wrong:
        return wrong
    archive = Archive.open(folder / Method.ARCHIVE, listing.collection)
    return [f"{archive.place}: {item}" for item in verify(archive, deep=True).damages]


def prune(root: Path, policy: Policy, *, dry_run: bool = False) -> Pruned:
    """Remove what a policy does not keep, each series on its own, the oldest first.

    Before anything of a series goes, its newest backup is read back. Damaged, foreign and unfinished folders stay
    and are told; of unfinished ones those go that are older than a verified backup and that nobody is making.
    """
    found = list_backups(root)
    if not dry_run:
        backup_set.sweep(item.folder.parent for item in found)
    whole = sorted((item for item in found if item.state in _WHOLE), key=_by_series)
    series = [_prune_series(list(group), policy, dry_run) for _, group in groupby(whole, key=lambda item: item.series)]
    left, removed = _rest(found, dry_run)
    return Pruned(
        tuple(path for one in series for path in one.removed) + tuple(removed),
        tuple(pair for one in series for pair in one.kept),
        tuple(left),
        tuple(one.held[0] for one in series if one.held),
    )


def _prune_series(backups: list[FoundBackup], policy: Policy, dry_run: bool) -> Pruned:
    by_name = {item.folder.name: item for item in backups}
    choice = retain([_dated(item) for item in backups], policy)
    if choice.remove and not dry_run:
        again = _verified(by_name[choice.keep[0][0]])
        if again.damages:
            held = f"the newest backup, {again.backup.folder}, is damaged: {again.damages[0]}"
            return Pruned((), tuple((item.folder, held) for item in reversed(backups)), (), (held,))
        for name in choice.remove:
            backup_set.remove(by_name[name].folder)
    kept = tuple((by_name[name].folder, reason) for name, reason in choice.keep)
    removed = tuple(by_name[name].folder for name in choice.remove)
    return Pruned(removed, kept, (), (choice.held,) if choice.held else ())


def _dated(found: FoundBackup) -> Dated:
    assert found.listing is not None, "only whole backups are dated"
    return Dated(found.folder.name, found.listing.at, found.state is BackupState.VERIFIED)


def _rest(found: Sequence[FoundBackup], dry_run: bool) -> tuple[list[tuple[Path, str]], list[Path]]:
    """What is told and stays, and the unfinished ones that nobody needs any more."""
    left, removed = [], []
    for item in found:
        if item.state in _WHOLE:
            continue
        if item.state is BackupState.UNFINISHED and _is_stale(item, found):
            removed.append(item.folder)
            if not dry_run:
                backup_set.remove(item.folder)
        else:
            left.append((item.folder, f"{item.state}: {item.detail}"))
    return left, removed


def _is_stale(unfinished: FoundBackup, found: Sequence[FoundBackup]) -> bool:
    """Whether a verified backup of the same source is newer, and no process is making this one."""
    making = unfinished.making
    newer = (
        item.listing is not None
        and making is not None
        and item.state is BackupState.VERIFIED
        and (item.folder.parent, item.listing.source) == (unfinished.folder.parent, making.source)
        and item.listing.made_at > making.made_at
        for item in found
    )
    return any(newer) and not backup_set.is_being_made(unfinished.folder)
