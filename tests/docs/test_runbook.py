"""The on-call page: its commands run as they stand, and it knows every state and quotes messages that there are."""

from __future__ import annotations

import re

import pytest

from tests.docs.console import Session
from tests.docs.pages import ROOT, blocks, text_of
from vecferry.ledger import State

RUNBOOK = ROOT / "docs" / "runbook.md"


@pytest.mark.slow
def test_the_runbook_does_what_it_says(session: Session) -> None:
    """Every command of the page runs in order, on a collection that it makes, and prints what the page shows."""
    for block in blocks(RUNBOOK):
        assert not block.not_run
        if block.info in ("console", "python"):
            session.run(block)


def test_every_state_is_explained() -> None:
    """Each state of a migration has its row, and no other has."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| ", text_of(RUNBOOK), re.MULTILINE)
    assert rows == [state.value for state in State]


def messages() -> list[str]:
    """The parts of messages that the page quotes."""
    table = text_of(RUNBOOK).partition("## Messages")[2]
    rows = re.findall(r"^\| (`.*?) \| ", table, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.fixture(scope="module")
def source() -> str:
    """All of the core's text, its string literals joined where a line breaks them."""
    texts = [path.read_text() for path in sorted((ROOT / "vecferry").rglob("*.py"))]
    return re.sub(r"\"\s*\n\s*f?\"", "", "\n".join(texts))


@pytest.mark.parametrize("message", messages())
def test_every_message_is_one_that_there_is(message: str, source: str) -> None:
    """What the page quotes stands in the code."""
    assert message in source
