"""Names inside an archive: pure functions from collections and numbers to paths, and back.

Paths are relative to the collection's folder and always use `/`.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

__all__ = [
    "BACKUP",
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
    "folder_name",
    "hashes_path",
    "is_reserved",
    "part_number",
    "part_path",
]

FORMAT = "vecferry-archive"
FORMAT_MAJOR, FORMAT_MINOR = 1, 0
VERSION = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"

PLAN, MANIFEST = "plan.json", "manifest.json"
PARTS, HASHES = "parts", "hashes"
# Kept free for catch-up passes and the way back without a ledger; version 1.0 writes neither.
DELTAS, CUTOVER = "deltas", "cutover.parquet"
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
_PART_PATH = re.compile(rf"{PARTS}/(\d{{5,}})\.parquet")


def part_path(number: int) -> str:
    """Where the rows of a slice are."""
    return f"{PARTS}/{number:05d}.parquet"


def hashes_path(number: int) -> str:
    """Where the ids and hashes of a slice are."""
    return f"{HASHES}/{number:05d}.parquet"


def part_number(path: str) -> int | None:
    """The number of the part at this path; None for any other file."""
    found = _PART_PATH.fullmatch(path)
    return int(found[1]) if found and path == part_path(int(found[1])) else None


def is_reserved(path: str) -> bool:
    """Whether a later minor version of the format may have written this file."""
    return path == CUTOVER or path.startswith(DELTAS + "/")


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
