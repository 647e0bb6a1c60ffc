"""From archive to target: one part becomes records, in the target's terms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints
from vecferry.archive import Archive
from vecferry.contract import Target
from vecferry.errors import BadRecord
from vecferry.mapping import Mapping
from vecferry.transfer import progress, retry
from vecferry.transfer.limits import Limits

__all__ = ["load_part"]


def load_part(
    archive: Archive,
    number: int,
    mapping: Mapping,
    target: Target,
    limits: Limits,
    before: Callable[[pa.RecordBatch], None] | None = None,
) -> int:
    """Write every record of a part; returns the rows. Writing a part twice gives the same collection.

    `before` looks at the originals of each batch before they are written, and raises where that must not be.
    """
    takes_nonfinite = target.capabilities().vectors.nonfinite
    rows = 0
    with progress.provisional(limits.moved) as moved:
        for batch in archive.read_part(number, batch_rows=limits.batch_rows):
            limits.check()
            originals = mapping.travelling(columns.drop_hashes(batch))
            mapped = mapping.forward(originals)
            if not takes_nonfinite:
                refuse_nonfinite(mapped, originals, target.url)
            if before is not None:
                before(originals)
            retry.call(limits.retry_budget_s, partial(target.write, mapped))
            failpoints.reached("load.batch_written")
            rows += batch.num_rows
            moved(batch.num_rows)
    failpoints.reached("load.part_written")
    return rows


def refuse_nonfinite(mapped: pa.RecordBatch, originals: pa.RecordBatch, url: str) -> None:
    """Raise BadRecord, naming the original id, where a vector that would be written holds NaN or infinity."""
    found = columns.nonfinite_row(mapped)
    if found is None:
        return
    name, row = found
    record_id = columns.record_ids(columns.ids_of(originals).slice(row, 1))[0]
    vector = f"vector {name!r}" if name else "vector"
    raise BadRecord(
        f"the {vector} of record {record_id} holds NaN or infinity, which {url} would refuse or store as poison",
        advice="repair or delete the record in the source, then run the migration again",
    )
