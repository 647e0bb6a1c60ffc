"""The pictures of the guides, made anew: `python -m tests.ui.screenshots docs/images`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deployments.console import complain, say
from deployments.local_server import ServerError, prefect_server, worker
from deployments.processes import stopped_by_signals
from deployments.ui import demo_source
from tests.stores.chroma.folders import client, create
from tests.ui.browser import NotOnThePage, browser
from tests.ui.walk import Person
from vecferry.ledger import Ledger

__all__ = ["TENANTS", "Rolled", "at_the_desk", "main", "roll"]

TENANTS = {"acme": 20, "globex": 30, "initech": 40}
"""Records of each workspace of the collection that is moved in waves."""


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


class Rolled(NamedTuple):
    """A migration that was rolled by clicks: its id, what each of its forms said, and the table at its end."""

    migration: str
    asked: list[str]
    table: str


def roll(person: Person) -> Rolled:
    """Move three workspaces in waves, and take one back, all by clicks.

    The next question is waited for in the ledger: the page does not say by itself which pause it shows.
    """
    ledger = Ledger.open(person.folder / "ledger.db")
    old = person.folder / "tenants"
    with client(old) as chroma:
        docs = create(chroma, "docs", space="cosine")
        for tenant, size in TENANTS.items():
            docs.add(
                ids=[f"{tenant}-{n}" for n in range(size)],
                embeddings=np.random.default_rng(size).normal(size=(size, 32)).astype(np.float32),
                metadatas=[{"tenant": tenant, "n": n} for n in range(size)],
            )
    person.starts_to_roll(f"chroma+path://{old}/docs", f"qdrant+edge://{person.folder}/served/docs")
    migration = next(one.id for one in ledger.migrations() if one.strategy == "rolling")
    asked = [person.opens_the_question("wave")]
    for number in (2, 3):
        person.answers()
        person.browser.until(
            lambda: True if len(ledger.approvals(migration)) == number else None,  # noqa: B023 - asked at once
            f"question {number} in the ledger",
        )
        asked.append(person.opens_the_next_question())
    person.answers()
    table = person.reads_the_workspaces()
    person.rolls_back_workspaces(migration, "acme")
    return Rolled(migration, asked, table)


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
        roll(person)
    for file in sorted(images.glob("*.png")):
        say(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
