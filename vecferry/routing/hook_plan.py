"""What a switch will do to an application, in which order: for the approval form. Pure."""

from __future__ import annotations

from vecferry.config import Hook, Hooks
from vecferry.routing.calls import Action
from vecferry.routing.hooks import describe

__all__ = ["reads_plan", "switch_plan"]


def switch_plan(hooks: Hooks, alias: str = "") -> tuple[str, ...]:
    """One line for each thing that an application notices of a switch, or of the way back, in order.

    `alias` says what becomes of the engine's alias.
    """
    file = hooks.route_file
    pause = [f"writes are paused in the ledger for at most {hooks.pause_ttl_s:g} s: `vecferry route` says so at once"]
    pause += _with_file(file is not None, "pause", f"{file} says that writes are paused")
    pause += _called("pause", Action.PAUSE, hooks.pause)
    pause += [f"then {hooks.drain_s:g} s pass, in which the last writes end and become visible"]
    moved = ["after the last check the ledger moves the route", *([alias] if alias else [])]
    moved += _with_file(file is not None, "switch", f"{file} names the new store")
    moved += _called("switch", Action.SWITCH, hooks.switch)
    moved += _called("read back", Action.READ_BACK, hooks.read_back)
    release = ["last of all, and on every way out before, writes are released"]
    release += _called("release", Action.RELEASE, hooks.release)
    return (*pause, *moved, *release)


def reads_plan(hooks: Hooks, alias: str = "") -> tuple[str, ...]:
    """One line for each thing that an application notices when reads alone move. `alias` as above."""
    moved = ["the ledger moves the reads; nobody is paused", *([alias] if alias else [])]
    moved += _with_file(hooks.route_file is not None, "reads", f"{hooks.route_file} names the new store for reads")
    moved += _called("reads", Action.READS, hooks.switch)
    moved += _called("read back", Action.READ_BACK, hooks.read_back)
    return tuple(moved)


def _called(when: str, action: Action, hook: Hook | None) -> list[str]:
    return [] if hook is None else [f"{when}: {describe(action, hook)}"]


def _with_file(is_kept: bool, when: str, says: str) -> list[str]:
    return [f"{when}: {says}"] if is_kept else []
