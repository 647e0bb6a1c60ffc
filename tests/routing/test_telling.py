"""An application during a switch: what is asked of it when, and what each failure of it ends in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.routing.conftest import Switching, make_switching
from tests.support.application import Application
from vecferry import failpoints
from vecferry.errors import LeaseLost, Stopped, UnsafeRoute, VecferryError
from vecferry.ledger import Answer, Holder, State, migration_resource
from vecferry.operations import pausing as by_hand
from vecferry.routing.calls import Action
from vecferry.strategies import pausing, steps, telling
from vecferry.strategies.steps.hooks import OBSERVED_FACT
from vecferry.strategies.work import open_work


def switched(switching: Switching) -> Switching:
    """Paused, checked, the route moved in the ledger; nothing follows it yet."""
    token = steps.pause_writes(switching.ref)
    switching.frozen_to_switching()
    switching.commit(token)
    return switching


def asked(switching: Switching) -> list[str]:
    """What the application was asked to do, reading back left out."""
    return [action for action in switching.application.memory.actions() if action != "read_back"]


def test_s8_s12_a_whole_switch_pauses_tells_reads_back_and_releases_in_this_order(switching: Switching) -> None:
    """Ledger, route file and application say the same after each phase, and writes go on last of all."""
    run, ref, memory = switching.runner, switching.ref, switching.application.memory
    token = pausing.pause(run, ref)
    assert (switching.state, memory.writes, switching.said_by_file()["writes"]) == (State.FROZEN, "paused", "paused")
    assert memory.token == token
    switching.frozen_to_switching()
    switching.commit(token)
    pausing.follow(run, ref)
    assert (memory.url, memory.epoch, memory.writes) == (switching.new, 2, "paused")
    assert (switching.said_by_file()["url"], switching.said_by_file()["writes"]) == (switching.new, "paused")
    pausing.release(run, ref)
    assert (memory.writes, switching.said_by_file()["writes"]) == ("open", "open")
    assert asked(switching) == ["pause", "switch", "release"]
    assert [call["token"] for call in memory.calls if "token" in call] == [token] * 3
    seen = switching.ledger.fact(ref.migration, OBSERVED_FACT)
    assert seen is not None
    assert seen["differences"] == []
    assert [one["where"] for one in seen["observed"]] == ["file", "hook"]


def test_s1_each_call_is_recorded_before_it_is_made_and_its_outcome_after(switching: Switching) -> None:
    """The trail names intent and outcome of every call, between the steps of the ledger that they belong to."""
    pausing.release(switching.runner, switched(switching).ref)
    events = [entry.event for entry in switching.ledger.audit(switching.ref.migration)]
    wanted = ["writes paused", "hook intended", "hook ended", "checked", "route moved"]
    wanted += ["writes released", "hook intended", "hook ended"]
    assert events[-len(wanted) :] == wanted


def test_s9_the_approval_is_used_by_the_pause(switching: Switching) -> None:
    """A yes is used once: the next pause with the same number is refused, and nobody is paused."""
    number = switching.ledger.ask_approval(switching.ref.migration, {"lines": []})
    switching.ledger.answer_approval(switching.ref.migration, number, Answer.APPROVED, by="ann")
    steps.pause_writes(switching.ref, number)
    steps.release_writes(switching.ref)
    switching.ledger.transition(switching.ref.migration, [State.FROZEN], State.READY, event="undone")
    with pytest.raises(UnsafeRoute):
        steps.pause_writes(switching.ref, number)
    assert switching.application.memory.writes == "open"


def test_s9_a_second_run_takes_the_pause_that_holds(switching: Switching) -> None:
    """The step that ran once does not ask the application again."""
    token = steps.pause_writes(switching.ref)
    assert steps.pause_writes(switching.ref) == token
    assert asked(switching) == ["pause"]


def test_s9_a_pause_that_is_over_is_renewed_with_a_later_token(switching: Switching) -> None:
    """In FROZEN the state stays; the application hears of the new pause, whose token is greater."""
    first = steps.pause_writes(switching.ref)
    switching.end_the_pause()
    second = steps.pause_writes(switching.ref)
    assert second > first
    assert switching.state is State.FROZEN
    assert [call["token"] for call in switching.application.memory.calls if "token" in call] == [first, second]


@pytest.mark.parametrize("fault", ["refuse", "fail", "forget", "page", "redirect", "hang"])
def test_s9_a_pause_that_is_not_confirmed_stops_and_releases(
    application: Application, tmp_path: Path, fault: str
) -> None:
    """Whatever goes wrong: exit 3, the ledger's pause ended, the application told that writes go on."""
    hook = {"webhook": application.hook, "secret": {"env": "DOCS_HOOK_SECRET"}, "timeout_s": 0.4}
    switching = make_switching(application, tmp_path, pause=hook)
    application.memory.faults["pause"] = [fault]
    with pytest.raises(Stopped, match="did not confirm that writes are paused"):
        pausing.pause(switching.runner, switching.ref)
    assert (application.memory.writes, switching.said_by_file()["writes"]) == ("open", "open")
    assert asked(switching) == ["pause", "release"]


@pytest.mark.parametrize("fault", ["half", "late"])
def test_s9_a_pause_that_was_done_without_an_answer_is_seen_by_the_read_back(
    application: Application, tmp_path: Path, fault: str
) -> None:
    """The fate was unknown, the read-back says that writes are paused: that is enough."""
    hook = {"webhook": application.hook, "secret": {"env": "DOCS_HOOK_SECRET"}, "timeout_s": 0.4}
    switching = make_switching(application, tmp_path, pause=hook)
    application.memory.faults["pause"] = [fault]
    pausing.pause(switching.runner, switching.ref)
    assert switching.state is State.FROZEN
    assert switching.outcomes("pause") == ["unknown"]


def test_s9_without_a_read_back_only_an_acknowledgement_counts(application: Application, tmp_path: Path) -> None:
    """Nobody can ask whether it was done, so it counts as not done."""
    switching = make_switching(application, tmp_path, switch=None, read_back=None)
    application.memory.faults["pause"] = ["half"]
    with pytest.raises(Stopped):
        pausing.pause(switching.runner, switching.ref)
    assert application.memory.writes == "open"
    switching.ledger.transition(switching.ref.migration, [State.FROZEN], State.READY, event="undone")
    pausing.pause(switching.runner, switching.ref)
    assert application.memory.writes == "paused"


def test_s9_an_application_that_knows_a_later_pause_is_not_overruled(switching: Switching) -> None:
    """409: this run was overtaken. Exit 5."""
    switching.application.memory.token = 1_000_000
    with pytest.raises(UnsafeRoute, match="a later pause"):
        steps.pause_writes(switching.ref)


def test_s9_the_last_writes_are_waited_for(application: Application, tmp_path: Path) -> None:
    """From the acknowledgement on, for the application's time-out and the engine's delay together."""
    switching = make_switching(application, tmp_path, write_timeout_s=0.2, visibility_delay_s=0.1)
    steps.pause_writes(switching.ref)
    steps.wait_for_writes(switching.ref)
    [told] = switching.ledger.hooks(switching.ref.migration, "pause")
    now = switching.ledger.ask_route("docs")
    assert now is not None
    assert told.ended_at is not None
    assert (now.at - told.ended_at).total_seconds() >= 0.3


def test_s9_a_pause_that_ends_while_waiting_is_no_pause(switching: Switching) -> None:
    """A writer may have written since: exit 5, nothing switched."""
    steps.pause_writes(switching.ref)
    switching.end_the_pause()
    with pytest.raises(UnsafeRoute, match="ended at"):
        steps.wait_for_writes(switching.ref)


@pytest.mark.parametrize("fault", ["refuse", "fail", "page", "mute"])
def test_s8_an_application_that_cannot_be_read_back_is_found_before_the_pause(switching: Switching, fault: str) -> None:
    """Exit 3, nothing paused, state READY."""
    switching.application.memory.faults["read_back"] = [fault]
    with pytest.raises(Stopped, match="cannot be read back"):
        pausing.pause(switching.runner, switching.ref)
    assert (switching.state, asked(switching)) == (State.READY, [])


@pytest.mark.parametrize("wrong", [{"url": "numpy:///elsewhere"}, {"writes": "paused"}])
def test_s8_an_application_that_does_something_else_is_found_before_the_pause(
    switching: Switching, wrong: dict[str, Any]
) -> None:
    """It serves another store, or is paused by somebody else: exit 5, nothing paused."""
    vars(switching.application.memory).update(wrong)
    with pytest.raises(UnsafeRoute, match="does not do what the route says"):
        pausing.pause(switching.runner, switching.ref)
    assert (switching.state, asked(switching)) == (State.READY, [])


def test_s8_an_application_that_our_own_last_pause_still_holds_may_be_paused_again(switching: Switching) -> None:
    """Its release did not get through, and the run was undone: the next one goes on with a later token."""
    pausing.pause(switching.runner, switching.ref)
    switching.application.memory.faults["release"] = ["fail"]
    with pytest.raises(Stopped):
        steps.release_writes(switching.ref)
    switching.ledger.transition(switching.ref.migration, [State.FROZEN], State.READY, event="undone")
    assert switching.application.memory.writes == "paused"
    assert pausing.pause(switching.runner, switching.ref) == switching.application.memory.token
    assert asked(switching) == ["pause", "release", "pause"]


def test_s8_a_route_file_that_cannot_be_written_is_found_before_the_pause(
    application: Application, tmp_path: Path
) -> None:
    """Exit 3, nothing paused."""
    (tmp_path / "wall").write_text("")
    switching = make_switching(application, tmp_path, route_file=str(tmp_path / "wall" / "route.json"))
    with pytest.raises(Stopped, match="route file"):
        pausing.pause(switching.runner, switching.ref)
    assert (switching.state, asked(switching)) == (State.READY, [])


def test_s12_no_hook_is_called_once_the_pause_is_over(switching: Switching) -> None:
    """Writes may have gone to the old store since: exit 5, and the application was not told to switch."""
    switched(switching).end_the_pause()
    with pytest.raises(UnsafeRoute, match="ended at"):
        steps.tell_switch(switching.ref)
    assert asked(switching) == ["pause"]
    assert switching.outcomes("switch") == []


def test_s12_a_pause_ended_by_hand_keeps_the_switch_hook_from_being_called(switching: Switching) -> None:
    """`unpause` while a run is at work: exit 5 names who did it."""
    switched(switching)
    by_hand.unpause(switching.ledger, switching.ref.migration, "ann")
    with pytest.raises(UnsafeRoute, match="by ann"):
        steps.tell_switch(switching.ref)
    assert asked(switching) == ["pause", "release"]


def test_s12_an_expired_token_is_an_unsafe_route(switching: Switching) -> None:
    """The application's own pause was over before the ledger's: it answers 409, nothing is assumed."""
    switched(switching)
    switching.application.memory.over = switching.application.memory.token
    with pytest.raises(UnsafeRoute, match="its pause being over"):
        steps.tell_switch(switching.ref)
    assert switching.application.memory.url == switching.old


def test_s12_a_switch_that_was_done_without_an_answer_is_seen_by_the_read_back(switching: Switching) -> None:
    """500 after the work: the read-back says that the new store serves, and the run goes on."""
    switched(switching).application.memory.faults["switch"] = ["half"]
    pausing.follow(switching.runner, switching.ref)
    assert asked(switching) == ["pause", "switch"]


def test_s12_an_acknowledgement_is_not_believed_without_a_read_back(switching: Switching) -> None:
    """200, and nothing done: the read-back after it finds the difference, exit 5."""
    switched(switching).application.memory.faults["switch"] = ["forget"]
    steps.tell_switch(switching.ref)
    with pytest.raises(UnsafeRoute, match=r"differ: hook serves .*old.*"):
        steps.read_back(switching.ref)
    seen = switching.ledger.fact(switching.ref.migration, OBSERVED_FACT)
    assert seen is not None
    assert any("hook serves" in line for line in seen["differences"])


def test_s13_a_call_of_unknown_fate_is_never_made_again(switching: Switching) -> None:
    """The application failed and still serves the old store: exit 5 with the choices, each time, and no second call."""
    switched(switching).application.memory.faults["switch"] = ["fail"]
    for _ in range(2):
        with pytest.raises(UnsafeRoute, match="may or may not have switched") as caught:
            steps.tell_switch(switching.ref)
        assert "vecferry resume" in caught.value.advice
        assert "vecferry rollback" in caught.value.advice
    assert asked(switching) == ["pause", "switch"]
    switching.application.memory.url, switching.application.memory.epoch = switching.new, 2  # by an operator's hand
    pausing.follow(switching.runner, switching.ref)
    assert asked(switching) == ["pause", "switch"]


def test_s13_a_refused_call_is_made_again_after_a_read_back(switching: Switching) -> None:
    """The application said no and serves the old store: certainly not done, so a resume may ask again."""
    switched(switching).application.memory.faults["switch"] = ["refuse"]
    with pytest.raises(UnsafeRoute, match="not today"):
        steps.tell_switch(switching.ref)
    pausing.follow(switching.runner, switching.ref)
    assert asked(switching) == ["pause", "switch", "switch"]
    assert switching.outcomes("switch") == ["refused", "acknowledged"]


def intend(switching: Switching, action: Action) -> None:
    """What is left by a run that died between its intent and the call's outcome."""
    work = open_work(switching.ref)
    made = telling.request(work, action, switching.ledger.pause("docs"))
    switching.ledger.record_hook_intent(
        switching.ref.migration, action, made.to_json(), epoch=made.epoch, token=switching.ref.token
    )


def test_s13_after_a_crash_before_the_call_nothing_is_assumed(switching: Switching) -> None:
    """The intent is there and the application serves the old store: nobody knows whether a call is still on its way."""
    intend(switched(switching), Action.SWITCH)
    with pytest.raises(UnsafeRoute, match="was under way when its run ended"):
        steps.tell_switch(switching.ref)
    assert asked(switching) == ["pause"]
    assert switching.outcomes("switch") == [None]


def test_s13_after_a_crash_behind_the_call_the_read_back_settles_it(switching: Switching) -> None:
    """The application has switched: its outcome is recorded, and the call is not repeated."""
    intend(switched(switching), Action.SWITCH)
    switching.application.memory.url, switching.application.memory.epoch = switching.new, 2
    steps.tell_switch(switching.ref)
    assert asked(switching) == ["pause"]
    assert switching.outcomes("switch") == ["acknowledged"]
    assert switching.ledger.open_hook_intents(switching.ref.migration) == []


def test_s13_a_pause_of_unknown_fate_is_asked_for_again_with_its_key(switching: Switching) -> None:
    """Pausing twice under one token does no harm: the same intent, the same key."""
    token = steps.pause_writes(switching.ref)
    [told] = switching.ledger.hooks(switching.ref.migration, "pause")
    intend(switching, Action.RELEASE)
    [open_intent] = switching.ledger.open_hook_intents(switching.ref.migration)
    steps.release_writes(switching.ref)
    keys = [call["header"] for call in switching.application.memory.calls if "header" in call]
    assert keys == [f"{switching.ref.migration}:{number}" for number in (told.number, open_intent.number)]
    assert switching.application.memory.token == token


def test_s1_a_run_that_lost_its_lease_calls_nobody(switching: Switching) -> None:
    """Another run took over: LeaseLost before the intent, the application hears nothing."""
    switched(switching)
    switching.ledger.take_over([migration_resource(switching.ref.migration)], Holder.here("other"), ttl_s=60)
    for step in (steps.tell_switch, steps.pause_writes):
        with pytest.raises(LeaseLost):
            step(switching.ref)
    assert asked(switching) == ["pause"]


@pytest.mark.parametrize("fault", ["refuse", "fail", "forget"])
def test_s9_a_release_that_is_not_confirmed_is_told_and_can_be_repeated(switching: Switching, fault: str) -> None:
    """Exit 3: the ledger's pause is ended all the same, the message says until when, and `unpause` tells it again."""
    pausing.pause(switching.runner, switching.ref)
    switching.application.memory.faults["release"] = [fault]
    with pytest.raises(Stopped, match="did not confirm that writes are open") as caught:
        steps.release_writes(switching.ref)
    assert "ends by itself at" in caught.value.advice
    assert f"vecferry unpause {switching.ref.migration}" in caught.value.advice
    assert switching.said_by_file()["writes"] == "open"
    assert switching.application.memory.writes == "paused"
    assert by_hand.unpause(switching.ledger, switching.ref.migration, "ann").error is None
    assert switching.application.memory.writes == "open"


def test_s9_releasing_twice_asks_the_application_once(switching: Switching) -> None:
    """Every way out may release, whoever was first."""
    pausing.pause(switching.runner, switching.ref)
    for _ in range(2):
        steps.release_writes(switching.ref)
    assert asked(switching) == ["pause", "release"]


def test_s9_an_application_that_was_never_paused_is_not_released(switching: Switching) -> None:
    """No pause, no call."""
    steps.release_writes(switching.ref)
    assert by_hand.unpause(switching.ledger, switching.ref.migration, "ann").released == ()
    assert asked(switching) == []


def test_s9_a_release_that_the_application_calls_expired_is_done(switching: Switching) -> None:
    """409 to a release: its pause was over already."""
    pausing.pause(switching.runner, switching.ref)
    switching.application.memory.over = switching.application.memory.token
    steps.release_writes(switching.ref)
    assert switching.outcomes("release") == ["expired"]


def test_unpause_releases_everywhere_without_a_lease(switching: Switching) -> None:
    """By hand, while another run holds the migration: ledger, file and application, and the run cannot switch."""
    pausing.pause(switching.runner, switching.ref)
    done = by_hand.unpause(switching.ledger, switching.ref.migration, "ann")
    assert [pause.token for pause in done.released] == [switching.application.memory.token]
    assert done.error is None
    assert (switching.application.memory.writes, switching.said_by_file()["writes"]) == ("open", "open")
    pause = switching.ledger.pause("docs")
    assert pause is not None
    assert pause.released_by == "ann"


def test_unpause_tells_an_application_that_was_not_reached_before(switching: Switching) -> None:
    """Its release failed and the ledger's pause is gone: the command still gets through to it."""
    pausing.pause(switching.runner, switching.ref)
    switching.application.memory.faults["release"] = ["fail"]
    with pytest.raises(Stopped):
        steps.release_writes(switching.ref)
    assert switching.application.memory.writes == "paused"
    assert by_hand.unpause(switching.ledger, switching.ref.migration, "ann").released == ()
    assert switching.application.memory.writes == "open"


def test_s24_what_follows_a_route_is_observed_without_changing_anything(switching: Switching) -> None:
    """File and application are each held against the ledger; a file that was edited by hand is named."""
    pausing.pause(switching.runner, switching.ref)
    assert steps.observe_route(switching.ref).differences == ()
    text = switching.route_file.read_text()
    switching.route_file.write_text(text.replace("paused", "open", 1).replace('"epoch": 1', '"epoch": 9'))
    found = steps.observe_route(switching.ref)
    assert found.differences == (
        "file has epoch 9, recorded is 1",
        "file has writes open, recorded is paused",
    )
    assert switching.ledger.fact(switching.ref.migration, OBSERVED_FACT) is None


def test_a_rollback_pauses_from_switched_and_says_so(switching: Switching) -> None:
    """The same steps on the way back: the state is ROLLBACK_FROZEN, the reason rollback."""
    pausing.follow(switching.runner, switched(switching).ref)
    pausing.release(switching.runner, switching.ref)
    switching.ledger.transition(switching.ref.migration, [State.SWITCHING], State.SWITCHED, event="switched")
    pausing.pause(switching.runner, switching.ref)
    assert switching.state is State.ROLLBACK_FROZEN
    [first, second] = [call for call in switching.application.memory.calls if call["action"] == "pause"]
    assert (first["reason"], second["reason"]) == ("cutover", "rollback")
    assert (second["url"], second["previous_url"]) == (switching.new, switching.old)
    assert second["token"] > first["token"]


def test_without_hooks_the_ledger_alone_pauses_and_releases(application: Application, tmp_path: Path) -> None:
    """Applications that ask the route need no hook: nobody is called."""
    none: dict[str, Any] = dict.fromkeys(("pause", "release", "switch", "read_back", "route_file"))
    switching = make_switching(application, tmp_path, **none)
    token = pausing.pause(switching.runner, switching.ref)
    switching.frozen_to_switching()
    switching.commit(token)
    pausing.follow(switching.runner, switching.ref)
    pausing.release(switching.runner, switching.ref)
    assert application.memory.calls == []
    now = switching.ledger.ask_route("docs")
    assert now is not None
    assert (now.url, now.writes) == (switching.new, "open")


POINTS = ["hooks.file_written", "hooks.intended", "hooks.called", "hooks.recorded", "ledger.paused"]


class Died(BaseException):
    """Stands for kill -9: nothing catches it, and nothing is tidied up."""


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", [1, 2])
def test_s13_a_pause_interrupted_anywhere_is_taken_up_or_released(
    switching: Switching, monkeypatch: pytest.MonkeyPatch, point: str, nth: int
) -> None:
    """Whatever was done before the run died: the next one has one pause with the application, and can release it."""
    passed = 0

    def dies_at(name: str) -> None:
        nonlocal passed
        passed += name == point
        if name == point and passed == nth:
            raise Died

    with monkeypatch.context() as context:
        context.setattr(failpoints, "reached", dies_at)
        context.setattr("vecferry.ledger.pauses.reached", dies_at)
        try:
            pausing.pause(switching.runner, switching.ref)
        except Died:
            assert passed == nth
    pausing.pause(switching.runner, switching.ref)
    now = switching.ledger.ask_route("docs")
    assert now is not None
    assert now.pause is not None
    assert (switching.application.memory.writes, switching.application.memory.token) == ("paused", now.pause.token)
    assert len(set(switching.application.memory.applied)) == 1
    steps.release_writes(switching.ref)
    assert switching.application.memory.writes == "open"


@pytest.mark.parametrize("point", ["hooks.file_written", "hooks.intended", "hooks.called", "hooks.recorded"])
def test_s13_a_switch_interrupted_anywhere_is_never_told_twice(
    switching: Switching, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The application switches at most once; where nobody can know whether it did, exit 5 and no call."""
    switched(switching)

    def dies_at(name: str) -> None:
        if name == point:
            raise Died

    with monkeypatch.context() as context:
        context.setattr(failpoints, "reached", dies_at)
        with pytest.raises(Died):
            pausing.follow(switching.runner, switching.ref)
    error = _error_of(switching)
    told = asked(switching).count("switch")
    if point == "hooks.intended":
        assert (error, told) == (UnsafeRoute, 0)
    else:
        assert (error, told, switching.application.memory.url) == (None, 1, switching.new)


def _error_of(switching: Switching) -> type[VecferryError] | None:
    try:
        pausing.follow(switching.runner, switching.ref)
    except VecferryError as error:
        return type(error)
    return None
