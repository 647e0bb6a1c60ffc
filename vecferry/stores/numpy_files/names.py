"""File names for ids, and back: injective, and legal whatever the id holds.

Percent-encoding of everything but letters, digits and a few signs; a leading dot is encoded, the empty id is `%`,
and a name that would be too long for a file system is cut into folders.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

__all__ = ["MAX_ID_BYTES", "id_of", "path_of"]

MAX_ID_BYTES = 1000
"""Three times that, encoded, stays below the 4,096 bytes that Linux allows a path."""

_CHUNK = 180
_SAFE = " ,=+@()"


def path_of(text: str) -> str:
    """The relative path, without suffix, of the file of an id."""
    encoded = quote(text, safe=_SAFE) or "%"
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    return "/".join(encoded[at : at + _CHUNK] for at in range(0, len(encoded), _CHUNK))


def id_of(path: str) -> str:
    """The id of a relative path without suffix. Raises ValueError for one that `path_of` never gives."""
    encoded = path.replace("/", "")
    text = "" if encoded == "%" else unquote(encoded, errors="strict")
    if path_of(text) != path:
        raise ValueError("it is not the name of any id")
    return text
