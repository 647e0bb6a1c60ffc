"""The files of an engine's folder, as a backup copies them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vecferry.contract import SourceFile

__all__ = ["files_below"]


def files_below(folder: Path, base: Path, wanted: Callable[[Path], bool] = lambda path: True) -> list[SourceFile]:
    """Every file below `folder` that is wanted, sorted, each with its path relative to `base`."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and wanted(path))
    return [SourceFile(path, path.relative_to(base).as_posix()) for path in found]
