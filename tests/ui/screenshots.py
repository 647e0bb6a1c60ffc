"""The pictures of docs/prefect.md, made anew: `python -m tests.ui.screenshots docs/images`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.console import complain, say
from deployments.local_server import ServerError, prefect_server, worker
from deployments.processes import stopped_by_signals
from deployments.ui import demo_source
from tests.ui.browser import NotOnThePage, browser
from tests.ui.walk import Person
from vecferry.ledger import Ledger

__all__ = ["at_the_desk", "main"]


@contextmanager
def at_the_desk(folder: Path, images: Path) -> Iterator[Person]:
    """A person in front of a running installation over the demo's stores; all of it is in `folder`."""
    home = {"VECFERRY_HOME": str(folder / "vecferry"), "VECFERRY_LEDGER": str(folder / "ledger.db")}
    source = demo_source(folder)
    images.mkdir(parents=True, exist_ok=True)
    with (
        prefect_server(folder / "prefect", home) as server,
        worker(server),
        browser(folder / "browser") as page,
    ):
        yield Person(page, server, folder, source, lambda name, height: page.screenshot(images / f"{name}.png", height))


def main(arguments: list[str]) -> int:
    """Take the pictures; the exit code."""
    if len(arguments) != 1:
        complain("usage: python -m tests.ui.screenshots FOLDER")
        return 2
    try:
        # Addresses of files stand in the pictures.
        with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="demo-") as folder:
            _take(Path(folder), Path(arguments[0]))
    except (ServerError, NotOnThePage, RuntimeError) as error:
        complain(str(error))
        return 3
    return 0


def _take(folder: Path, images: Path) -> None:
    with at_the_desk(folder, images) as person:
        person.starts_a_migration()
        person.opens_the_question()
        person.approves()
        person.reads_the_artifacts()
        (migration,) = Ledger.open(folder / "ledger.db").migrations()
        person.rolls_back(migration.id)
    for file in sorted(images.glob("*.png")):
        say(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
