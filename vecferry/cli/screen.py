"""Where a command writes: the result to stdout, all that happens meanwhile to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from vecferry.cli import tables
from vecferry.cli.result import Result

if TYPE_CHECKING:
    from vecferry.cli.progress_view import View
    from vecferry.strategies.sheets import Sheet

__all__ = ["Screen"]


class Screen:
    """The two streams of one command, and what an error message should know: the migration that is at work."""

    def __init__(self, out: TextIO, err: TextIO, *, as_json: bool) -> None:
        self.out, self.err, self.as_json = out, err, as_json
        self.migration: str | None = None
        self._view: View | None = None

    @classmethod
    def standard(cls, *, as_json: bool) -> Screen:
        """The process's own streams, as they are now."""
        return cls(sys.stdout, sys.stderr, as_json=as_json)

    @property
    def can_ask(self) -> bool:
        """Whether a person sits there: questions go to stderr, so that stdout stays the result's."""
        return sys.stdin.isatty() and self.err.isatty()

    def say(self, text: str) -> None:
        """A line on stderr, above the progress bars."""
        if self._view is not None:
            self._view.say(text)
        else:
            print(text, file=self.err, flush=True)

    def say_at_once(self, text: str) -> None:
        """A line from a signal handler, which must not wait for a lock or a buffer."""
        with contextlib.suppress(OSError):
            os.write(self.err.fileno(), f"\n{text}\n".encode())

    def show(self, sheet: Sheet) -> None:
        """A table that belongs to the progress, on stderr."""
        if self._view is not None:
            self._view.show(sheet)
        else:
            tables.write(sheet, self.err)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Meanwhile, show the counts of every phase."""
        from vecferry.cli import progress_view, waiting
        from vecferry.transfer import progress

        self._view = view = progress_view.view(self.err)
        try:
            with progress.listening(view.note), waiting.retries_told(self.say):
                yield
        finally:
            self._view = None
            view.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile, no bar moves: a person is asked."""
        if self._view is not None:
            self._view.pause()
        try:
            yield
        finally:
            if self._view is not None:
                self._view.go_on()

    def result(self, result: Result, error: Mapping[str, Any] | None) -> None:
        """The command's answer on stdout: one JSON document, or pages for people."""
        if self.as_json:
            self.document(dict(result.document) | ({"error": error} if error is not None else {}))
            return
        for page in result.pages:
            if isinstance(page, str):
                print(page, file=self.out)
            else:
                tables.write(page, self.out)
        self.out.flush()

    def document(self, content: Mapping[str, Any]) -> None:
        """The one JSON document on stdout."""
        print(json.dumps(content, indent=2, ensure_ascii=False), file=self.out, flush=True)
