"""`make demo`: the blue-green flow on embedded stores through a Prefect server of its own, then the way back.

`python -m deployments.demo`. All it makes is in `.demo/demo`; what it starts, it ends. Exit code 0: every record was
found equal, the route went to the new store and back, and the old store's files are byte for byte as they were.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from deployments.console import complain, say
from deployments.folders import DEMO, exclusive, file_digest
from deployments.local_server import PROJECT, ServerError, prefect_server
from deployments.processes import stopped_by_signals
from vecferry.cli.actions.demonstrating import DIMENSION, ROUTE, ROWS, generate

__all__ = ["main"]


def main() -> int:
    """Run the demo; the exit code."""
    started = time.monotonic()
    try:
        with stopped_by_signals(), exclusive(DEMO / "demo") as folder:
            good = _run(folder)
    except ServerError as error:
        complain(str(error))
        return 3
    except KeyboardInterrupt:
        return 130
    say(f"\n{'All as promised' if good else 'NOT as promised'}, in {time.monotonic() - started:.0f} s.")
    say(f"Kept in {folder}. The same with the UI open, to click through: make ui")
    return 0 if good else 1


def _run(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    source, target = generate(folder / "old"), f"qdrant+edge://{folder}/new/{ROUTE}"
    before = file_digest(folder / "old")
    say(f"1. A Prefect server on loopback, everything it keeps in {folder}")
    home = {"VECFERRY_HOME": str(folder / "vecferry"), "VECFERRY_LEDGER": str(folder / "ledger.db")}
    # Prefect's own lines would bury what the demo says; the server still has all of them.
    quiet = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"}
    with prefect_server(folder / "prefect", home | quiet) as server:
        say(f"   {server.url}")
        say(f"2. The blue-green flow: {ROWS:,} records of {DIMENSION} numbers, {source} -> {target}")
        # A process of its own: it ends, and has sent its last log lines, before the server does. Ctrl-C reaches this
        # process alone, which ends that one.
        command = [sys.executable, "-m", "deployments.demo_flows", source, target, ROUTE]
        done = subprocess.run(command, env=dict(server.env), cwd=PROJECT, check=False, start_new_session=True)
    untouched = file_digest(folder / "old") == before
    say(f"\nThe old store's files are {'byte for byte as they were' if untouched else 'NOT as they were'}.")
    return done.returncode == 0 and untouched


if __name__ == "__main__":
    sys.exit(main())
