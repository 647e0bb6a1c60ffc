"""Hooks in a migration file: what is taken, and what is refused before anything is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vecferry.config import Hooks, MigrationConfig, make_config
from vecferry.errors import BadOption
from vecferry.operations import migrations
from vecferry.routing.hook_plan import switch_plan

COMMAND = {"command": ["/srv/docs/hook", "now"]}
WEBHOOK = {"webhook": "https://docs.example.org/hooks", "secret": {"env": "DOCS_HOOK_SECRET"}}


def config(hooks: dict[str, Any], **more: Any) -> MigrationConfig:
    return make_config({"source": "numpy:///data/docs.npy", "target": "qdrant://h:6334/docs", "hooks": hooks, **more})


def test_a_migration_without_hooks_has_the_times_that_are_safe() -> None:
    """Nothing is called, nobody is known to wait, and a pause ends by itself after ten minutes."""
    found = make_config({"source": "numpy:///data/docs.npy", "target": "qdrant://h:6334/docs"}).hooks
    assert found == Hooks()
    assert (found.all, found.drain_s, found.pause_ttl_s) == ({}, 0.0, 600.0)


def test_where_somebody_is_told_a_write_may_take_half_a_minute(tmp_path: Path) -> None:
    """A hook that pauses, or a route file, makes the run wait for writes of before the pause."""
    assert config({"pause": COMMAND, "release": COMMAND}).hooks.drain_s == 30.0
    assert config({"route_file": str(tmp_path / "route.json")}).hooks.drain_s == 30.0
    assert config({"route_file": str(tmp_path / "route.json"), "write_timeout_s": 2}).hooks.drain_s == 2.0


def test_each_hook_is_a_command_or_a_webhook() -> None:
    """Both kinds may be mixed."""
    found = config({"pause": COMMAND, "release": COMMAND, "switch": WEBHOOK, "read_back": WEBHOOK}).hooks
    assert list(found.all) == ["pause", "release", "switch", "read_back"]
    assert found.pause is not None
    assert found.pause.command == ("/srv/docs/hook", "now")


@pytest.mark.parametrize(
    ("hooks", "says"),
    [
        ({"read_back": {}}, "either a command or a webhook"),
        ({"read_back": {**COMMAND, **WEBHOOK}}, "either a command or a webhook"),
        ({"read_back": {"command": []}}, "at least 1 item"),
        ({"read_back": {"command": "rm -rf /"}}, "tuple"),
        ({"read_back": {"webhook": "https://docs.example.org"}}, "needs a secret"),
        ({"read_back": {**WEBHOOK, "secret": "topsecret"}}, "secret"),
        ({"read_back": {**COMMAND, "secret": {"env": "X"}}}, "belong to a webhook"),
        ({"read_back": {**WEBHOOK, "webhook": "ftp://docs.example.org/"}}, "no http or https URL"),
        ({"read_back": {**WEBHOOK, "webhook": "https:///hooks"}}, "no http or https URL"),
        ({"read_back": {**WEBHOOK, "webhook": "https://docs.example.org/a b"}}, "no http or https URL"),
        ({"read_back": {**WEBHOOK, "webhook": "https://docs.example.org:x/"}}, "[Pp]ort"),
        ({"read_back": {**WEBHOOK, "webhook": "https://me:pw@docs.example.org/"}}, "must not hold a password"),
        ({"read_back": {**WEBHOOK, "timeout_s": 0}}, "greater than 0"),
        ({"pause": COMMAND}, "pause and release come together"),
        ({"release": COMMAND}, "pause and release come together"),
        ({"switch": COMMAND}, "a switch hook needs a read_back hook"),
        ({"pause_ttl_s": 30, "write_timeout_s": 30}, "over before a switch can be"),
        ({"pause": COMMAND, "release": COMMAND, "pause_ttl_s": 60}, "over before a switch can be"),
        ({"resume": COMMAND}, "[Ee]xtra"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_planned(hooks: dict[str, Any], says: str) -> None:
    """S12: a switch hook that nobody can read back is refused, like every other contradiction, naming the field."""
    with pytest.raises(BadOption, match=says):
        config(hooks)


@pytest.mark.parametrize("host", ["docs.example.org", "10.0.0.7", "[fd00::7]"])
def test_a_webhook_on_another_machine_needs_tls_or_a_consent(host: str) -> None:
    """Plain HTTP over a network is agreed to by its name only."""
    plain = {"read_back": {**WEBHOOK, "webhook": f"http://{host}/hooks"}}
    with pytest.raises(BadOption, match="webhook_without_tls"):
        config(plain)
    assert config(plain, consent=["webhook_without_tls"]).hooks.read_back is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_a_webhook_on_this_machine_needs_no_tls(host: str) -> None:
    """What stays on the machine is not on a network."""
    assert config({"read_back": {**WEBHOOK, "webhook": f"http://{host}:9/"}}).hooks.read_back is not None


def test_files_of_hooks_mean_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger keeps has absolute paths; a bare word is looked up in PATH, as ever."""
    monkeypatch.chdir(tmp_path)
    hooks = {
        "route_file": "route.json",
        "pause": {"command": ["./hook", "./pause"]},
        "release": {"command": ["hook", "release"]},
        "read_back": {**WEBHOOK, "secret": {"file": "secret"}, "ca": "ca.pem"},
    }
    placed = Hooks.model_validate(migrations.entry_of(config(hooks), "blue-green").config["hooks"])
    assert placed.route_file == tmp_path / "route.json"
    assert placed.pause is not None
    assert placed.release is not None
    assert placed.read_back is not None
    assert placed.pause.command == (f"{tmp_path}/hook", "./pause")
    assert placed.release.command == ("hook", "release")
    assert placed.read_back.secret is not None
    assert (placed.read_back.secret.file, placed.read_back.ca) == (tmp_path / "secret", tmp_path / "ca.pem")


def test_the_form_says_in_order_what_an_application_will_notice() -> None:
    """Pause, wait, switch, read back, release: each hook and file where it comes."""
    hooks = {"pause": COMMAND, "release": COMMAND, "switch": WEBHOOK, "read_back": WEBHOOK, "route_file": "/run/r.json"}
    lines = switch_plan(config(hooks).hooks, "the alias 'docs' follows")
    said = "\n".join(lines)
    order = ["paused in the ledger for at most 600 s", "/run/r.json says", "pause: /srv/docs/hook now (at most 30 s)"]
    order += ["then 30 s pass", "the ledger moves the route", "the alias 'docs' follows", "/run/r.json names"]
    order += ["switch: POST https://docs.example.org/hooks", "read back: GET https://docs.example.org/hooks"]
    order += ["writes are released", "release: /srv/docs/hook now"]
    places = [said.index(words) for words in order]
    assert places == sorted(places)
    assert len(switch_plan(Hooks())) == 4
