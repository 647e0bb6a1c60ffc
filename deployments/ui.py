"""`make ui`: a Prefect server, a worker and every deployment, kept open to click through, until Ctrl-C.

`python -m deployments.ui`. All it makes stays in `.demo/ui`, so that the next start shows the runs of the last one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.console import complain, say
from deployments.folders import DEMO, exclusive
from deployments.links import Link, form_url
from deployments.local_server import Server, ServerError, prefect_server, worker
from deployments.processes import stopped_by_signals, tail
from vecferry.cli.actions.demonstrating import ROUTE, generate

__all__ = ["demo_links", "demo_source", "main"]


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
    source = demo_source(folder)
    home = {"VECFERRY_HOME": str(folder / "vecferry"), "VECFERRY_LEDGER": str(folder / "ledger.db")}
    say("Starting a Prefect server, the deployments and a worker ...")
    with prefect_server(folder / "prefect", home) as server, worker(server) as child:
        for line in _guide(server, source, folder):
            say(line)
        _until_it_ends(server, child)


def demo_source(folder: Path) -> str:
    """The URL of an old store of files below `folder`, made where it is missing."""
    old = folder / "old"
    return f"numpy://{old}/{ROUTE}.npy" if old.exists() else generate(old)


def demo_links(source: str, folder: Path) -> list[Link]:
    """What can be clicked through: each form with its fields filled in, over the demo's stores."""
    there = {"source": source, "target": f"qdrant+edge://{folder}/new/{ROUTE}", "metric": "cosine"}
    exact = {"source": source, "target": f"jsonl://{folder}/exact/{ROUTE}.jsonl", "route": f"{ROUTE}-exact"}
    lines = {"source": source, "target": f"jsonl://{folder}/lines/{ROUTE}.jsonl", "route": f"{ROUTE}-lines"}
    return [
        Link("What is in the old store", "inventory/inventory", {"source": source}),
        Link("Move it; the run asks before the switch", "blue-green/blue-green", there),
        Link("Move it to another place, without a question", "blue-green/demo", lines | {"metric": "cosine"}),
        Link("Move it under one pause; asks first", "snapshot-restore/snapshot-restore", exact | {"metric": "cosine"}),
        Link("Back it up", "backup/backup", {"source": source, "root": f"{folder}/backups"}),
        Link("Go back (the migration's id is in the summary of its run)", "rollback-blue-green/rollback-blue-green"),
    ]


def _guide(server: Server, source: str, folder: Path) -> list[str]:
    # The client of this process asks the server whose children have it in their environment.
    with temporary_settings({PREFECT_API_URL: server.api_url}), get_client(sync_client=True) as client:
        forms = [(link.title, form_url(client, server.url, link)) for link in demo_links(source, folder)]
    return [
        "",
        f"Prefect's UI: {server.url}",
        "Forms that are filled in; each starts with Submit, at the bottom:",
        *(line for title, url in forms for line in (f"  {title}", f"    {url}")),
        "A run that asks is paused: open it, then the menu at the top right, Resume.",
        "Before moving the same store once more, roll back and change the target.",
        f"The same migrations on the command line: VECFERRY_LEDGER={folder / 'ledger.db'} .venv/bin/vecferry list",
        f"Logs: {server.logs}. Ctrl-C ends all of it.",
    ]


def _until_it_ends(server: Server, child: subprocess.Popen[bytes]) -> None:
    child.wait()
    raise ServerError(f"the worker ended:\n{tail(server.logs / 'worker.log')}")


if __name__ == "__main__":
    sys.exit(main())
