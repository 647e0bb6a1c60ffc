"""What a snapshot pinned, as a table."""

from __future__ import annotations

from vecferry.model import Digest
from vecferry.strategies.sheets import Sheet
from vecferry.strategies.snapshots import Snapshot, SnapshotWay

__all__ = ["snapshot_sheet", "snapshot_way_sheet"]


def snapshot_way_sheet(migration: str, way: SnapshotWay) -> Sheet:
    """What the plan chose, and what its estimate stands on."""
    rows = (
        ("snapshot", way.says),
        ("measured", f"with {way.rates.rows:,} records, in records a second: {way.rates}"),
        ("writes pause", f"for about {way.pause_s:,.0f} s, from before the snapshot until after the switch"),
        *((f"of it {part.name}", str(part).removeprefix(f"{part.name} ")) for part in way.parts),
    )
    return Sheet("snapshot-plan", f"Snapshot of {migration}", ("what", "how"), rows)


def snapshot_sheet(migration: str, found: Snapshot, after: str) -> Sheet:
    """The digest, and what lies where."""
    rows = [
        ("kind", found.kind.value),
        ("records", f"{Digest.parse(found.digest).count:,}"),
        ("digest before it, and of the snapshot", found.digest),
        ("digest after it", after),
    ]
    if found.folder is not None:
        rows.append(("files", f"{len(found.files):,}, {found.size_bytes:,} bytes, each read back by its checksum"))
    return Sheet("snapshot", f"Snapshot of {migration}", ("what", "found"), tuple(rows))
