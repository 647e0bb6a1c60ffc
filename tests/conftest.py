"""What all tests share: repeatable examples, and an honest list of what was not run."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.installation.compose import compose_program
from tests.support import milvus_referee
from tests.support.own_environment import OLD_MILVUS_LITE

settings.register_profile("steady", derandomize=True, deadline=None, database=None)
settings.register_profile("search", deadline=None, database=None, print_blob=True)
# Modules take the profile when they are imported, which is after this.
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-all`: every test, and a word on each piece that is missing on this machine."""
    parser.addoption("--run-everything", action="store_true", help="say at the end what could not be run here")


def pytest_configure(config: pytest.Config) -> None:
    """Property tests search anew in the long run, and repeat themselves in the short one.

    The long run has a Milvus and an old milvus-lite of its own, installed here once, before their tests are collected.
    """
    if config.getoption("--run-everything"):
        settings.load_profile("search")
        if not hasattr(config, "workerinput"):
            milvus_referee.install()
            OLD_MILVUS_LITE.install()


_TOGETHER = ("backups", "flows", "matrix", "protocol", "transfer", "ui")
"""Folders whose tests share a server, or what takes long to make: one worker runs all of a folder.

So it is with the folder of each store, too.
"""


class _ByFolder(LoadScopeScheduling):
    """Single tests to whoever is free, and some folders each to one worker.

    Marks say nothing of this: the groups of pytest-xdist 3.8 have no effect under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        _, folder, *rest = nodeid.partition("::")[0].split("/")
        if folder in _TOGETHER:
            return folder
        return f"stores/{rest[0]}" if folder == "stores" else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How tests are shared out among workers."""
    return _ByFolder(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what is missing, so that nobody takes a green run for more than it is."""
    if not config.getoption("--run-everything"):
        return
    terminalreporter.section("not run here")
    for line in missing_pieces():
        terminalreporter.write_line(line)


def missing_pieces() -> Iterator[str]:
    """One line for each engine or program that a test would use if it were here."""
    if not os.environ.get("VECFERRY_TEST_QDRANT_URL"):
        yield "a real Qdrant server: set VECFERRY_TEST_QDRANT_URL (the loopback server stood in for it)"
    no_milvus = milvus_referee.why_not()
    if no_milvus is not None and not os.environ.get("VECFERRY_TEST_MILVUS_URL"):
        yield f"Milvus 2.3.5 (milvus-lite stood in for it, which enforces almost no limit): {no_milvus}"
    no_old_lite = OLD_MILVUS_LITE.why_not()
    if no_old_lite is not None:
        yield f"milvus-lite 2.5.1, for its files and for 16-bit vectors: {no_old_lite}"
    if not os.environ.get("VECFERRY_TEST_MILVUS_URL"):
        yield "Milvus 2.4 and later: set VECFERRY_TEST_MILVUS_URL (and VECFERRY_TEST_MILVUS_TOKEN)"
    if shutil.which("chromium") is None:
        yield "the Prefect UI in a browser (tests/ui): apt-get install chromium"
    if compose_program() is None:
        yield "Docker's own reading of deployments/compose.yaml: install the compose plugin"
    yield "the containers of deployments/compose.yaml: they need a Docker engine and images"
    clouds = "Qdrant Cloud, Chroma Cloud and Zilliz Cloud"
    yield f"{clouds}: no account here; docs/tested-against.md lists what that leaves open"


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported stays, and tests are short: looking for garbage as often as by default costs a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
