"""The workspaces of a rolling migration: found by what a person calls them, held, ordered, retried, taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from vecferry.errors import BadOption, NotFound, UnsafeRoute
from vecferry.ledger import DEFAULT_WORKSPACE, ENDED, Hold, Ledger, Migration, State, Workspace, key_of
from vecferry.strategies import waves
from vecferry.strategies.returning import Settlement
from vecferry.strategies.rolling import rolling
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.waves import Done, raise_worst
from vecferry.strategies.workspace_list import note_workspaces
from vecferry.transfer.brakes import Release

__all__ = [
    "children_paused",
    "chosen",
    "forward",
    "freeze",
    "go_first",
    "hold",
    "is_rolling",
    "lead_back",
    "merge",
    "retry",
    "returnable",
    "roll_back",
    "sync",
]

_DONE = ENDED | {State.SWITCHED}
_WAVE = 20
_Wave = Callable[[Ref, Sequence[int], Settlement], list[Done]]


def is_rolling(migration: Migration) -> bool:
    """Whether it is a whole collection that moves workspace by workspace."""
    return migration.strategy == "rolling" and migration.parent is None


def chosen(ledger: Ledger, migration_id: str, names: Sequence[str]) -> list[Workspace]:
    """The workspaces that are called so, each once, in the order of work. Raises NotFound, naming some."""
    found = ledger.workspaces(migration_id)
    known = [one.key for one in found]
    wanted = [key_of(name, known) for name in names]
    unknown = [name for name, key in zip(names, wanted, strict=True) if key not in known]
    if unknown:
        shown = ", ".join(known[:10]) or "none yet"
        raise NotFound(f"migration {migration_id} has no workspace {unknown[0]}", advice=f"it has {shown}")
    return [one for one in found if one.key in wanted]


def hold(ledger: Ledger, migration_id: str, names: Sequence[str], why: Hold | None) -> list[Workspace]:
    """Let runs leave these workspaces where they are, or (None) take them up again."""
    found = chosen(ledger, migration_id, names)
    ledger.hold_workspaces(migration_id, [one.number for one in found], why)
    note_workspaces(Ref(ledger.url, migration_id))
    return found


def freeze(ledger: Ledger, migration_id: str) -> list[Workspace]:
    """Let runs leave all workspaces where they are that are still to move."""
    left = [one for one in ledger.workspaces(migration_id) if one.state not in _DONE and one.hold is None]
    ledger.hold_workspaces(migration_id, [one.number for one in left], Hold.PAUSED)
    note_workspaces(Ref(ledger.url, migration_id))
    return left


def go_first(ledger: Ledger, migration_id: str, names: Sequence[str]) -> list[Workspace]:
    """Work on these first, in the order in which they are named. The group of all others stays last."""
    by_key = {one.key: one for one in chosen(ledger, migration_id, names)}
    if DEFAULT_WORKSPACE in by_key:
        raise BadOption("the group of all other records moves last", advice="name other workspaces")
    found = [by_key[key] for key in dict.fromkeys(key_of(name, by_key) for name in names)]
    ledger.order_workspaces(migration_id, [one.number for one in found])
    note_workspaces(Ref(ledger.url, migration_id))
    return found


def retry(runner: Runner, ref: Ref, names: Sequence[str]) -> None:
    """Take these up again, and go on with them alone. Raises UnsafeRoute for one that has ended.

    A copy that did not end begins anew: what could not be loaded may have been mended in the old store.
    """
    ledger = Ledger.open(ref.ledger)
    found = chosen(ledger, ref.migration, names)
    ended = [one for one in found if one.state in ENDED]
    if ended:
        raise UnsafeRoute(
            f"workspace {ended[0].key} is {ended[0].state}; it cannot go on",
            advice="when all have ended, a new migration takes what is in the old store",
        )
    ledger.hold_workspaces(ref.migration, [one.number for one in found if one.hold is not None], None)
    numbers = [one.number for one in found]
    raise_worst(ref, runner.run(waves.forget_wave, ref, numbers))
    rolling(runner, ref, numbers)


def forward(runner: Runner, ref: Ref, names: Sequence[str]) -> None:
    """Lead these rolled back workspaces, or all of them, forward again without another copy, and go on with them."""
    numbers = sorted(one.number for one in _wanted(Ledger.open(ref.ledger), ref.migration, names, {State.ROLLED_BACK}))
    for start in range(0, len(numbers), _WAVE):
        raise_worst(ref, runner.run(waves.forward_wave, ref, numbers[start : start + _WAVE]))
    rolling(runner, ref, numbers)


_RETURNABLE = frozenset({State.SWITCHED, State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING})


def returnable(ledger: Ledger, migration_id: str, names: Sequence[str]) -> list[Workspace]:
    """The workspaces that can be taken back: those that are called so, or all of them. Raises UnsafeRoute, NotFound."""
    return _wanted(ledger, migration_id, names, _RETURNABLE)


def roll_back(runner: Runner, ref: Ref, names: Sequence[str], said: Settlement) -> list[Done]:
    """Take these workspaces back, or all that the new store serves; the others stay. The last that moved goes first.

    Raises the most serious error; what did not fail is done all the same.
    """
    return _each(runner, ref, names, _RETURNABLE, said, waves.roll_back_wave)


def lead_back(runner: Runner, ref: Ref, names: Sequence[str], said: Settlement) -> list[Done]:
    """Send the routes of these workspaces back alone."""
    return _each(runner, ref, names, {State.SWITCHED, State.ROLLBACK_FROZEN}, said, waves.lead_back_wave)


def merge(runner: Runner, ref: Ref, names: Sequence[str], said: Settlement) -> list[Done]:
    """Carry over what the new store had received of workspaces whose routes alone went back."""
    return _each(runner, ref, names, {State.ROLLED_BACK_UNMERGED}, said, waves.merge_wave)


def _each(
    runner: Runner, ref: Ref, names: Sequence[str], states: Collection[State], said: Settlement, wave: _Wave
) -> list[Done]:
    found = _wanted(Ledger.open(ref.ledger), ref.migration, names, states)
    if said.conflicts is not None and len(found) > 1:
        raise BadOption("a file of conflicts belongs to one workspace", advice="name it: --workspace KEY")
    done = list[Done]()
    for start in range(0, len(found), _WAVE):
        done += runner.run(wave, ref, [one.number for one in found[start : start + _WAVE]], said)
    raise_worst(ref, done)
    return done


def _wanted(ledger: Ledger, migration_id: str, names: Sequence[str], states: Collection[State]) -> list[Workspace]:
    found = chosen(ledger, migration_id, names) if names else ledger.workspaces(migration_id)
    fitting = [one for one in found if one.state in states]
    if names and len(fitting) < len(found):
        other = next(one for one in found if one.state not in states)
        raise UnsafeRoute(
            f"workspace {other.key} is {other.state}; this takes one that is {' or '.join(sorted(states))}",
            advice=f"vecferry workspaces {migration_id} shows them",
        )
    if not fitting:
        raise UnsafeRoute(
            f"no workspace of migration {migration_id} is {' or '.join(sorted(states))}",
            advice=f"vecferry workspaces {migration_id} shows them",
        )
    return fitting[::-1]


def sync(runner: Runner, ref: Ref, release: Release) -> list[Done]:
    """One pass for each workspace that has something to carry. Raises the most serious error after all of them."""
    ledger = Ledger.open(ref.ledger)
    numbers = [one.number for one in ledger.workspaces(ref.migration) if one.state not in ENDED]
    done = list[Done]()
    for start in range(0, len(numbers), _WAVE):
        done += runner.run(waves.sync_wave, ref, numbers[start : start + _WAVE], release)
    raise_worst(ref, done)
    return done


def children_paused(ledger: Ledger, migration_id: str) -> list[str]:
    """The migrations whose pauses a release is about: the one named, and those of its workspaces that ever paused."""
    return list(dict.fromkeys([migration_id, *(one.migration for one in ledger.pauses(migration_id))]))
