"""The question before a snapshot-restore: asked before anything is copied, because writes pause for all of it."""

from __future__ import annotations

from vecferry.routing.hook_plan import switch_plan
from vecferry.strategies.reversing import reversed_words
from vecferry.strategies.runner import ApprovalForm, Ref
from vecferry.strategies.snapshots import Rates, way_chosen
from vecferry.strategies.steps.approval import CHECK_FAILED
from vecferry.strategies.work import Work, open_work

__all__ = ["snapshot_form"]


def snapshot_form(ref: Ref) -> ApprovalForm:
    """What a person reads before the pause: what pauses and for how long, which snapshot, and which way leads back."""
    work = open_work(ref)
    config = work.config
    lines = tuple(_lines(work))
    number = work.ledger.ask_approval(
        ref.migration, {"lines": list(lines)}, largest_delta_rows=0, valid_for_s=config.approve_valid_s
    )
    title = f"Pause the writes of {work.migration.route!r}, copy it, and switch it to the new store?"
    return ApprovalForm(ref.migration, number, title, lines)


def _lines(work: Work) -> list[str]:
    config, route, name, way = work.config, work.route(), work.ref.migration, way_chosen(work)
    return [
        f"route {route.name!r}: {route.url} -> {config.target.public()} (epoch {route.epoch + 1})",
        f"snapshot: {way.says}",
        f"what the old store holds when writes have paused is what moves: {work.plan.rows:,} records at the last count",
        *switch_plan(config.hooks, work.alias_plan().says),
        *([] if config.hooks.pause else ["no hook pauses the application: it is asked through the route alone"]),
        f"writes pause for the whole copy, about {way.pause_s:,.0f} s: {', '.join(map(str, way.parts))}",
        _measured(way.rates),
        f"after {config.pause_limit_s:,.0f} s without a switch all is undone and writes go on in the old store",
        "the old store is read whole before and after the snapshot; a difference undoes it",
        "what is written to the old store after the switch is listed, not moved",
        "it switches only if every record of the new store was compared and is the same",
        CHECK_FAILED[config.on_check_failed],
        *reversed_words(config, name),
        f"way back: vecferry rollback {name} (the new store stays too)",
        f"a yes is good for one pause, and for {config.approve_valid_s / 3600:,.0f} h",
    ]


def _measured(rates: Rates) -> str:
    per_s = f"(records a second: {rates})"
    if rates.unknown:
        return f"that is if the new store is as fast as the old one {per_s}: it was not measured, {rates.unknown}"
    return (
        f"by {rates.rows:,} records that went the whole way, and are gone again {per_s}; an index that the new store "
        "builds over all of them, and what hooks take, come on top"
    )
