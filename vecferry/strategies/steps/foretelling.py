"""What will the pause of a snapshot-restore be made of? A sum of named parts, each measured or said to be a guess."""

from __future__ import annotations

from vecferry.strategies.snapshots import PausePart, Rates, SnapshotKind, opens_beside
from vecferry.strategies.work import Work

__all__ = ["parts_of_pause"]

_COPY_BYTES_PER_S = 100e6
"""Files copied, and each copy read back."""

_SERVER_BYTES_PER_S = 40e6
"""A snapshot made by a server and fetched, or sent and taken back."""

_OLD_OPENED, _NEW_OPENED = 3, 4
"""For both digests and the copy; for the load, the comparison, the last look and the look after the switch."""

_LEAST_S = 0.05
"""What takes less is not worth a word."""

_SWITCH_S = 0.5
"""Preparing, the cutover's file, the switch, its read-back and the look after it. What a hook takes is not known."""


def parts_of_pause(work: Work, kind: SnapshotKind, rates: Rates) -> tuple[PausePart, ...]:
    """Everything from the pause to the release, in its order; the records are those of the plan."""
    rows, unknown = work.plan.rows, bool(rates.unknown)
    by_server = kind is SnapshotKind.SERVER
    served_s = rows * rates.record_bytes / _SERVER_BYTES_PER_S
    copied_s = rows * rates.record_bytes / _COPY_BYTES_PER_S
    load = PausePart("load", rows * rates.write_s, guessed=unknown)
    parts = (
        PausePart("last writes end", work.config.hooks.drain_s),
        PausePart("old store opened", rates.open_old_s, _OLD_OPENED),
        # Files whose fingerprint stays the same are not read for a second digest.
        PausePart("digest", rows * rates.read_s, 1 if work.plan.fingerprint else 2),
        PausePart("server's snapshot", served_s if by_server else 0.0, guessed=True),
        PausePart("copy of the files", copied_s, _copies(work, kind), guessed=True),
        PausePart("export", rows * (rates.read_s + rates.part_s)),
        PausePart("taken back by the server", served_s, guessed=True) if by_server else load,
        PausePart("new store ready", rates.ready_s, guessed=True),
        PausePart("new store opened", rates.open_new_s, _NEW_OPENED, guessed=unknown),
        PausePart("read back and compared", rows * rates.compare_s, guessed=unknown),
        PausePart("list of ids", rows * rates.list_s, 2, guessed=unknown),
        PausePart("switch and check", _SWITCH_S, guessed=True),
    )
    return tuple(part for part in parts if part.times and part.seconds >= _LEAST_S)


def _copies(work: Work, kind: SnapshotKind) -> int:
    if kind not in (SnapshotKind.FILES, SnapshotKind.FOLDER):
        return 0
    return 2 if opens_beside(work, kind) else 1
