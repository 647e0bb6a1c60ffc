"""Rolling migrations on stores of this process: order, questions, failures, and what goes back."""

from __future__ import annotations

import collections
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from tests.support.application import SECRET, Application, Memory
from tests.support.migrating import Harness, schema
from tests.support.tenants import ABSENT, before, child, freeze, groups, held, put, remove, start
from vecferry import address, batch, canonical
from vecferry.errors import BadOption, NotFound, PlanRefused, Stopped, UnsafeRoute
from vecferry.ledger import DEFAULT_WORKSPACE, MISSING_WORKSPACE, Hold, State, workspace_key
from vecferry.model import IdKind
from vecferry.operations import ending, migrations, pausing, routes, workspaces
from vecferry.operations.standing import standing
from vecferry.stores import registry
from vecferry.strategies import rolling as strategy
from vecferry.strategies import waves
from vecferry.strategies.runner import Ref


def test_s19_groups_are_typed_and_come_in_their_order(harness: Harness, old: str, new: str) -> None:
    """1, "1", true, null, a list and no value are six workspaces; those that are named go first, all others last."""
    for number, value in enumerate([1, "1", True, None, ["a"], ABSENT]):
        put(old, f"x{number}", value)
    put(old, "y", ["a"])
    ref = start(harness, old, new, first=["b", "null"])
    strategy.prepare(harness.runner, ref)
    found = harness.ledger.workspaces(ref.migration)
    assert [(one.key, one.rows) for one in found] == [
        ('"b"', 3),
        ("null", 1),
        ('"1"', 1),
        ("1", 1),
        (MISSING_WORKSPACE, 1),
        ("true", 1),
        ('"a"', 2),
        ('["a"]', 2),
        (DEFAULT_WORKSPACE, 0),
    ]
    assert [one.child for one in found] == [f"{ref.migration}.{number:04d}" for number in range(1, 10)]


def test_s21_date_ranges_are_half_open_and_what_is_in_none_is_the_default_groups(
    harness: Harness, old: str, new: str
) -> None:
    """A border belongs to the range that it begins, in UTC; a text that is no date is in no range."""
    for number, value in enumerate(["2024-06-30T23:59:59", "2024-07-01", "2024-07-01T01:00:00+02:00", "soon"]):
        put(old, f"x{number}", value)
    ref = start(harness, old, new, ranges=["2024-01", "2024-07", "2025-01"])
    strategy.prepare(harness.runner, ref)
    found = {one.key: one.rows for one in harness.ledger.workspaces(ref.migration)}
    assert found == {"2024-01-01..2024-07-01": 2, "2024-07-01..2025-01-01": 1, DEFAULT_WORKSPACE: 6}


def test_one_form_asks_for_a_wave_and_a_yes_is_used_once(harness: Harness, old: str, new: str) -> None:
    """A no leaves both READY; the next run asks anew; the yes switches both, and the last group has its own form."""
    ref = start(harness, old, new, approve="ask")
    harness.answer = False
    with pytest.raises(Stopped, match="declined"):
        harness.run(ref)
    assert groups(harness, ref) == {'"a"': State.READY, '"b"': State.READY, DEFAULT_WORKSPACE: State.PLANNED}
    harness.answer = True
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    assert [form.title.partition(" of ")[0] for form in harness.forms] == 2 * ["Switch 2 workspaces"] + [
        "Switch 1 workspaces"
    ]
    assert all(one.used_at for one in harness.ledger.approvals(ref.migration) if one.answer == "approved")
    assert len({form.number for form in harness.forms}) == 3


@pytest.mark.slow
def test_a_failure_of_one_workspace_stops_no_other_and_the_run_goes_on_later(
    harness: Harness, old: str, new: str
) -> None:
    """What fails is noted, the others switch, the last group waits; a retry of the one, then a run, end it all."""
    put(old, "c0", "c")
    ref = start(harness, old, new, max_final_delta=0)
    before(harness, {(waves.switch_wave, 1): lambda: put(old, "a9", "a", 9)})
    with pytest.raises(UnsafeRoute, match=r'workspace "a".*last delta') as caught:
        harness.run(ref)
    assert "1 other" in str(caught.value)
    assert groups(harness, ref) == {
        '"c"': State.SWITCHED,
        '"a"': State.READY,
        '"b"': State.SWITCHED,
        DEFAULT_WORKSPACE: State.READY,
    }
    assert harness.migration(ref).state is State.SWITCHED
    notes = {one.key: one.note for one in harness.ledger.workspaces(ref.migration)}
    assert "last delta" in notes['"a"']
    assert "moves last" in notes[DEFAULT_WORKSPACE]
    assert [pause for pause in harness.ledger.pauses(ref.migration) if pause.released_at is None] == []
    harness.sync(child(harness, ref, "a"))
    workspaces.retry(harness.runner, ref, ["a"])
    assert groups(harness, ref)['"a"'] is State.SWITCHED
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    assert {one.note for one in harness.ledger.workspaces(ref.migration)} == {""}
    assert held(harness, new) == held(harness, old)
    with pytest.raises(NotFound, match="no workspace nobody"):
        workspaces.retry(harness.runner, ref, ["nobody"])


@pytest.mark.slow
def test_s21_unknown_workspaces_stay_with_the_old_store_until_the_last_group_moves_under_a_pause_of_all(
    harness: Harness, old: str, new: str
) -> None:
    """Who asks for a group that nobody knows is sent to the old store, then to the new one with its records there."""
    ref = start(harness, old, new, wave=1)
    asked: list[tuple[str, str]] = []

    def ask() -> None:
        put(old, "z0", "z")
        found = [harness.ledger.ask_route("docs", workspace_key(name)) for name in ("a", "z")]
        asked.extend((one.url, one.writes) for one in found if one is not None)

    before(harness, {(waves.fill_wave, 3): ask})
    harness.run(ref)
    assert asked == [(new, "open"), (old, "open")]
    after = harness.ledger.ask_route("docs", workspace_key("z"))
    assert after is not None
    assert after.url == new
    assert held(harness, new)["z0"] == "z"
    scopes = {pause.workspace for pause in harness.ledger.pauses(ref.migration)}
    assert scopes == {'"a"', '"b"', None}


@pytest.mark.slow
def test_a_workspace_that_vanishes_ends_as_one_without_records(harness: Harness, old: str, new: str) -> None:
    """It is found, then empty when its turn comes: it is switched like any other, so that its readers follow."""
    ref = start(harness, old, new, wave=1)
    before(harness, {(waves.fill_wave, 1): lambda: remove(old, "a0", "a1")})
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    assert held(harness, new) == {"b2": "b", "b3": "b", "b4": "b"}


@pytest.mark.slow
def test_workspaces_are_skipped_frozen_ordered_and_taken_up(harness: Harness, old: str, new: str) -> None:
    """A run leaves alone what is held, and the last group waits for what is only frozen."""
    put(old, "c0", "c")
    ref = start(harness, old, new, wave=1)
    strategy.prepare(harness.runner, ref)
    workspaces.go_first(harness.ledger, ref.migration, ["b"])
    before(harness, {(waves.fill_wave, 2): lambda: freeze(harness, ref)})
    harness.run(ref)
    found = groups(harness, ref)
    assert [*found] == ['"b"', '"c"', '"a"', DEFAULT_WORKSPACE]
    assert [state for state in found.values() if state is State.SWITCHED] == [State.SWITCHED]
    with pytest.raises(UnsafeRoute, match='workspace "c" is PLANNED'):
        ending.complete(harness.runner, ref)
    workspaces.hold(harness.ledger, ref.migration, ["a"], Hold.SKIPPED)
    workspaces.hold(harness.ledger, ref.migration, ["c", "default"], None)
    harness.run(ref)
    assert groups(harness, ref) == {
        '"b"': State.SWITCHED,
        '"c"': State.SWITCHED,
        '"a"': State.PLANNED,
        DEFAULT_WORKSPACE: State.SWITCHED,
    }
    left = harness.ledger.ask_route("docs", workspace_key("a"))
    assert left is not None
    assert left.url == old
    with pytest.raises(BadOption, match="moves last"):
        workspaces.go_first(harness.ledger, ref.migration, ["default"])


@pytest.mark.slow
def test_some_go_back_with_what_they_received_and_the_others_stay(harness: Harness, old: str, new: str) -> None:
    """A rollback by name carries its own records alone; one of the whole takes all others back, the last group too."""
    ref = start(harness, old, new)
    harness.run(ref)
    put(new, "a0", "a", 40)
    put(new, "b9", "b", 9)
    workspaces.roll_back(harness.runner, ref, ["a"], routes.settlement())
    assert groups(harness, ref) == {'"a"': State.ROLLED_BACK, '"b"': State.SWITCHED, DEFAULT_WORKSPACE: State.SWITCHED}
    assert "b9" not in held(harness, old)
    served = {name: harness.ledger.ask_route("docs", workspace_key(name)) for name in ("a", "b", "z")}
    assert [one.url for one in served.values() if one is not None] == [old, new, new]
    with pytest.raises(UnsafeRoute, match='workspace "a" is ROLLED_BACK'):
        workspaces.roll_back(harness.runner, ref, ["a"], routes.settlement())
    workspaces.roll_back(harness.runner, ref, [], routes.settlement())
    assert set(groups(harness, ref).values()) == {State.ROLLED_BACK}
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert harness.records(old) == harness.records(new)
    assert ending.discard(harness.runner, ref).dropped == new


@pytest.mark.slow
def test_a_switch_of_the_route_alone_and_its_merge_for_one_workspace(harness: Harness, old: str, new: str) -> None:
    """The route goes back at once, the records when there is time; the others are served as before."""
    ref = start(harness, old, new)
    harness.run(ref)
    put(new, "a7", "a", 7)
    workspaces.lead_back(harness.runner, ref, ["a"], routes.settlement())
    assert groups(harness, ref)['"a"'] is State.ROLLED_BACK_UNMERGED
    assert "a7" not in held(harness, old)
    workspaces.merge(harness.runner, ref, ["a"], routes.settlement())
    assert groups(harness, ref)['"a"'] is State.ROLLED_BACK
    assert held(harness, old)["a7"] == "a"


@pytest.mark.slow
def test_abort_ends_what_has_not_switched_and_is_refused_after_a_switch(harness: Harness, old: str, new: str) -> None:
    """Before any switch all end together, writes released; once one is served by the new store, not any more."""
    ref = start(harness, old, new, approve="ask", wave=1)
    harness.answer = False
    with pytest.raises(Stopped):
        harness.run(ref)
    assert ending.abort(harness.ledger, ref.migration).state is State.ABORTED
    assert set(groups(harness, ref).values()) == {State.ABORTED}
    ending.discard(harness.runner, ref)
    with registry.open_target(address.parse(new)) as store:
        assert not store.exists()
    again = start(harness, old, new, wave=1)
    before(harness, {(waves.fill_wave, 2): lambda: freeze(harness, again)})
    harness.run(again)
    with pytest.raises(UnsafeRoute, match="no longer be aborted"):
        ending.abort(harness.ledger, again.migration)
    part = child(harness, again, "a")
    with pytest.raises(UnsafeRoute, match="end together"):
        ending.abort(harness.ledger, part.migration)
    with pytest.raises(UnsafeRoute, match="goes on with it in its turn"):
        harness.run(part)


@pytest.mark.slow
def test_each_workspace_can_have_a_question_of_its_own(harness: Harness, old: str, new: str) -> None:
    """A no to one keeps no other from moving."""
    ref = start(harness, old, new, approve="ask", approve_by="each")
    harness.runner._ask = lambda form, timeout_s: '"a"' not in form.title
    with pytest.raises(Stopped, match="declined"):
        harness.run(ref)
    assert groups(harness, ref) == {'"a"': State.READY, '"b"': State.SWITCHED, DEFAULT_WORKSPACE: State.READY}


def test_what_a_rolling_migration_cannot_be_is_refused(harness: Harness, old: str, new: str) -> None:
    """A trial, a cutover in two steps, files, and workspaces for another strategy."""
    with pytest.raises(BadOption, match="in one step"):
        harness.start(old, new, "rolling", cutover="two-step")
    with pytest.raises(BadOption, match="trial"):
        harness.start(old, new, "rolling", limit=5)
    with pytest.raises(BadOption, match="rolling migration"):
        harness.start(old, new, rolling={"by": "tenant"})
    ref = harness.start(old, f"jsonl://{harness.folder}/docs.jsonl", "rolling")
    with pytest.raises(PlanRefused, match="served as a whole"):
        harness.run(ref)


@pytest.mark.parametrize(
    ("options", "refused", "reason"),
    [
        ({"rolling": {"approve_by": "each"}, "approve": "ask"}, PlanRefused, "53 questions"),
        ({"rolling": {"first": ["zzz"]}}, BadOption, "no record is in the workspace zzz"),
    ],
)
def test_a_refused_grouping_leaves_nothing_behind(
    harness: Harness, old: str, new: str, options: dict[str, Any], refused: type[Exception], reason: str
) -> None:
    """Nothing has to be ended first: route, target and archive folder are free for a start with other options."""
    for number in range(50):
        put(old, f"w{number}", f"w{number}")
    places = {"route": "docs", "archive": str(harness.folder / "archive")}
    ref = harness.start(old, new, "rolling", **places, **options)
    with pytest.raises(refused, match=reason):
        strategy.prepare(harness.runner, ref)
    assert (harness.migration(ref).state, harness.migration(ref).planned_at) == (State.PLANNED, None)
    assert harness.ledger.route("docs") is None
    assert not (harness.folder / "archive").exists()
    other = harness.start(old, new, "rolling", **places)
    strategy.prepare(harness.runner, other)
    assert len(groups(harness, other)) == 53


@pytest.mark.slow
def test_a_grouping_that_was_refused_is_looked_at_again_by_resume(harness: Harness, old: str, new: str) -> None:
    """Once the old store has the workspace that is to go first, the same migration goes on."""
    ref = start(harness, old, new, first=["c"])
    with pytest.raises(BadOption, match="no record is in the workspace c"):
        harness.run(ref)
    put(old, "c0", "c")
    harness.run(ref)
    assert groups(harness, ref) == dict.fromkeys(['"c"', '"a"', '"b"', DEFAULT_WORKSPACE], State.SWITCHED)
    assert len(held(harness, new)) == 6


@pytest.mark.slow
def test_an_approval_of_the_whole_covers_all_that_are_ready_in_one_form(harness: Harness, old: str, new: str) -> None:
    """`vecferry approve` answers while nobody runs; the next run passes the yes on and switches all of them."""
    ref = start(harness, old, new, approve="ask", approve_by="once", wave=1)

    def nobody(form: Any, timeout_s: float) -> bool:
        raise Stopped("nobody is there")

    harness.runner._ask = nobody
    with pytest.raises(Stopped, match="nobody is there"):
        harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.READY}
    migrations.approve(harness.ledger, ref.migration, yes=True, by="ann")
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    mine = harness.ledger.approval(child(harness, ref, "a").migration)
    assert mine is not None
    assert mine.answered_by == "ann"
    assert pausing.unpause(harness.ledger, ref.migration, "ann").released == ()


@pytest.mark.slow
def test_500_workspaces_are_a_few_tasks_for_each_wave(
    harness: Harness, new: str, request: pytest.FixtureRequest
) -> None:
    """All are found and stored; what a flow would run as tasks is two for a wave, whatever the wave holds."""
    url = f"memory:///many_{request.node.name}"
    records = batch.make(
        [f"r{number}" for number in range(1000)],
        IdKind.STRING,
        vectors={"": batch.dense_array(np.random.default_rng(1).normal(size=(1000, 8)).astype(np.float32))},
        documents=[None] * 1000,
        payloads=[canonical.encode({"workspace_id": f"w{number % 500}"}) for number in range(1000)],
    )
    with registry.open_target(address.parse(url)) as store:
        store.create(schema(), {})
        store.write(records)
    ref = start(harness, url, new, wave=10)
    strategy.prepare(harness.runner, ref)
    found = harness.ledger.workspaces(ref.migration)
    assert (len(found), sum(one.rows for one in found)) == (501, 1000)
    harness.ledger.hold_workspaces(ref.migration, [one.number for one in found[20:]], Hold.PAUSED)
    run, tasks = harness.runner.run, list[str]()

    def counted(step: Any, ref: Ref, *args: Any, **kwargs: Any) -> Any:
        tasks.append(step.__name__)
        return run(step, ref, *args, **kwargs)

    harness.runner.run = counted  # type: ignore[method-assign]
    harness.run(ref)
    states = list(groups(harness, ref).values())
    assert states.count(State.SWITCHED) == 20
    once = [name for name in tasks if not name.endswith("_wave")]
    assert (tasks.count("fill_wave"), tasks.count("switch_wave")) == (2, 2)
    assert len(once) + 2 * 51 < 200


class Tenants(Application):
    """An application that keeps one memory for each workspace, and one for the whole collection."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.memories = collections.defaultdict(lambda: Memory(url=url))

    def _say_what_it_does(self, handler: Any) -> None:
        asked = dict(parse_qsl(urlsplit(handler.path).query))
        self.memory = self.memories[asked.get("workspace", "")]
        super()._say_what_it_does(handler)

    def _act(self, handler: Any, call: dict[str, Any]) -> None:
        self.memory = self.memories[call["workspace"] or ""]
        super()._act(handler, call)


@pytest.mark.slow
def test_s9_s12_hooks_and_the_route_file_are_told_of_each_workspace(harness: Harness, old: str, new: str) -> None:
    """Each is paused, switched and released under its own name; the last group under that of the whole."""
    with Tenants(old) as application:
        secret = harness.folder / "secret"
        secret.write_text(SECRET)
        hook = {"webhook": application.hook, "secret": {"file": str(secret)}, "timeout_s": 10}
        file = harness.folder / "route.json"
        hooks = {"pause": hook, "release": hook, "switch": hook, "read_back": hook, "write_timeout_s": 0}
        ref = start(harness, old, new, wave=1, hooks=hooks | {"route_file": str(file)})
        harness.run(ref)
        found = {name: memory.actions() for name, memory in application.memories.items()}
        told = {name: [action for action in actions if action != "read_back"] for name, actions in found.items()}
        assert told == {name: ["pause", "switch", "release"] for name in ('"a"', '"b"', "")}
        assert {memory.url for memory in application.memories.values()} == {new}
        content = json.loads(file.read_text())
        assert content["url"] == new
        assert {key: entry["url"] for key, entry in content["workspaces"].items()} == {'"a"': new, '"b"': new}
        workspaces.roll_back(harness.runner, ref, ["a"], routes.settlement())
        assert application.memories['"a"'].url == old
        assert application.memories[""].url == new
        assert json.loads(file.read_text())["workspaces"]['"a"']["url"] == old
        assert standing(harness.ledger, harness.migration(ref)).differences == ()
