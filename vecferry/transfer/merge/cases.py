"""The table of cases: what each side did, and what becomes of the record. Masks in, masks out."""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.transfer.merge.comparing import Mask
from vecferry.transfer.merge.sides import Touched

__all__ = ["Cases", "judge_cases"]


@dataclass(frozen=True, slots=True)
class Cases:
    """By part, `(n, 3) bool`, of records that are in both stores: `take` the new value, `keep` the old one (a late
    write), `alike` (both sides wrote the same), `clash` (they did not).

    By record, `(n,) bool`: `insert` the new store's, `delete` the old store's, `keep_whole` (a record that only the
    old side wrote), `keep_gone` (one that only the old side deleted), `both_gone`, `clash_whole` (deleted here,
    written there).
    """

    take: Mask
    keep: Mask
    alike: Mask
    clash: Mask
    insert: Mask
    delete: Mask
    keep_whole: Mask
    keep_gone: Mask
    both_gone: Mask
    clash_whole: Mask


def judge_cases(old: Touched, new: Touched, same: Mask) -> Cases:
    """Each side touched or not, record by record and part by part. `same`: parts that both changed to one value."""
    written_old, written_new = old.changed.any(axis=1), new.changed.any(axis=1)
    both = old.changed & new.changed
    return Cases(
        take=new.changed & ~old.changed & old.there[:, None],
        keep=old.changed & ~new.changed & new.there[:, None],
        alike=both & same,
        clash=both & ~same,
        insert=written_new & ~old.there & ~old.gone,
        delete=new.gone & old.there & ~written_old,
        keep_whole=written_old & ~new.there & ~new.gone,
        keep_gone=old.gone & ~written_new & ~new.gone,
        both_gone=old.gone & new.gone,
        clash_whole=(old.gone & written_new) | (new.gone & written_old),
    )
