"""The steps of a run, numbered as the protocol numbers them, each as a function from a world to those after it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.explore import Action, Actor, action
from tests.protocol.guards import Guard, Guards
from tests.protocol.world import (
    BACK,
    FORWARD,
    Answer,
    App,
    At,
    Hook,
    Own,
    Side,
    World,
    contested,
    expected,
    forgive,
    held,
    merging,
    put,
    way,
)
from vecferry.ledger.states import State

__all__ = ["RUN"]

_PASSING = frozenset({State.COPYING, State.CATCHING_UP, State.READY, State.READS_NEW})
_FROZEN = frozenset({State.FROZEN, State.ROLLBACK_FROZEN})
_SWITCHING = frozenset({State.SWITCHING, State.ROLLBACK_SWITCHING})
_SWITCHED = frozenset({State.SWITCHED, State.ROLLED_BACK})
_MERGED = frozenset({State.ROLLED_BACK_UNMERGED, State.ROLLED_BACK})
_APP = {Side.OLD: App.OLD, Side.NEW: App.NEW}


@action(Actor.RUN, "S1", at=(At.AWAY, At.DOWN))
def s1_take_lease(world: World, on: Guards) -> Iterator[World]:
    """A run takes the lease; after a dead one the wait for the driver's time-out ends."""
    if world.state is State.ABORTED:
        return
    if Guard.FENCE_LATE_UPSERTS in on and world.own:
        return
    yield world._replace(at=At.START)


@action(Actor.RUN, at=At.START)
def begin_copy(world: World, on: Guards) -> Iterator[World]:
    """The plan is stored and copying begins."""
    if world.state is State.PLANNED:
        yield world._replace(state=State.COPYING, at=At.PASS)


@action(Actor.RUN, at=At.START)
def go_on(world: World, on: Guards) -> Iterator[World]:
    """It goes on where the ledger says."""
    if world.state in _PASSING:
        yield world._replace(at=At.PASS)
    elif world.state is State.VERIFYING:
        yield world._replace(at=At.VERIFY)
    elif world.state in _FROZEN:
        yield world._replace(at=At.UNDO)
    elif world.state in _SWITCHED and world.answer is not Answer.ROUTE_ONLY:
        yield world._replace(at=_after_switch(world))


def _after_switch(world: World) -> At:
    if world.answer is Answer.ROLLBACK:
        return At.PREFLIGHT
    if world.state is State.ROLLED_BACK and world.answer is Answer.MERGE:
        return At.PAUSE
    return At.RELEASE if world.paused else At.WATCH


@action(Actor.RUN, "S4", at=At.PASS)
def s4_pass(world: World, on: Guards) -> Iterator[World]:
    """A pass reads the old store and compares it with the known state."""
    if merging(world):
        return
    found = world.old
    if world.known == found and not world.intents:
        yield _quiet(world)
    else:
        yield world._replace(at=At.INTENT, seen=found, quiet=0)


def _quiet(world: World) -> World:
    """After a pass that found nothing to carry over."""
    if world.state is State.COPYING:
        return world._replace(state=State.CATCHING_UP)
    if world.state is State.CATCHING_UP:
        return world._replace(state=State.VERIFYING, at=At.VERIFY)
    if world.state in (State.READY, State.READS_NEW):
        return world._replace(at=At.PREFLIGHT if world.answer is Answer.SWITCH else At.AWAY)
    quiet = world.quiet + 1
    return world._replace(quiet=quiet, at=At.FENCES) if quiet == 2 else world._replace(quiet=quiet)


@action(Actor.RUN, "S16", at=At.PASS)
def s16_merge(world: World, on: Guards) -> Iterator[World]:
    """A pass reads both stores and compares both with the known pair."""
    if not merging(world):
        return
    lost, gained = held(world, way(world).losing), held(world, way(world).gaining)
    if not world.intents and ((world.old, world.new) == world.kept or lost == gained == world.known):
        yield _quiet(world)
    elif lost == gained:
        yield world._replace(known=lost, kept=None, intents=(), settled=True, quiet=0)
    elif gained == world.known or _ours(world, gained, on):
        yield world._replace(at=At.INTENT, seen=lost, quiet=0)
    elif lost == world.known:
        yield world._replace(kept=(world.old, world.new), intents=(), quiet=0)
    else:
        yield _conflict(world, lost)


def _ours(world: World, gained: int, on: Guards) -> bool:
    """Whether a row of the gaining side is what we wrote before a crash."""
    return Guard.OPEN_INTENT_IS_OURS in on and gained in world.intents


def _conflict(world: World, lost: int) -> World:
    if world.prefer is way(world).losing:
        return world._replace(at=At.INTENT, seen=lost, quiet=0)
    if world.prefer is way(world).gaining:
        return forgive(world, lost)._replace(kept=(world.old, world.new), intents=(), quiet=0)
    return world._replace(conflict=True, at=At.UNDO)


@action(Actor.RUN, "S3", at=At.INTENT)
def s3_intent(world: World, on: Guards) -> Iterator[World]:
    """The intent (before, wanted) is committed."""
    if world.seen is not None:
        intents = tuple(sorted({*world.intents, world.seen}))
        yield world._replace(intents=intents, at=At.WRITE)


@action(Actor.RUN, "S3", at=At.WRITE)
def s3_write(world: World, on: Guards) -> Iterator[World]:
    """The row is written, acknowledged or with an unknown fate."""
    if world.seen is None:
        return
    there, wanted = way(world).gaining, world.seen
    found = held(world, there)
    if contested(world, there) and not world.paused and Guard.WRITE_WITHIN_PAUSE in on:
        yield world._replace(at=At.UNDO, seen=None)
        return
    if merging(world):
        foreign = found != world.known and found not in world.intents
        if foreign and world.prefer is way(world).losing:
            world = forgive(world, found)
        elif foreign and Guard.CHECK_BEFORE_OVERWRITE in on:
            yield world._replace(at=At.PASS, seen=None)
            return
    yield _landed(world, there, wanted)._replace(at=At.READ_BACK)
    if world.own is None:
        yield world._replace(own=Own(there, wanted), at=At.FATE)


def _landed(world: World, there: Side, value: int) -> World:
    """After a write that was acknowledged: until its fence is over, a restart of the store may undo it."""
    if held(world, there) == value:
        return world
    return put(world, there, value)._replace(before=Own(there, held(world, there)), settled=False)


@action(Actor.RUN, "S3", at=At.FATE)
def s3_fence(world: World, on: Guards) -> Iterator[World]:
    """The wait for the driver's time-out ends, after which the write has landed or never will."""
    if world.own is None or Guard.FENCE_LATE_UPSERTS not in on:
        yield world._replace(at=At.READ_BACK)


@action(Actor.RUN, "S3", at=At.READ_BACK)
def s3_read_back(world: World, on: Guards) -> Iterator[World]:
    """The row is read back, which closes its intents, or is written again."""
    if world.seen is None:
        return
    if held(world, way(world).gaining) != world.seen:
        yield world._replace(at=At.WRITE)
    else:
        # Where the application writes as well, a row counts as known only once no restart can take it back.
        settled = world.settled or merging(world)
        yield world._replace(known=world.seen, kept=None, intents=(), seen=None, settled=settled, at=At.PASS)


@action(Actor.RUN, at=At.VERIFY)
def verify(world: World, on: Guards) -> Iterator[World]:
    """The target is compared with the archive."""
    same = world.new == world.known
    yield world._replace(state=State.READY if same else world.state, at=At.AWAY)


@action(Actor.RUN, "S8", at=(At.START, At.PREFLIGHT))
def s8_preflight(world: World, on: Guards) -> Iterator[World]:
    """Once more all is checked, with a scratch write to the old store; where a right is missing, all is undone."""
    if world.at is At.PREFLIGHT:
        yield world._replace(probed=True, at=At.PAUSE)
        yield world._replace(at=At.UNDO)
    elif world.state is State.READY and Guard.PROBE_AFTER_APPROVAL not in on:
        yield world._replace(probed=True)


@action(Actor.RUN, "S9", at=At.PAUSE)
def s9_pause(world: World, on: Guards) -> Iterator[World]:
    """The application's writes are paused, and it says so."""
    if world.state in _MERGED and Guard.MERGE_UNDER_PAUSE not in on:
        yield world._replace(at=At.PASS)
        return
    kept = world.state in _SWITCHING or world.state in _MERGED
    state = world.state if kept else way(world).frozen
    yield _paused(world, on)._replace(state=state, at=At.WAIT)


def _paused(world: World, on: Guards) -> World:
    """With a new token: a call that bears an older one will be refused."""
    calling = None if Guard.EXPIRED_TOKEN_REFUSED in on else world.calling
    return world._replace(paused=True, calling=calling)


@action(Actor.RUN, "S9", at=At.WAIT)
def s9_wait(world: World, on: Guards) -> Iterator[World]:
    """The wait for the application's write time-out and the visibility delay ends."""
    if Guard.WAIT_AFTER_PAUSE in on and world.sent and not world.sent.late:
        return
    yield world._replace(at=At.PASS, quiet=0)


@action(Actor.RUN, "S10", at=At.FENCES)
def s10_fences(world: World, on: Guards) -> Iterator[World]:
    """The wait for own fences ends, after which nothing of ours is under way."""
    if world.own is None or Guard.FENCE_LATE_UPSERTS not in on:
        yield world._replace(at=At.TARGET, settled=True)


@action(Actor.RUN, "S10", at=At.TARGET)
def s10_target_read(world: World, on: Guards) -> Iterator[World]:
    """The last read of the store that gains the writes, against the known state, is over."""
    there = way(world).gaining
    if Guard.READ_TARGET_LAST not in on or held(world, there) == expected(world, there):
        yield world._replace(at=_after_target(world))
        return
    reopened = world._replace(intents=tuple(sorted({*world.intents, expected(world, there)})), quiet=0)
    again = world.route is there
    yield reopened._replace(at=At.PASS if again else At.UNDO)


def _after_target(world: World) -> At:
    if world.state in _MERGED:
        return At.CHECK
    return At.HOOK if world.route is way(world).gaining else At.MANIFEST


@action(Actor.RUN, "S11", at=At.MANIFEST)
def s11_manifest(world: World, on: Guards) -> Iterator[World]:
    """The cutover manifest is written and read back."""
    yield world._replace(state=way(world).switching, at=At.COMMIT)


@action(Actor.RUN, "S12", at=At.COMMIT)
def s12_commit(world: World, on: Guards) -> Iterator[World]:
    """The transaction that moves the route is tried."""
    if world.paused or Guard.COMMIT_WITHIN_PAUSE not in on:
        yield world._replace(route=way(world).gaining, reads=way(world).gaining, hook=Hook.NONE, at=At.HOOK)
    else:
        yield world._replace(state=way(world).frozen, at=At.UNDO)


@action(Actor.RUN, "S9", at=At.UNDO)
def s9_undo(world: World, on: Guards) -> Iterator[World]:
    """What was begun is undone."""
    back = {State.ROLLBACK_FROZEN: State.SWITCHED}.get(world.state, world.state)
    if world.state is State.FROZEN:
        back = State.READS_NEW if world.reads is Side.NEW else State.READY
    paused = world.paused and Guard.RELEASE_ON_UNDO not in on
    undone = world._replace(state=back, at=At.AWAY, paused=paused, seen=None, quiet=0)
    yield undone._replace(answer=Answer.NONE, prefer=None)


@action(Actor.RUN, "S12", at=At.HOOK)
def s12_hook_intent(world: World, on: Guards) -> Iterator[World]:
    """The intent to move the application is recorded, while the pause holds."""
    if world.paused or Guard.COMMIT_WITHIN_PAUSE not in on:
        yield world._replace(hook=Hook.INTENDED, at=At.CALL)
    else:
        yield world._replace(at=At.AWAY)


@action(Actor.RUN, "S12", at=At.CALL)
def s12_hook_call(world: World, on: Guards) -> Iterator[World]:
    """The application is called to move: it does, one instance of it does, or none."""
    yield world._replace(at=At.OBSERVE)
    if world.paused or Guard.EXPIRED_TOKEN_REFUSED not in on:
        there = _APP[way(world).gaining]
        for app in (there, App.SPLIT) if world.app is not there else (there,):
            yield world._replace(app=app, at=At.OBSERVE)


@action(Actor.RUN, "S12", at=At.OBSERVE)
def s12_observe(world: World, on: Guards) -> Iterator[World]:
    """The application is asked which store it uses: if not all of it the right one, the run ends and lists."""
    yield from _observed(world, on)


def _observed(world: World, on: Guards) -> Iterator[World]:
    here, there = way(world).losing, way(world).gaining
    looks = Guard.LOOK_BEFORE_GOING_ON in on and world.state in _SWITCHING and not world.paused
    if looks and world.sent and not world.sent.late:
        return  # it looks after the application's time-out
    differs = looks and held(world, here) != expected(world, here)
    if world.app is not _APP[there] or differs:
        yield _left_alone(world)
    else:
        yield world._replace(hook=Hook.CONFIRMED, at=At.CHECK)


def _left_alone(world: World) -> World:
    """The run lists what it found, changes nothing and ends with the choices (exit code 5)."""
    return world._replace(at=At.AWAY, answer=Answer.NONE, prefer=None)


@action(Actor.RUN, "S12", at=At.CHECK)
def s12_check(world: World, on: Guards) -> Iterator[World]:
    """After the check the state says that it is switched."""
    state = way(world).switched
    if world.state is State.ROLLED_BACK_UNMERGED and world.answer is not Answer.MERGE:
        state = world.state
    done = world._replace(state=state, at=At.RELEASE, before=None, kept=None)
    yield done._replace(answer=Answer.NONE, prefer=None, conflict=False)


@action(Actor.RUN, "S12", at=At.RELEASE)
def s12_release(world: World, on: Guards) -> Iterator[World]:
    """The writes are released, last of all."""
    yield world._replace(paused=False, at=At.WATCH if world.state in _SWITCHED else At.AWAY)


@action(Actor.RUN, "S14", at=At.WATCH)
def s14_late_pass(world: World, on: Guards) -> Iterator[World]:
    """The late pass over the side that lost the writes is over."""
    here = Side.OLD if world.state is State.SWITCHED else Side.NEW
    guard = Guard.LATE_PASS_AFTER_SWITCH if here is Side.OLD else Guard.LATE_PASS_AFTER_ROLLBACK
    found = held(world, here)
    if guard in on and found != world.known:
        world = forgive(world, found)
    yield world._replace(at=At.DONE)


@action(Actor.RUN, "S13", at=At.START)
def s13_recover(world: World, on: Guards) -> Iterator[World]:
    """A run finds a switch that was begun: it undoes, looks again, goes on, or ends and lists."""
    if world.state not in _SWITCHING:
        return
    there = way(world).gaining
    if world.route is not there or Guard.UNDO_ONLY_BEFORE_COMMIT not in on:
        back = FORWARD.losing if there is FORWARD.gaining else BACK.losing
        yield world._replace(route=back, state=way(world).frozen, at=At.UNDO)
    elif world.hook is Hook.CONFIRMED:
        yield world._replace(at=At.CHECK)
    elif world.answer is Answer.MERGE:
        yield world._replace(at=At.PAUSE)
    elif world.hook is Hook.NONE:
        again = Guard.PASSES_AGAIN_AFTER_CRASH in on
        yield world._replace(at=At.PAUSE) if again else _paused(world, on)._replace(at=At.HOOK)
    elif Guard.READ_BACK_BEFORE_HOOK in on:
        yield from _observed(world, on)
    else:
        yield _paused(world, on)._replace(at=At.CALL)


@action(Actor.RUN, "S18", at=At.START)
def s18_route_only(world: World, on: Guards) -> Iterator[World]:
    """The new store is out of reach: writes are paused and the route goes back without it."""
    if world.answer is Answer.ROUTE_ONLY and world.state is State.SWITCHED:
        moved = _paused(world, on)._replace(route=Side.OLD, reads=Side.OLD, hook=Hook.NONE, at=At.HOOK)
        yield moved._replace(state=State.ROLLED_BACK_UNMERGED)


@action(Actor.RUN, "S18", at=At.START)
def s18_go_on(world: World, on: Guards) -> Iterator[World]:
    """A run finds a route that went back alone: it moves the application, merges, or releases the writes."""
    if world.state is not State.ROLLED_BACK_UNMERGED:
        return
    if world.hook is Hook.CONFIRMED:
        yield world._replace(at=At.PAUSE if world.answer is Answer.MERGE else At.RELEASE)
    elif world.hook is Hook.NONE or world.answer is Answer.ROUTE_ONLY:
        yield _paused(world, on)._replace(at=At.HOOK)
    else:
        yield from _observed(world, on)


RUN: tuple[Action[World], ...] = (
    s1_take_lease, begin_copy, go_on, s4_pass, s16_merge, s3_intent, s3_write, s3_fence, s3_read_back, verify,
    s8_preflight, s9_pause, s9_wait, s9_undo, s10_fences, s10_target_read, s11_manifest, s12_commit, s12_hook_intent,
    s12_hook_call, s12_observe, s12_check, s12_release, s14_late_pass, s13_recover, s18_route_only, s18_go_on,
)  # fmt: skip
