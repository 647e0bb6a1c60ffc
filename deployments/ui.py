"""`make ui`: a Prefect server, a worker and every deployment, kept open to click through, until Ctrl-C.

`python -m deployments.ui`. All it makes stays in `.demo/ui`, so that the next start shows the runs of the last one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deployments.console import complain, say
from deployments.folders import DEMO, exclusive
from deployments.local_server import Server, ServerError, prefect_server, worker
from deployments.processes import stopped_by_signals, tail
from vecferry.cli.actions.demonstrating import ROUTE, generate

__all__ = ["main"]


def main() -> int:
    """Keep the UI open; the exit code."""
    try:
        with stopped_by_signals(), exclusive(DEMO / "ui") as folder:
            _serve(folder)
    except ServerError as error:
        complain(str(error))
        return 3
    except KeyboardInterrupt:
        say("\nended; everything is kept for the next `make ui`")
    return 0


def _serve(folder: Path) -> None:
    old = folder / "old"
    source = f"numpy://{old}/{ROUTE}.npy" if old.exists() else generate(old)
    target = f"qdrant+edge://{folder}/new/{ROUTE}"
    home = {"VECFERRY_HOME": str(folder / "vecferry"), "VECFERRY_LEDGER": str(folder / "ledger.db")}
    say("Starting a Prefect server, the deployments and a worker ...")
    with prefect_server(folder / "prefect", home) as server, worker(server) as child:
        for line in _guide(server, source, target, folder):
            say(line)
        _until_it_ends(server, child)


def _guide(server: Server, source: str, target: str, folder: Path) -> list[str]:
    return [
        "",
        f"Open {server.url}, then Deployments:",
        "  blue-green/blue-green   asks before the switch (Resume in the run's page)",
        "  blue-green/demo         switches without asking",
        "  rollback/rollback       with the migration's id, which the run's summary names",
        "Parameters that work here (roll back before the next one, and give it another target):",
        f"  source  {source}",
        f"  target  {target}",
        "  metric  cosine",
        f"The same migrations on the command line: VECFERRY_LEDGER={folder / 'ledger.db'} .venv/bin/vecferry list",
        f"Logs: {server.logs}. Ctrl-C ends all of it.",
    ]


def _until_it_ends(server: Server, child: subprocess.Popen[bytes]) -> None:
    child.wait()
    raise ServerError(f"the worker ended:\n{tail(server.logs / 'worker.log')}")


if __name__ == "__main__":
    sys.exit(main())
