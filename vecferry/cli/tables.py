"""Sheets as text: rich tables on a terminal, aligned columns anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vecferry.strategies.sheets import Sheet

__all__ = ["plain_text", "rich_table", "write"]


def write(sheet: Sheet, stream: TextIO) -> None:
    """Print a sheet to a stream, in the form that suits it."""
    if not stream.isatty():
        stream.write(plain_text(sheet))
        return
    from rich.console import Console

    Console(file=stream).print(rich_table(sheet))


def rich_table(sheet: Sheet) -> RenderableType:
    """A sheet for a terminal. Cells are text, never markup."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(sheet.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    for name in sheet.header:
        table.add_column(Text(name), overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(cell) for cell in row))
    return Group(table, Text(sheet.note)) if sheet.note else table


def plain_text(sheet: Sheet) -> str:
    """Title, header and rows; columns are padded, the last one is not."""
    rows = [sheet.header, *sheet.rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(sheet.header) - 1)]
    lines = [sheet.title, *("  " + _line(row, widths) for row in rows)]
    if sheet.note:
        lines += ["", *("  " + line for line in sheet.note.splitlines())]
    return "\n".join([*lines, "", ""])


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return "  ".join([*padded, row[-1]]).replace("\n", " ").rstrip()
