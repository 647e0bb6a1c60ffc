"""Debian's Chromium without a window, driven over its DevTools protocol as a person would: look and click."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from deployments.processes import running, tail

__all__ = ["PROGRAM", "Browser", "NotOnThePage", "browser"]

PROGRAM = shutil.which("chromium")
"""Where the browser is, None where it is not installed."""

WIDTH, HEIGHT = 1440, 900
START_TIMEOUT_S = 60.0
DEADLINE_S = 180.0
"""How long to look for something on the page. A run through a worker takes 15 s on an idle machine."""

LEAVE_TIMEOUT_S = 15.0
"""How long a form may take that was submitted."""

STILL_TIMEOUT_S = 10.0
"""How long to wait for a page that moves; one that shows a run goes on moving."""

POLL_S = 0.2
# Without these it asks hosts of its maker for updates, at every start.
QUIET = (
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-quic", "--disable-gpu", "--disable-dev-shm-usage",
)  # fmt: skip

FIND = """
(selector, text, exact) => {
  const said = (one) => (one.innerText || one.value || one.getAttribute("aria-label") || "").trim();
  const fits = (one) => {
    const box = one.getBoundingClientRect();
    const words = said(one);
    return box.width > 0 && box.height > 0 && (exact ? words === text : words.includes(text));
  };
  const found = [...document.querySelectorAll(selector)].filter(fits);
  // The innermost one: what contains it has its words too.
  return found.find((one) => !found.some((other) => other !== one && one.contains(other)));
}
"""
PLACE = """
(() => {
  const one = (%s)(%s);
  if (!one) return null;
  one.scrollIntoView({block: "center"});
  const box = one.getBoundingClientRect();
  const x = box.x + box.width / 2, y = box.y + box.height / 2;
  const hit = document.elementFromPoint(x, y);
  // What lies beneath a dialog, or is switched off, cannot be clicked yet.
  return hit && (one.contains(hit) || hit.contains(one)) && !one.disabled ? [x, y] : null;
})()
"""


class NotOnThePage(AssertionError):
    """What was looked for did not appear; the message holds the page's text."""


class Browser:
    """One page of a running browser."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number = 0
        self._tell("Page.enable")
        self._size(HEIGHT)

    def open(self, url: str) -> None:
        """Go to a page; `wait_for` says when it is there."""
        self._tell("Page.navigate", url=url)

    def address(self) -> str:
        """The address of the page."""
        return str(self.ask("location.href"))

    def leaves(self, address: str) -> bool:
        """Whether the page of this address is left within LEAVE_TIMEOUT_S."""
        return self._comes_true(lambda: self.address() != address, LEAVE_TIMEOUT_S)

    def says(self, text: str, timeout_s: float) -> bool:
        """Whether the page says this in time."""
        return self._comes_true(lambda: text in self.text(), timeout_s)

    def text(self) -> str:
        """All that can be read on the page now."""
        return str(self.ask("document.body ? document.body.innerText : ''"))

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        done = self._tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise NotOnThePage(f"{expression[:200]}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def wait_for(self, text: str, timeout_s: float = DEADLINE_S) -> None:
        """Until the page says this. Raises NotOnThePage."""
        self.until(lambda: text in self.text() or None, f"text {text!r}", timeout_s)

    def see(self, text: str, selector: str = "span, div") -> None:
        """Until an element with exactly these words can be seen. Raises NotOnThePage."""
        words = ", ".join(json.dumps(part) for part in (selector, text, True))
        self.until(lambda: self.ask(f"!!({FIND})({words}) || null"), f"{selector} that says {text!r}")

    def click(self, text: str, selector: str = "button, a", *, exact: bool = True) -> None:
        """Press the mouse on the middle of the element with these words, once it stays where it is."""
        words = ", ".join(json.dumps(part) for part in (selector, text, exact))
        seen: list[list[float] | None] = [None]

        def place() -> list[float] | None:
            # What loads above it moves it.
            seen.append(self.ask(PLACE % (FIND, words)))
            return seen[-1] if seen[-1] == seen[-2] else None

        x, y = self.until(place, f"{selector} that says {text!r}")
        self._mouse("mouseMoved", x, y, 0)
        self._mouse("mousePressed", x, y, 1)
        self._mouse("mouseReleased", x, y, 1)

    def screenshot(self, file: Path, height: int = HEIGHT) -> None:
        """A picture of the page as PNG, WIDTH by `height` pixels, once it has stopped moving."""
        self._size(height)
        before, now = "", self._picture()
        end = time.monotonic() + STILL_TIMEOUT_S
        while now != before and time.monotonic() < end:
            time.sleep(POLL_S)
            before, now = now, self._picture()
        file.write_bytes(base64.b64decode(now))
        self._size(HEIGHT)

    def _picture(self) -> str:
        return str(self._tell("Page.captureScreenshot", format="png")["data"])

    def _size(self, height: int) -> None:
        self._tell("Emulation.setDeviceMetricsOverride", width=WIDTH, height=height, deviceScaleFactor=1, mobile=False)

    def _mouse(self, kind: str, x: float, y: float, buttons: int) -> None:
        self._tell("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def until(self, look: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> Any:
        """What `look` finds, as soon as it finds something. Raises NotOnThePage."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            found = look()
            if found is not None:
                return found
            time.sleep(POLL_S)
        raise NotOnThePage(f"no {what} within {timeout_s:.0f} s at {self.address()}:\n{self.text()}")

    def _comes_true(self, look: Callable[[], bool], timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if look():
                return True
            time.sleep(POLL_S)
        return False

    def _tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=DEADLINE_S))
            # What has no number is an event: nobody waits for one here.
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with all that it keeps in `folder`; end it at the end. Raises RuntimeError."""
    if PROGRAM is None:
        raise RuntimeError("chromium is not installed: apt-get install chromium")
    folder.mkdir(parents=True)
    command = [PROGRAM, "--headless", "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", *QUIET]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # it refuses to start for root otherwise
    with (
        running(command, os.environ, folder / "chromium.log", folder),
        connect(_page(folder), max_size=None, compression=None) as connection,
    ):
        yield Browser(connection)


def _page(folder: Path) -> str:
    """The address of the page that the browser started with."""
    end = time.monotonic() + START_TIMEOUT_S
    told = folder / "profile" / "DevToolsActivePort"
    while time.monotonic() < end:
        if told.exists() and "\n" in told.read_text():
            port = told.read_text().splitlines()[0]
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=START_TIMEOUT_S) as answer:
                pages = [one for one in json.load(answer) if one["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(POLL_S)
    raise RuntimeError(f"chromium did not start:\n{tail(folder / 'chromium.log')}")
