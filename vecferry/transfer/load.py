"""From archive to target: one part becomes records, in the target's terms."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints
from vecferry.archive import Archive
from vecferry.contract import Target
from vecferry.errors import BadRecord
from vecferry.mapping import Mapping
from vecferry.transfer import retry
from vecferry.transfer.export import Limits

__all__ = ["load_part"]


def load_part(archive: Archive, number: int, mapping: Mapping, target: Target, limits: Limits) -> int:
    """Write every record of a part; returns the rows. Writing a part twice gives the same collection."""
    takes_nonfinite = target.capabilities().vectors.nonfinite
    rows = 0
    for batch in archive.read_part(number, batch_rows=limits.batch_rows):
        limits.check()
        if not takes_nonfinite:
            refuse_nonfinite(batch, target.url)
        mapped = mapping.forward(columns.drop_hashes(batch))
        retry.call(limits.retry_budget_s, partial(target.write, mapped))
        failpoints.reached("load.batch_written")
        rows += batch.num_rows
        limits.moved(batch.num_rows)
    failpoints.reached("load.part_written")
    return rows


def refuse_nonfinite(batch: pa.RecordBatch, url: str) -> None:
    """Raise BadRecord, naming the id, where a vector holds NaN or infinity."""
    found = columns.nonfinite_row(batch)
    if found is None:
        return
    name, row = found
    record_id = columns.record_ids(batch.slice(row, 1))[0]
    vector = f"vector {name!r}" if name else "vector"
    raise BadRecord(
        f"the {vector} of record {record_id} holds NaN or infinity, which {url} would refuse or store as poison",
        advice="repair or delete the record in the source, then run the migration again",
    )
