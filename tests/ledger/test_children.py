"""The migrations of single workspaces: one state with their rows, and no more rights than their workspace."""

from __future__ import annotations

import itertools

import pytest

from tests.ledger.conftest import NEW, OLD, create, groups_of
from vecferry.errors import NotFound, UnsafeRoute
from vecferry.ledger import DEFAULT_WORKSPACE, Answer, Kind, Ledger, Migration, State, Workspace


@pytest.fixture
def parts(ledger: Ledger, migration: Migration) -> list[Migration]:
    """A rolling migration's parts: a, b, and the group of all others; its route leads to the old store."""
    ledger.claim_route("docs", OLD, migration.id)
    ledger.store_workspaces(migration.id, [*groups_of("a", "b"), Workspace(3, DEFAULT_WORKSPACE, 0)])
    return ledger.children(migration.id)


def to_ready(ledger: Ledger, part: Migration) -> None:
    for before, after in itertools.pairwise(PATH):
        ledger.transition(part.id, [before], after, event="on")


PATH = [State.PLANNED, State.COPYING, State.CATCHING_UP, State.VERIFYING, State.READY]


def switch(ledger: Ledger, part: Migration) -> None:
    """The whole cutover of one workspace, as its migration does it."""
    pause = ledger.pause_writes("docs", part.id, 60, None, workspace=part.workspace)
    ledger.transition(part.id, [State.FROZEN], State.SWITCHING, event="checked")
    route = ledger.route("docs", part.workspace)
    assert route is not None
    ledger.switch_route(
        part.id, "docs", expected_epoch=route.epoch, to_url=NEW, state_from=State.SWITCHING,
        state_to=State.SWITCHED, event="switched", token=None, workspace=part.workspace, pause_token=pause.token,
    )  # fmt: skip


def test_a_workspace_and_its_migration_have_one_state(
    ledger: Ledger, migration: Migration, parts: list[Migration]
) -> None:
    """Whichever of the two is moved, the other one and the parent follow in the same transaction."""
    first = parts[0]
    assert (first.id, first.parent, first.workspace) == (f"{migration.id}.0001", migration.id, '"a"')
    ledger.transition(first.id, [State.PLANNED], State.COPYING, event="on")
    assert ledger.workspace(migration.id, '"a"').state is State.COPYING
    ledger.move_workspace(migration.id, 1, [State.COPYING], State.CATCHING_UP, event="on")
    assert ledger.migration(first.id).state is State.CATCHING_UP
    for part in parts[1:]:
        to_ready(ledger, part)
    to_ready_rest = [State.VERIFYING, State.READY]
    for state in to_ready_rest:
        ledger.transition(first.id, [ledger.migration(first.id).state], state, event="on")
    assert ledger.migration(migration.id).state is State.READY
    with pytest.raises(UnsafeRoute, match="has workspaces"):
        ledger.transition(migration.id, [State.READY], State.ABORTED, event="no")


def test_a_part_switches_its_own_entry_of_the_parents_route(
    ledger: Ledger, migration: Migration, parts: list[Migration]
) -> None:
    """Its pause and its switch are of its workspace; the last group's are of the whole, and the others stay."""
    first, second, last = parts
    for part in parts:
        to_ready(ledger, part)
    switch(ledger, first)
    urls = {key: ledger.ask_route("docs", key) for key in ('"a"', '"b"', '"unknown"', None)}
    assert {key: one.url for key, one in urls.items() if one is not None} == {
        '"a"': NEW, '"b"': OLD, '"unknown"': OLD, None: OLD,
    }  # fmt: skip
    assert [pause.workspace for pause in ledger.pauses(migration.id)] == ['"a"']
    switch(ledger, last)
    whole, apart = ledger.route("docs"), ledger.route("docs", '"b"')
    assert whole is not None
    assert apart is not None
    assert (whole.url, apart.url) == (NEW, OLD)
    assert len(ledger.unpause(migration.id, by="ann")) == 2
    assert ledger.migration(second.id).state is State.READY


def test_a_part_may_not_touch_another_workspace(ledger: Ledger, parts: list[Migration]) -> None:
    """Neither by a pause nor by a switch."""
    to_ready(ledger, parts[0])
    with pytest.raises(NotFound, match='moves the workspace "a", not "b"'):
        ledger.pause_writes("docs", parts[0].id, 60, None, workspace='"b"')
    with pytest.raises(UnsafeRoute, match='the workspace "a" alone'):
        ledger.switch_route(
            parts[0].id, "docs", expected_epoch=1, to_url=NEW, state_from=State.READY, state_to=State.SWITCHED,
            event="no", token=None, workspace='"b"',
        )  # fmt: skip
    stranger = create(ledger, name="other")
    with pytest.raises(UnsafeRoute, match="belongs to migration"):
        ledger.pause_writes("docs", stranger.id, 60, None)


def test_a_parts_yes_is_its_own(ledger: Ledger, parts: list[Migration]) -> None:
    """It is a yes to a switch, bound to the part's verdict, and used by its pause."""
    first = parts[0]
    to_ready(ledger, first)
    number = ledger.ask_approval(first.id, {"lines": []})
    ledger.answer_approval(first.id, number, Answer.APPROVED, by="ann")
    ledger.pause_writes("docs", first.id, 60, None, workspace=first.workspace, approval=number)
    found = ledger.approval(first.id, number)
    assert found is not None
    assert (found.kind, found.used_at is not None) == (Kind.SWITCH, True)


def test_parts_are_found_by_their_ids_and_hidden_among_migrations(
    ledger: Ledger, migration: Migration, parts: list[Migration]
) -> None:
    """The start of the parent's id means the parent; with the point it means a part."""
    assert [one.id for one in ledger.migrations()] == [migration.id]
    assert ledger.migration(migration.id[:-1]).id == migration.id
    assert ledger.migration(f"{migration.id}.0002").workspace == '"b"'
    assert ledger.migration(f"{migration.id}.0003").owner == migration.id
