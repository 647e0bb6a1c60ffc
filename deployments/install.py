"""All that a Prefect server must know: `python -m deployments.install`. It may run again at any time.

The work pool, every deployment of prefect.yaml, the block type for stores, the automations.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from prefect import get_client

from deployments import automations, blocks
from deployments.console import complain, say
from deployments.local_server import POOL, PROJECT, ServerError

__all__ = ["install", "main"]


def install() -> None:
    """Make it known to the server that the environment names. Raises ServerError."""
    _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    _prefect("--no-prompt", "deploy", "--all")
    say(f"registered: {blocks.register()}")
    with get_client(sync_client=True) as client:
        for line in automations.apply(client):
            say(line)


def _prefect(*arguments: str) -> None:
    command: Sequence[str] = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    say(f"done: prefect {' '.join(arguments)}")


def main() -> int:
    """Install; the exit code."""
    try:
        install()
    except ServerError as error:
        complain(str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
