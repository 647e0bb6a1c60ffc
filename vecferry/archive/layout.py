"""Names inside an archive: pure functions from collections and numbers to paths, and back.

Paths are relative to the collection's folder and always use `/`.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

__all__ = [
    "BACKUP",
    "CONFLICTS",
    "CUTOVER",
    "DELTAS",
    "FOOTER_DIGEST",
    "FOOTER_FORMAT",
    "FOOTER_PATH",
    "FOOTER_ROWS",
    "FORMAT",
    "FORMAT_MAJOR",
    "FORMAT_MINOR",
    "HASHES",
    "MANIFEST",
    "PARTS",
    "PLAN",
    "VERSION",
    "collection_name",
    "conflicts_path",
    "delta_hashes_path",
    "delta_number",
    "delta_path",
    "folder_name",
    "hashes_path",
    "holds_records",
    "is_delta",
    "is_reserved",
    "part_number",
    "part_path",
]

FORMAT = "vecferry-archive"
FORMAT_MAJOR, FORMAT_MINOR = 1, 1
VERSION = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"

PLAN, MANIFEST = "plan.json", "manifest.json"
PARTS, HASHES = "parts", "hashes"
# What changed since the parts were written (since version 1.1), and the way back without a ledger.
DELTAS, CUTOVER = "deltas", "cutover.parquet"
# Versions of records that lost a conflict on the way back. No part of the collection, so no manifest lists them.
CONFLICTS = "conflicts"
# A folder beside those of the collections, for copies of a source that is made of files.
BACKUP = "backup"

# What the footer of a Parquet file says of it, so that a file is whole or damaged by itself, without a manifest.
FOOTER_FORMAT, FOOTER_PATH, FOOTER_ROWS, FOOTER_DIGEST = (
    f"vecferry.{name}" for name in ("format", "path", "rows", "digest")
)

# A file name may have 255 bytes on ext4, XFS, APFS and NTFS; Chroma allows names of 512 characters.
_LONGEST_NAME = 200
_KEPT_OF_LONG_NAME = 150
_NO_NAME = "%"
_DELTA_HASHES = ".hashes.parquet"
_PART_PATH = re.compile(rf"{PARTS}/(\d{{5,}})\.parquet")
_DELTA_PATH = re.compile(rf"{DELTAS}/(\d{{5,}})\.parquet")


def part_path(number: int) -> str:
    """Where the rows of a slice are."""
    return f"{PARTS}/{number:05d}.parquet"


def hashes_path(number: int) -> str:
    """Where the ids and hashes of a slice are."""
    return f"{HASHES}/{number:05d}.parquet"


def delta_path(number: int) -> str:
    """Where the changes that one catch-up pass found are."""
    return f"{DELTAS}/{number:05d}.parquet"


def delta_hashes_path(number: int) -> str:
    """Where the ids and hashes of what was read back after those changes were loaded are."""
    return f"{DELTAS}/{number:05d}{_DELTA_HASHES}"


def conflicts_path(number: int) -> str:
    """Where the versions are that lost the conflicts which a delta settled."""
    return f"{CONFLICTS}/{number:05d}.parquet"


def holds_records(path: str) -> bool:
    """Whether the file at this path is a part or a delta, and no file of hashes."""
    return path.startswith(PARTS + "/") or (is_delta(path) and not path.endswith(_DELTA_HASHES))


def is_delta(path: str) -> bool:
    """Whether the file at this path belongs to a delta."""
    return path.startswith(DELTAS + "/")


def part_number(path: str) -> int | None:
    """The number of the part at this path; None for any other file."""
    found = _PART_PATH.fullmatch(path)
    return int(found[1]) if found and path == part_path(int(found[1])) else None


def delta_number(path: str) -> int | None:
    """The number of the delta whose rows are at this path; None for any other file."""
    found = _DELTA_PATH.fullmatch(path)
    return int(found[1]) if found and path == delta_path(int(found[1])) else None


def is_reserved(path: str) -> bool:
    """Whether this file may be there although no manifest lists it: a later version's, a delta not yet closed, or
    losers of a conflict."""
    return path == CUTOVER or is_delta(path) or path.startswith(CONFLICTS + "/")


def folder_name(collection: str) -> str:
    """The folder of a collection: percent-encoded, never hidden, never a way out of the archive.

    A name that is too long for a file system is cut and gets its SHA-256; the plan holds it in full.
    """
    encoded = quote(collection, safe="", errors="surrogatepass")
    if encoded.startswith(".") or encoded == BACKUP:
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if len(encoded) > _LONGEST_NAME:
        digest = hashlib.sha256(collection.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{_cut(encoded)}%~{digest[:32]}"
    return encoded or _NO_NAME


def collection_name(folder: str) -> str | None:
    """The collection of a folder; None when the folder's name is a cut one, or none of ours."""
    if folder == _NO_NAME:
        return ""
    try:
        name = unquote(folder, errors="surrogatepass")
    except UnicodeDecodeError:
        return None
    return name if folder_name(name) == folder else None


def _cut(encoded: str) -> str:
    """The first characters, without half a percent code at the end."""
    head = encoded[:_KEPT_OF_LONG_NAME]
    border = head.rfind("%")
    return head[:border] if border > len(head) - 3 else head
