"""What a command answers: one JSON document, and the same for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vecferry.errors import VecferryError

if TYPE_CHECKING:
    from vecferry.strategies.sheets import Sheet

__all__ = ["Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """`document` is printed with `--json`, `pages` without; `error` says why the asked-for state was not reached."""

    document: Mapping[str, Any]
    pages: tuple[Sheet | str, ...] = ()
    error: VecferryError | None = None
