"""What the plan says of records that are larger than the target takes."""

from __future__ import annotations

from vecferry.capabilities import Capabilities
from vecferry.mapping.extent import Extent
from vecferry.mapping.rules import counted
from vecferry.model import Decision, Outcome

__all__ = ["OVERSIZED_CONSENT", "oversized"]

OVERSIZED_CONSENT = "oversized_records"
"""The name of the loss: records that are larger than the target takes stay behind, in the archive alone."""

_ADVICE = (
    f"shorten them in the source, or leave such records behind (the archive keeps them): --consent {OVERSIZED_CONSENT}"
)


def oversized(
    feature: str, what: str, limit: int, found: tuple[int, int], extent: Extent, target: Capabilities
) -> list[Decision]:
    """The loss of between `found` records, in which `what` is longer than `limit` bytes; none where that is none.

    `extent` are the sizes in the source.
    """
    least, most = found
    if not most:
        return []
    known = least == most
    if known:
        detail = f"{counted(most, 'record')} {'has' if most == 1 else 'have'} {what}"
    elif least:
        detail = f"{least:,} to {counted(most, 'record')} have {what}"
    else:
        detail = f"up to {counted(most, 'record')} may have {what}"
    detail += f" of more than {limit:,} bytes, which {target.engine} does not take"
    detail += f"; the longest in the source has {extent.greatest:,}, in record {extent.example}"
    if not known:
        detail += "; each is measured while it is loaded, and one that fits is moved"
    rows = most if known else None
    return [Decision(feature, Outcome.LOSSY, detail, rows=rows, consent=OVERSIZED_CONSENT, advice=_ADVICE)]
