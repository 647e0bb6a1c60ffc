"""Show what phases found, through whichever runner runs."""

from __future__ import annotations

from vecferry import plain
from vecferry.mapping import Profile
from vecferry.model import CollectionSchema, Verdict
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.sheets import decisions_sheet, inventory_sheet, not_moved_sheet, verdict_sheet
from vecferry.strategies.work import open_work

__all__ = ["show_inventory", "show_plan", "show_verdict"]


def show_inventory(run: Runner, ref: Ref) -> None:
    """Schema and profile of the source."""
    work = open_work(ref)
    found = work.fact("inventory") or {}
    schema = plain.from_plain(CollectionSchema, found["schema"])
    profile = plain.from_plain(Profile, found["profile"])
    run.show(inventory_sheet(str(work.config.source.public()), schema, profile))


def show_plan(run: Runner, ref: Ref) -> None:
    """Every decision, and what is not moved."""
    work = open_work(ref)
    mapping, config = work.plan.mapping, work.config
    run.show(decisions_sheet(str(config.source.public()), str(config.target.public()), mapping.decisions))
    if mapping.not_moved:
        run.show(not_moved_sheet(mapping.not_moved))


def show_verdict(run: Runner, ref: Ref, verdict: Verdict) -> None:
    """All levels."""
    run.show(verdict_sheet(str(open_work(ref).config.target.public()), verdict))
