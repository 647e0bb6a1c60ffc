"""The archive: a folder of Parquet files that holds a collection, and proves what it holds.

`docs/archive-format.md` is the specification. `Archive` fills and reads one collection's folder,
`verify` finds what is damaged; `as_store` offers a complete archive as a source.
"""

from vecferry.archive.archive import Archive, verify
from vecferry.archive.delta_rows import DeltaHashRows, DeltaRows, Op
from vecferry.archive.deltas import WrittenDelta
from vecferry.archive.hash_rows import HASHES_SCHEMA, HashRows
from vecferry.archive.index import Overlay
from vecferry.archive.manifest import Changes, DeltaEntry, Manifest, PartEntry
from vecferry.archive.verifier import Damage, DamageKind, Verification

__all__ = [
    "HASHES_SCHEMA",
    "Archive",
    "Changes",
    "Damage",
    "DamageKind",
    "DeltaEntry",
    "DeltaHashRows",
    "DeltaRows",
    "HashRows",
    "Manifest",
    "Op",
    "Overlay",
    "PartEntry",
    "Verification",
    "WrittenDelta",
    "verify",
]
