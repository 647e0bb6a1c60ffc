"""Ids of points: unsigned integers and UUIDs in the spellings that Qdrant takes."""

import re
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from .errors import ApiError, Failure

PointId = int | str

HYPHENATED = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SPELLINGS = re.compile(rf"[0-9a-f]{{32}}|{HYPHENATED}|\{{{HYPHENATED}\}}|urn:uuid:{HYPHENATED}", re.IGNORECASE)


def point_id(value: Any) -> PointId:
    """The id as the server shows it: an integer of 64 bits, or the UUID's lower hyphenated form."""
    if type(value) is int and 0 <= value < 2**64:
        return value
    text = str(value) if isinstance(value, str | uuid.UUID) else None
    if text is not None and SPELLINGS.fullmatch(text):
        return str(uuid.UUID(text))
    shown = f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)
    raise ApiError(
        Failure.BAD_INPUT,
        f"Unable to parse UUID: {shown}",
        rest_message=f"Format error in JSON body: value {shown} is not a valid point ID, "
        "valid values are either an unsigned integer or a UUID",
    )


def point_ids(values: Iterable[Any]) -> list[PointId]:
    return [point_id(value) for value in values]
