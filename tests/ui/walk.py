"""The way of a person through the UI: fill in, start, read, approve, look at the result, go back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.links import Link, form_url
from deployments.local_server import Server
from deployments.ui import demo_links
from tests.ui.browser import Browser

__all__ = ["Person"]

MENU = "[role=menuitem]"
TAB = "[role=tab]"
ATTEMPTS = 3
OPEN_TIMEOUT_S = 10.0
RUN = re.compile(r"/runs/flow-run/([0-9a-f-]{36})")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in front of the browser. `shoot(name, height)` takes a picture of what they see."""

    PICTURES: ClassVar = ("approval", "artifacts", "form", "graph", "plan", "rollback", "verdict")
    PICTURES_OF_WAVES: ClassVar = ("rollback-workspaces", "wave", "workspaces")

    browser: Browser
    server: Server
    folder: Path
    source: str
    shoot: Callable[[str, int], None]

    def starts_a_migration(self) -> UUID:
        """Open the filled-in form, submit it, and follow the run until it asks; its id."""
        link = next(one for one in demo_links(self.source, self.folder) if one.deployment == "blue-green/blue-green")
        self._open_form(link)
        self.browser.wait_for("max_rows_per_s")
        self.shoot("form", 1000)
        run = self._submits()
        self.browser.see("Paused")
        return run

    def starts_to_roll(self, source: str, target: str) -> UUID:
        """The same for a migration of workspaces by their field `tenant`, two in a wave, a question for each wave."""
        filled = {"source": source, "target": target, "by": "tenant", "wave": 2, "approve_by": "wave"}
        self._open_form(Link("", "rolling/rolling", filled))
        self.browser.wait_for("approve_by")
        run = self._submits()
        self.browser.see("Paused")
        return run

    def opens_the_question(self, picture: str | None = "approval") -> str:
        """The form that the paused run shows, as text."""
        self.browser.click("Open menu")
        self.browser.click("Resume", MENU)
        self.browser.wait_for("Provide input to resume")
        self.browser.wait_for("way back")
        if picture is not None:
            self.shoot(picture, 1300)
        return self.browser.text()

    def resumes_without_a_choice(self) -> None:
        """Press Resume with the choice still open; the dialog stays."""
        self.browser.click("Resume")
        self.browser.wait_for("Select")

    def answers(self) -> None:
        """Choose approve, press Resume."""
        self.browser.click("Select", "button")
        self.browser.click("approve", "[role=option]")
        self.browser.click("Resume")

    def opens_the_next_question(self) -> str:
        """The form of the same run's next pause, as text; the run was answered before."""
        self.browser.open(self.browser.address())
        self.browser.see("Paused")
        return self.opens_the_question(None)

    def approves(self) -> None:
        """Answer, wait until the run has ended; then look at all of it anew."""
        self.answers()
        self.browser.see("Completed")
        self._looks_anew()
        self.shoot("graph", 700)

    def reads_the_artifacts(self) -> dict[str, str]:
        """Each of the tables that a run leaves, as text, by its name."""
        self._opens_the_artifacts()
        self.shoot("artifacts", 1100)
        pages, here = {}, self.browser.address()
        for name, until in (("plan", "exact"), ("verdict", "V4")):
            self.browser.click(name, "h3")
            # Each run leaves one more of the same name; here there is one.
            self.browser.click("", "a[href*='/artifacts/artifact/']", exact=False)
            self.browser.wait_for(until)
            self.shoot(name, 900)
            pages[name] = self.browser.text()
            self.browser.open(here)
            self.browser.wait_for("summary")
        return pages

    def reads_the_workspaces(self) -> str:
        """The table of all workspaces once the run has ended, as text."""
        self.browser.see("Completed")
        self._looks_anew()
        self._opens_the_artifacts()
        self.browser.click("workspaces", "h3")
        self.browser.click("", "a[href*='/artifacts/artifact/']", exact=False)
        self.browser.wait_for("SWITCHED")
        self.shoot("workspaces", 700)
        return self.browser.text()

    def rolls_back_workspaces(self, migration: str, *names: str) -> UUID:
        """Start `rollback-workspaces` from its form for these, and follow it to its end; the run's id."""
        filled = {"migration_id": migration, "names": list(names)}
        self._open_form(Link("", "rollback-workspaces/rollback-workspaces", filled))
        self.browser.wait_for("allow_deletes")
        self.shoot("rollback-workspaces", 900)
        run = self._submits()
        self.browser.see("Completed")
        return run

    def rolls_back(self, migration: str) -> UUID:
        """Start the rollback deployment from its form, and follow it to its end; the run's id."""
        self._open_form(Link("", "rollback-blue-green/rollback-blue-green", {"migration_id": migration}))
        self.browser.wait_for("migration_id")
        run = self._submits()
        self.browser.see("Completed")
        self._looks_anew()
        self.shoot("rollback", 700)
        return run

    def opens(self, page: str, until: str) -> str:
        """A page of the menu at the left, opened anew until it says so much; its text."""

        def look() -> str | None:
            # Pages of lists are not brought up to date by themselves, and events come a moment later.
            self.browser.open(f"{self.server.url}/v2/{page}")
            return self.browser.text() if self.browser.says(until, OPEN_TIMEOUT_S) else None

        return str(self.browser.until(look, f"page {page} with {until!r}"))

    def _open_form(self, link: Link) -> None:
        with temporary_settings({PREFECT_API_URL: self.server.api_url}), get_client(sync_client=True) as client:
            self.browser.open(form_url(client, self.server.url, link))
        self.browser.wait_for("Additional Options")

    def _opens_the_artifacts(self) -> None:
        """Press the tab, once more where nothing came of it: the page takes clicks before it listens to them."""
        here = self.browser.address()
        for _ in range(ATTEMPTS):
            self.browser.click("Artifacts", TAB)
            if self.browser.leaves(here):
                break
        self.browser.wait_for("summary")

    def _looks_anew(self) -> None:
        """The graph is scaled to the run as it was when the page was opened."""
        self.browser.open(self.browser.address())
        self.browser.see("Completed")

    def _submits(self) -> UUID:
        """Press Submit, once more where nothing came of it; then open the newest run of the deployment."""
        form = self.browser.address()
        for _ in range(ATTEMPTS):
            self.browser.click("Submit")
            if self.browser.leaves(form):
                break
        self.browser.click("", "a[href*='/runs/flow-run/']", exact=False)
        found = self.browser.until(lambda: RUN.search(self.browser.address()), "page of a flow run")
        return UUID(found[1])
