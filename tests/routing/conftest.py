"""A migration that waits for its switch, and an application that is told of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.application import SECRET, Application
from vecferry.config import make_config
from vecferry.ledger import Holder, Ledger, State, migration_resource
from vecferry.model import JsonObject
from vecferry.operations import migrations
from vecferry.strategies.runner import LocalRunner, Ref
from vecferry.strategies.work import open_work

__all__ = ["Switching"]


@dataclass
class Switching:
    """One migration in a ledger, at READY, with what its application is and does."""

    application: Application
    ledger: Ledger
    ref: Ref
    route_file: Path
    old: str
    new: str

    @property
    def runner(self) -> LocalRunner:
        return LocalRunner(lambda form, timeout_s: True, lambda sheet: None)

    @property
    def state(self) -> State:
        return self.ledger.migration(self.ref.migration).state

    def said_by_file(self) -> JsonObject:
        found: JsonObject = json.loads(self.route_file.read_text())
        return found

    def frozen_to_switching(self) -> None:
        """The last check found nothing."""
        self.ledger.transition(self.ref.migration, [State.FROZEN], State.SWITCHING, event="checked")

    def commit(self, pause_token: int) -> None:
        """The transaction that moves the route; the state stays SWITCHING until everything follows."""
        self.ledger.switch_route(
            self.ref.migration,
            "docs",
            expected_epoch=1,
            to_url=self.new,
            state_from=State.SWITCHING,
            state_to=State.SWITCHING,
            event="route moved",
            token=self.ref.token,
            pause_token=pause_token,
        )

    def end_the_pause(self) -> None:
        """As if its time were over."""
        assert Path(self.ledger.url).exists()
        connection = sqlite3.connect(self.ledger.url, isolation_level=None)
        connection.execute("UPDATE vecferry_pauses SET paused_until = paused_at")
        connection.close()

    def outcomes(self, action: str) -> list[Any]:
        """What is recorded of the calls of one kind."""
        found = self.ledger.hooks(self.ref.migration, action)
        return [None if one.outcome is None else one.outcome["outcome"] for one in found]


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """One that listens, and serves the old store."""
    monkeypatch.setenv("DOCS_HOOK_SECRET", SECRET)
    with Application() as running:
        yield running


@pytest.fixture
def switching(application: Application, tmp_path: Path) -> Switching:
    """All four hooks lead to the application; nothing is waited for."""
    return make_switching(application, tmp_path)


def make_switching(application: Application, folder: Path, **more: Any) -> Switching:
    """A migration whose records are of no interest: verified, leased, its route registered."""
    hook = {"webhook": application.hook, "secret": {"env": "DOCS_HOOK_SECRET"}, "timeout_s": 10}
    route_file = folder / "route.json"
    hooks = {"pause": hook, "release": hook, "switch": hook, "read_back": hook, "write_timeout_s": 0}
    hooks |= {"route_file": str(route_file)} | more
    source, target = f"numpy://{folder}/old/docs.npy", f"qdrant+edge://{folder}/new/docs"
    ledger = Ledger.open(folder / "ledger.db")
    content = {"source": source, "target": target, "hooks": hooks, "retry_budget_s": 0}
    ref = migrations.start(ledger, make_config(content))
    lease = ledger.acquire([migration_resource(ref.migration)], Holder.here("test"), 600)
    ref = Ref(ref.ledger, ref.migration, lease.token)
    open_work(ref).route()
    ledger.transition(ref.migration, [State.PLANNED], State.READY, event="verified")
    application.memory.url = source
    return Switching(application, ledger, ref, route_file, source, target)
