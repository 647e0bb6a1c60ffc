"""What a person reads in the UI: tables, the summary with its report, and progress while rows move."""

from __future__ import annotations

import contextvars
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from httpx import HTTPError
from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from vecferry.strategies.sheets import Sheet
from vecferry.transfer import progress
from vecferry.transfer.progress import Progress

__all__ = ["artifact_key", "progress_shown", "show_summary", "show_table"]

UPDATE_S = 2.0
"""Between two updates of progress. One takes 6 to 44 ms and the server keeps each."""


def artifact_key(text: str) -> str:
    """A key as Prefect takes it: lower-case letters, digits, single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def show_table(sheet: Sheet) -> None:
    """A sheet as a table; its title and note stand above it."""
    description = f"### {sheet.title}" + (f"\n\n{sheet.note}" if sheet.note else "")
    rows = [dict(zip(sheet.header, row, strict=True)) for row in sheet.rows]
    create_table_artifact(rows, key=artifact_key(sheet.key), description=description)


def show_summary(markdown: str) -> None:
    """How the run ended, as a page."""
    create_markdown_artifact(markdown, key="summary", description="How the run ended")


@contextmanager
def progress_shown() -> Iterator[None]:
    """Meanwhile, keep one progress artifact for each phase that counts rows in this process."""
    shown = _Shown()
    stop = threading.Event()
    # Without a copy of the context the thread would not know its flow run.
    publish = contextvars.copy_context().run
    thread = threading.Thread(target=publish, args=(shown.publish_until, stop), name="progress", daemon=True)
    with progress.listening(shown.note):
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class _Shown:
    """The furthest count of each phase of each migration, and the artifacts that show them."""

    def __init__(self) -> None:
        self._furthest: dict[tuple[str, str], Progress] = {}
        self._published: dict[tuple[str, str], Progress] = {}
        self._artifacts: dict[tuple[str, str], UUID] = {}

    def note(self, found: Progress) -> None:
        """Called by whoever moved rows, from its own thread: keeps, and sends nothing."""
        # The workspaces of a rolling migration share the artifacts of the whole.
        key = found.migration.partition(".")[0], found.phase
        known = self._furthest.get(key)
        # Threads may tell of their counts out of order.
        if known is None or found.migration != known.migration or found.done >= known.done:
            self._furthest[key] = found

    def publish_until(self, stop: threading.Event) -> None:
        """Publish at intervals, and once more at the end."""
        while not stop.wait(UPDATE_S):
            self._publish()
        self._publish()

    def _publish(self) -> None:
        for key, found in self._furthest.copy().items():
            if self._published.get(key) == found:
                continue
            try:
                self._send(key, found)
            except (HTTPError, PrefectException) as error:
                # Rows go on moving when the server is away for a moment; the next update tells the rest.
                get_run_logger().warning("progress of %s was not shown: %s", found.phase, error)
            else:
                self._published[key] = found

    def _send(self, key: tuple[str, str], found: Progress) -> None:
        percent, description = _percent(found), _describe(found)
        if key in self._artifacts:
            update_progress_artifact(self._artifacts[key], percent, description=description)
            return
        name = artifact_key(f"progress-{found.phase}")
        created = create_progress_artifact(percent, key=name, description=description)
        assert isinstance(created, UUID), "flows are sync, so artifacts are made at once"
        self._artifacts[key] = created


def _percent(found: Progress) -> float:
    return min(100.0, 100 * found.done / found.total) if found.total else 0.0


def _describe(found: Progress) -> str:
    of = "" if found.total is None else f" of {found.total:,}"
    return f"{found.phase}: {found.done:,}{of} records"
