"""What the steps of the way back share: where the old store is, how it is written, and by which rules both are merged.

Files are never edited: a copy beside them takes their place, once there is anything to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow as pa

from vecferry.address import Address, parse
from vecferry.config import StoreConfig
from vecferry.contract import Reader, Source, Target
from vecferry.errors import UnsafeRoute
from vecferry.forwarding import ForwardingSource
from vecferry.ledger import Delta, Direction
from vecferry.mapping import Mapping
from vecferry.model import CollectionSchema, JsonObject
from vecferry.stores import registry
from vecferry.strategies.catching_up import known_state, open_deltas, pass_folder
from vecferry.strategies.scope import encoding_of
from vecferry.strategies.work import Work
from vecferry.transfer import fence, handles
from vecferry.transfer.brakes import Release
from vecferry.transfer.conflicts import Decide
from vecferry.transfer.decoded import DecodedSource
from vecferry.transfer.differences import read_candidates
from vecferry.transfer.holding import reasons_not_held
from vecferry.transfer.intents import Intents
from vecferry.transfer.merge import Rules
from vecferry.transfer.merge.comparing import bisected
from vecferry.transfer.merge.inputs import CannotHold
from vecferry.transfer.originals import in_original_terms
from vecferry.transfer.passes import Spool, open_spool
from vecferry.transfer.subjects import Subjects, gather
from vecferry.transfer.way_back import Merging
from vecferry.transfer.ways import Reverse
from vecferry.validation.same_parts import same_parts

__all__ = [
    "NEW",
    "OLD",
    "WAY_BACK_FACT",
    "Settlement",
    "copy_address",
    "is_of_files",
    "left_deltas",
    "mark_left",
    "merging_of",
    "old_address",
    "old_store",
    "old_writer",
    "own_deltas",
    "return_way",
    "seen_path",
    "side_folder",
    "side_spool",
    "subjects_of",
]

WAY_BACK_FACT = "way back"
"""`{"url": ...}`: the copy that takes the place of files; absent where the old store itself is written."""

OLD, NEW = "old", "new"

_LEFT = "reverse deltas left"
"""`{"token": ..., "numbers": [...]}`: which of its own a run leaves to its next merge."""

_READING_ONLY = {"faiss": ("metadata", "id", "by")}
"""Options that say how somebody else's files are to be read, by scheme; our own need none."""


NO_RELEASE = Release()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a person said to a way back: who wins conflicts (`old`, `new` or `""`), or the file that decides each one.

    `release` lets deletes and changes through that a brake would hold. `by` is who said yes to all of it. `follows`: it
    is a sync's, which lists conflicts, leaves them as they are, and carries the rest.
    """

    prefer: str = ""
    conflicts: Path | None = None
    release: Release = NO_RELEASE
    by: str = "the command"
    follows: bool = False


def is_of_files(work: Work) -> bool:
    """Whether the old store is made of files."""
    return registry.holds_files(work.config.source.public().scheme)


def old_address(work: Work) -> Address:
    """Where the way back leads: the old store, or the copy that takes its place."""
    found = work.fact(WAY_BACK_FACT)
    if found is None:
        return work.config.source.address()
    return StoreConfig(url=found["url"], **_secrets(work)).address()


def _secrets(work: Work) -> JsonObject:
    names = ("api_key", "token", "basic", "trust_local_files")
    return {name: getattr(work.config.source, name) for name in names}


def copy_address(work: Work) -> Address:
    """The copy beside the old files: their name with the migration's id in it."""
    old = work.config.source.public()
    folder, _, name = old.raw_path.rstrip("/").rpartition("/")
    whole = unquote(name)
    stem, suffix = Path(whole).stem, Path(whole).suffix
    if not stem:
        raise UnsafeRoute(f"{old} has no name beside which a copy could lie", advice="restore the archive elsewhere")
    path = f"{folder}/{quote(f'{stem}-{work.migration.id}{suffix}')}"
    options = {key: value for key, value in old.options.items() if key not in _READING_ONLY.get(old.scheme, ())}
    return parse(str(replace(old, raw_path=path, path=unquote(path), options=options)))


def old_store(work: Work) -> Source:
    """The old store in its original terms."""
    whole = in_original_terms(handles.source(old_address(work)))
    return whole if work.scope is None else work.scope.source(whole)


def old_writer(work: Work, reader: Reader = Reader.FAST) -> Target:
    """The old store as it is written, or (public) read back: as stored. Of one workspace its records alone.

    Whoever read it before lets go of it: some engines are not read directly and written by one process.
    """
    handles.release(old_address(work))
    whole = handles.target(old_address(work), reader)
    return whole if work.scope is None else work.scope.old(whole, encoding_of(in_original_terms(whole)))


def return_way(work: Work) -> Reverse:
    """How a reverse delta is written."""
    old = old_store(work)
    return Reverse(work.plan.schema, old.capabilities(), encoding_of(old))


def own_deltas(work: Work) -> list[Delta]:
    """Open reverse deltas that this run recorded and has to finish."""
    left = {delta.number for delta in left_deltas(work)}
    return [delta for delta in open_deltas(work, Direction.REVERSE) if delta.number not in left]


def left_deltas(work: Work) -> list[Delta]:
    """Open reverse deltas that nobody finishes: of a dead run, or met by a late write. The next merge replaces them."""
    marked = work.fact(_LEFT) or {}
    mine = marked.get("numbers", []) if marked.get("token") == work.ref.token else []
    found = open_deltas(work, Direction.REVERSE)
    return [delta for delta in found if delta.note.get("token") != work.ref.token or delta.number in mine]


def _ours(work: Work) -> dict[int, bool]:
    """The deltas that tell a merge what is ours: those that nobody finished, and (True) what this run has closed."""
    found = work.ledger.deltas(work.ref.migration, Direction.REVERSE)
    closed = [one.number for one in found if one.closing is not None and one.note.get("token") == work.ref.token]
    return {one.number: False for one in left_deltas(work)} | dict.fromkeys(closed, True)


def mark_left(work: Work, numbers: Sequence[int]) -> None:
    """Leave these deltas of this run, and no others, to the next merge."""
    marked = {"token": work.ref.token, "numbers": list(numbers)}
    work.ledger.set_fact(work.ref.migration, _LEFT, marked, work.ref.token)


def seen_path(work: Work, number: int) -> Path:
    """Where a merge keeps what the old store held of the records of a delta: hidden, no part of the archive."""
    return Path(work.archive.place) / ".passes" / f"seen-{number:05d}.npy"


def side_folder(work: Work, number: int, side: str) -> Path:
    """Where a pass lays aside what it reads of one store."""
    return pass_folder(work, number) / side


def side_spool(work: Work, number: int, side: str) -> Spool | None:
    """What a pass laid aside of one store; None where its files are bit for bit what they were."""
    folder = side_folder(work, number, side)
    return open_spool(folder) if folder.exists() else None


def _candidates(work: Work, number: int, side: str) -> Iterator[pa.RecordBatch]:
    spool = side_spool(work, number, side)
    return iter(()) if spool is None else read_candidates(spool, work.config.batch_rows)


def subjects_of(work: Work, number: int) -> Subjects:
    """Every record that a pass saw differ in either store."""
    of_old, of_new = (_candidates(work, number, side) for side in (OLD, NEW))
    return gather(of_old, of_new, work.reader(), work.plan.mapping, known_state(work), work.config.retry_budget_s)


def merging_of(work: Work, decide: Decide) -> Merging:
    """How the records of both stores are merged."""
    old, new = old_store(work), work.reader()
    way = return_way(work)
    mapping = work.plan.mapping
    rules = Rules(
        mapping,
        same_old=same_parts(way.tolerances),
        same_new=same_parts({source.name: step.tolerance for source, _, step in mapping.vectors.moved()}),
        noisy_old=not old.capabilities().returns_same_bits,
        noisy_new=not new.capabilities().returns_same_bits,
        cannot_hold=_judge(old),
        decide=decide,
    )
    wait_s = work.config.sync.absence_wait_s
    intents = Intents(work.archive, _ours(work), Path(work.archive.place) / ".passes")
    return Merging(
        old, new, work.archive, rules, lambda: fence.wait(wait_s, work.check), work.limits("merge"), intents.of
    )


def _judge(old: Source) -> CannotHold:
    """Why the old store cannot hold records; where it bears an earlier migration's mark, once they are encoded."""
    encoding = encoding_of(old)
    if encoding is None:
        return reasons_not_held(old.describe(), old.capabilities())
    return partial(_not_encoded, encoding, reasons_not_held(_stored(old), old.capabilities()))


def _stored(old: Source) -> CollectionSchema:
    """The schema of a store that bears an earlier migration's mark, as it is stored."""
    while isinstance(old, ForwardingSource | DecodedSource):
        old = old.inner
    return old.describe()


def _not_encoded(encoding: Mapping, judge: CannotHold, records: pa.RecordBatch) -> pa.StringArray:
    found = [pa.nulls(0, pa.string())]
    for piece, error in bisected(records, encoding.forward):
        found.append(judge(piece) if error is None else pa.array([str(error)] * piece.num_rows, pa.string()))
    return pa.concat_arrays(found)
