"""One call to an application: what it gets, and what each way of failing is taken for."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.application import SECRET, Application, Memory, command_of
from tests.support.ports import free_port
from tests.support.tls_certificates import make_certificates
from vecferry.config import Hook
from vecferry.routing import hooks
from vecferry.routing.calls import Action, Call, HookRequest, Outcome, Reply

OLD, NEW = "numpy:///data/old", "qdrant://host:6334/new"
PAUSE = HookRequest(
    Action.PAUSE,
    migration="docs-to-qdrant-20261121-7f3a",
    route="docs",
    epoch=1,
    url=OLD,
    reads_url=OLD,
    token=7,
    ttl_s=600.0,
    reason="cutover",
)
SWITCH = replace(PAUSE, action=Action.SWITCH, epoch=2, url=NEW, reads_url=NEW, previous_url=OLD, ttl_s=None)
READ_BACK = replace(SWITCH, action=Action.READ_BACK, token=0)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret that application and hooks share."""
    monkeypatch.setenv("DOCS_HOOK_SECRET", SECRET)


@pytest.fixture
def application() -> Iterator[Application]:
    """One that listens."""
    with Application() as running:
        yield running


def webhook(url: str, **more: Any) -> Hook:
    return Hook.model_validate({"webhook": url, "secret": {"env": "DOCS_HOOK_SECRET"}, **more})


def call(application: Application, request: HookRequest = PAUSE, *, timeout_s: float = 20.0) -> Reply:
    return hooks.call(webhook(application.hook, timeout_s=timeout_s), Call(request, "docs-1:3"))


def test_a_webhook_gets_the_whole_request_signed(application: Application) -> None:
    """The body is the request as JSON with its key, the same key is a header, and the signature fits the body."""
    reply = call(application, replace(PAUSE, workspace='"acme"'))
    assert reply == Reply(Outcome.ACKNOWLEDGED, reply.says, {"done": True})
    [got] = application.memory.calls
    assert got == {
        "action": "pause",
        "migration": "docs-to-qdrant-20261121-7f3a",
        "route": "docs",
        "workspace": '"acme"',
        "epoch": 1,
        "token": 7,
        "url": OLD,
        "reads_url": OLD,
        "previous_url": None,
        "ttl_s": 600.0,
        "reason": "cutover",
        "idempotency_key": "docs-1:3",
        "header": "docs-1:3",
    }
    assert application.memory.writes == "paused"


def test_a_read_back_is_a_signed_get_that_says_what_it_asks_for(application: Application) -> None:
    """Route, workspace and migration are in the query, beside what the URL already has; the answer is what it does."""
    reply = call(application, replace(READ_BACK, workspace='"acme & co"'))
    assert reply.answer == {"url": "numpy:///data/old", "epoch": None, "writes": "open"}
    [got] = application.memory.calls
    assert got["tenant"] == "a"
    assert (got["route"], got["workspace"], got["migration"]) == ("docs", '"acme & co"', PAUSE.migration)


def test_an_application_refuses_what_is_signed_with_another_secret(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong secret is answered by 401, which is a refusal, and nothing is done."""
    monkeypatch.setenv("DOCS_HOOK_SECRET", "another")
    for request in (PAUSE, READ_BACK):
        reply = call(application, request)
        assert (reply.outcome, reply.sent) == (Outcome.REFUSED, True)
        assert "401" in reply.says
    assert application.memory.calls == []


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", Outcome.REFUSED),
        ("fail", Outcome.UNKNOWN),
        ("half", Outcome.UNKNOWN),
        ("timeout", Outcome.UNKNOWN),
        ("redirect", Outcome.UNKNOWN),
        ("page", Outcome.UNKNOWN),
        ("list", Outcome.UNKNOWN),
        ("huge", Outcome.UNKNOWN),
        ("cut", Outcome.UNKNOWN),
        ("drop", Outcome.UNKNOWN),
        ("forget", Outcome.ACKNOWLEDGED),
    ],
)
def test_each_wrong_answer_is_taken_for_what_it_proves(application: Application, fault: str, outcome: Outcome) -> None:
    """Only 4xx is a no; what may have been done or not is of unknown fate, an empty 2xx is believed."""
    application.memory.faults["pause"] = [fault]
    reply = call(application)
    assert (reply.outcome, reply.sent) == (outcome, True)
    assert len(application.memory.calls) == 1
    assert (application.memory.writes == "paused") == (fault == "half")


@pytest.mark.parametrize("fault", ["hang", "late", "trickle"])
def test_a_webhook_that_takes_too_long_is_of_unknown_fate(application: Application, fault: str) -> None:
    """The time limit holds for the whole call, also where a byte trickles in now and then."""
    application.memory.faults["pause"] = [fault]
    begun_s = time.monotonic()
    reply = call(application, timeout_s=0.3)
    assert 0.3 <= time.monotonic() - begun_s < 5.0
    assert reply.outcome is Outcome.UNKNOWN
    assert "did not answer within 0.3 s" in reply.says


def test_an_expired_token_is_told_by_409(application: Application) -> None:
    """An application that knows a later pause refuses an older one's call in a word of its own."""
    application.memory.token = 8
    assert call(application).outcome is Outcome.EXPIRED
    assert application.memory.writes == "open"


def test_a_repeat_with_the_same_key_is_done_once(application: Application) -> None:
    """The key is the same for the same intent, so that an application can tell a repeat."""
    assert call(application).outcome is call(application).outcome is Outcome.ACKNOWLEDGED
    assert application.memory.applied == ["docs-1:3"]


def test_what_reached_nobody_is_a_refusal_that_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, or the secret is not there: certainly nothing was done."""
    reply = hooks.call(webhook(f"http://127.0.0.1:{free_port()}/"), Call(PAUSE, "k"))
    assert (reply.outcome, reply.sent) == (Outcome.REFUSED, False)
    monkeypatch.delenv("DOCS_HOOK_SECRET")
    reply = hooks.call(webhook("http://127.0.0.1:1/"), Call(PAUSE, "k"))
    assert (reply.outcome, reply.sent) == (Outcome.REFUSED, False)
    assert "DOCS_HOOK_SECRET" in reply.says


def test_tls_is_checked_against_the_authority_that_the_hook_names(tmp_path: Path) -> None:
    """A certificate of an authority that nobody named is refused before anything is sent."""
    certificates = make_certificates(tmp_path)
    with Application(certificates=certificates) as application:
        trusting = webhook(application.hook, ca=certificates.authority)
        assert hooks.call(trusting, Call(PAUSE, "k")).outcome is Outcome.ACKNOWLEDGED
        for doubting in (webhook(application.hook), webhook(application.hook, ca=certificates.key)):
            reply = hooks.call(doubting, Call(PAUSE, "k"))
            assert (reply.outcome, reply.sent) == (Outcome.REFUSED, False)
        assert len(application.memory.calls) == 1


def test_a_webhook_in_words_hides_its_query() -> None:
    """What stands behind the question mark may be a secret, so no message shows it."""
    url = f"http://127.0.0.1:{free_port()}/hook?code=topsecret"
    assert "topsecret" not in hooks.call(webhook(url), Call(PAUSE, "k")).says
    assert "topsecret" not in hooks.describe(Action.PAUSE, webhook(url))


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """The memory of an application that is a command."""
    file = tmp_path / "memory.json"
    file.write_text(json.dumps(vars(Memory())))
    return file


def order(memory: Path, **faults: str) -> None:
    found = json.loads(memory.read_text())
    memory.write_text(json.dumps(found | {"faults": {action: [fault] for action, fault in faults.items()}}))


def command(memory: Path, request: HookRequest = PAUSE, *, timeout_s: float = 20.0) -> Reply:
    hook = Hook.model_validate({"command": command_of(memory), "timeout_s": timeout_s})
    return hooks.call(hook, Call(request, "docs-1:3"))


def test_a_command_gets_the_request_by_stdin_and_answers_by_its_last_line(memory: Path) -> None:
    """Exit code 0 is an acknowledgement; lines before the answer are its own business."""
    assert command(memory) == Reply(Outcome.ACKNOWLEDGED, f"{command_of(memory)[0]} ended well", {"done": True})
    known = json.loads(memory.read_text())
    assert known["writes"] == "paused"
    assert known["calls"][0]["url"] == OLD
    assert command(memory, READ_BACK).answer == {"url": "numpy:///data/old", "epoch": None, "writes": "paused"}


def test_a_command_gets_the_request_by_variables_too() -> None:
    """A shell script needs no JSON: each field is a variable, empty where there is nothing."""
    script = 'printf \'{"got": "%s|%s|%s|%s|%s"}\' "$VECFERRY_ACTION" "$VECFERRY_URL" "$VECFERRY_TOKEN" '
    script += '"$VECFERRY_WORKSPACE" "$VECFERRY_IDEMPOTENCY_KEY"'
    hook = Hook.model_validate({"command": ["sh", "-u", "-c", script]})
    assert hooks.call(hook, Call(SWITCH, "docs-1:4")).answer == {"got": f"switch|{NEW}|7||docs-1:4"}


def test_words_of_a_command_are_no_shell() -> None:
    """What looks like shell is an argument like any other."""
    hook = Hook.model_validate({"command": ["printf", '{"word": "%s"}', "$(id); `id`"]})
    assert hooks.call(hook, Call(PAUSE, "k")).answer == {"word": "$(id); `id`"}


def test_a_command_that_fails_is_a_refusal_with_its_last_words(memory: Path) -> None:
    """An exit code that is not 0 is told with the end of stderr."""
    order(memory, pause="refuse")
    reply = command(memory)
    assert (reply.outcome, reply.sent) == (Outcome.REFUSED, True)
    assert "exit code 3" in reply.says
    assert "the disk is on fire" in reply.says


def test_a_command_says_by_exit_code_9_that_a_token_has_expired(memory: Path) -> None:
    """It is what 409 is for a webhook."""
    memory.write_text(json.dumps(vars(Memory(token=8))))
    assert command(memory).outcome is Outcome.EXPIRED


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """The time limit ends the process group, and the call's fate is unknown whatever it had done."""
    child = tmp_path / "child"
    hook = Hook.model_validate({"command": ["sh", "-c", f"sleep 1000 & echo $! > {child}; wait"], "timeout_s": 1.0})
    reply = hooks.call(hook, Call(PAUSE, "k"))
    assert reply.outcome is Outcome.UNKNOWN
    assert "ended after 1 s" in reply.says
    assert _is_gone(int(child.read_text()))


def _is_gone(pid: int) -> bool:
    """Whether a process ends now: whoever kills a group does not wait for all of it."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    looking = select.poll()  # select() takes no handle above 1,023, and a long test process has more
    looking.register(process, select.POLLIN)
    ended = looking.poll(10_000)
    os.close(process)
    return bool(ended)


def test_a_command_that_dies_of_a_signal_is_of_unknown_fate() -> None:
    """Whoever killed it, nobody knows how far it was."""
    hook = Hook.model_validate({"command": ["sh", "-c", "kill -9 $$"]})
    reply = hooks.call(hook, Call(PAUSE, "k"))
    assert reply.outcome is Outcome.UNKNOWN
    assert "SIGKILL" in reply.says


def test_a_child_that_keeps_the_output_open_holds_nobody_up(memory: Path) -> None:
    """The command's own end is the end of the call."""
    order(memory, pause="child")
    assert command(memory).outcome is Outcome.ACKNOWLEDGED


def test_a_command_that_is_not_there_was_not_sent() -> None:
    """Nothing was started, so nothing was done."""
    hook = Hook.model_validate({"command": ["/nowhere/hook"]})
    reply = hooks.call(hook, Call(PAUSE, "k"))
    assert (reply.outcome, reply.sent) == (Outcome.REFUSED, False)


def test_an_answer_may_be_spread_over_lines_and_a_flood_is_cut() -> None:
    """A whole output that is one JSON object is an answer; of a long output only the end is looked at."""
    pretty = Hook.model_validate({"command": ["printf", '{\n "a": 1\n}\n']})
    assert hooks.call(pretty, Call(PAUSE, "k")).answer == {"a": 1}
    flood = Hook.model_validate({"command": ["sh", "-c", "seq 100000; echo '{\"a\": 2}'"]})
    assert hooks.call(flood, Call(PAUSE, "k")).answer == {"a": 2}
    assert hooks.call(Hook.model_validate({"command": ["true"]}), Call(PAUSE, "k")).answer == {}


def test_a_command_has_a_process_group_of_its_own() -> None:
    """An interrupt of the terminal that vecferry runs in does not end a hook half-way."""
    hook = Hook.model_validate({"command": ["sh", "-c", "echo '{\"group\": '$(cut -d' ' -f5 /proc/$$/stat)'}'"]})
    assert hooks.call(hook, Call(PAUSE, "k")).answer["group"] != os.getpgrp()
