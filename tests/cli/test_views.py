"""Progress lines, tables and completion."""

from __future__ import annotations

import io
from pathlib import Path

from tests.cli.conftest import Vecferry
from vecferry.cli import completion, tables
from vecferry.cli.progress_view import Lines
from vecferry.strategies.sheets import Sheet
from vecferry.transfer.progress import Progress

SHEET = Sheet("k", "Title", ("a", "b"), (("long cell", "x"), ("c", "several\nlines")), "a note")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_lines_come_every_few_seconds_with_rate_and_time_left() -> None:
    """Between them counts are kept, not printed; the end of a phase is always printed, once."""
    out, clock = io.StringIO(), Clock()
    view = Lines(out, clock)
    for done in (0, 100, 200):
        view.note(Progress("m", "load", done, 1000))
        clock.now_s += 1
    assert out.getvalue() == ""
    clock.now_s += 1
    view.note(Progress("m", "load", 400, 1000))
    assert out.getvalue() == "load: 400 of 1,000 records, 100/s, 6 s left\n"
    for _ in range(2):
        view.note(Progress("m", "load", 1000, 1000))
    assert out.getvalue().splitlines()[1:] == ["load: 1,000 of 1,000 records, 250/s"]


def test_a_resumed_phase_counts_its_rate_from_where_it_went_on() -> None:
    """Rows of an earlier run are done, but this run did not move them."""
    out, clock = io.StringIO(), Clock()
    view = Lines(out, clock)
    view.note(Progress("m", "load", 900, 1000))
    clock.now_s += 4
    view.note(Progress("m", "load", 940, 1000))
    assert out.getvalue() == "load: 940 of 1,000 records, 10/s, 6 s left\n"


def test_a_phase_of_unknown_size_shows_what_it_knows() -> None:
    """Without a total there is no time left."""
    out, clock = io.StringIO(), Clock()
    view = Lines(out, clock)
    view.note(Progress("m", "verify", 0, None))
    clock.now_s += 5
    view.note(Progress("m", "verify", 50, None))
    assert out.getvalue() == "verify: 50 records, 10/s\n"


def test_a_table_as_text_is_aligned_and_never_cut() -> None:
    """Columns are padded, a cell is one line, the note follows."""
    assert tables.plain_text(SHEET) == (
        "Title\n  a          b\n  long cell  x\n  c          several lines\n\n  a note\n\n"
    )


def test_cells_are_text_and_never_markup() -> None:
    """A payload key like [red] reaches the terminal as it is."""
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=80).print(tables.rich_table(Sheet("k", "[b]t", ("[i]h",), (("[red]x[/red]",),), "[u]n")))
    for expected in ("[b]t", "[i]h", "[red]x[/red]", "[u]n"):
        assert expected in out.getvalue()


def test_ids_routes_and_schemes_are_completed(vecferry: Vecferry, source: str, lines: str) -> None:
    """The tab key knows migrations with their state, routes with their store, and the URLs' beginnings."""
    done = vecferry("migrate", "--source", source, "--target", lines, "--approve", "auto", "--json")
    name = done.document["migration"]["id"]
    assert completion.migrations("docs") == [(name, f"SWITCHED {lines}")]
    assert completion.migrations("x") == []
    assert completion.routes("") == [("docs", lines)]
    assert [form for form, _ in completion.urls("qdrant")] == ["qdrant+edge:", "qdrant+path:", "qdrant:", "qdrants:"]


def test_completion_never_makes_a_ledger(home: Path) -> None:
    """The tab key creates nothing."""
    assert completion.migrations("") == []
    assert completion.routes("") == []
    assert not home.exists()
