"""The way back's three-way merge: what the old store has, what the new store has, and what was last known of both.

Pure: batches in, a plan out; nothing is read or written here. For each batch of ids that a pass found changed on
either side, bring in this order:

1. `Known.of(rows)`: the last known pair of each id, tombstones included; with `records`, where the archive has them;
2. what the old store has now of these ids (`fetch`, all parts), in the source's terms;
3. what the new store has now, raw as stored: by the recorded links, else by `mapping.forward(ids)`; and its records
   of ids that nobody knew;
4. `Intent`: the deltas that are recorded and not closed;

and call `merge`. What a plan writes is a reverse delta: `upserts` with `same`, `deletes` with `same_deletes`, and
`Carried.kept_hashes` beside them, which must be as durable as the delta itself. The cases stand in `docs/concepts.md`
and, as masks, in `vecferry.transfer.merge.cases`.
"""

from vecferry.transfer.merge.comparing import Comparator, exactly
from vecferry.transfer.merge.inputs import Intent, Known, Rules
from vecferry.transfer.merge.merging import merge
from vecferry.transfer.merge.plan import Aside, Carried, MergeCounts, MergePlan, stale_parts

__all__ = [
    "Aside",
    "Carried",
    "Comparator",
    "Intent",
    "Known",
    "MergeCounts",
    "MergePlan",
    "Rules",
    "exactly",
    "merge",
    "stale_parts",
]
