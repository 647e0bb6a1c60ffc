"""A flow run that is paused for an approval: its server is told over REST, without Prefect being installed."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from vecferry.ledger import Ledger

__all__ = ["resume_paused"]

TIMEOUT_S = 10.0
_RESUMED = 201


def resume_paused(ledger: Ledger, migration: str, *, approved: bool) -> dict[str, Any] | None:
    """Hand the answer to the flow run that the ledger names for this migration; None without one.

    The answer is in the ledger by then, where a waiting flow run finds it too. So nothing is lost when the
    server cannot be reached: that is said, not raised.
    """
    known = ledger.fact(migration, "prefect")
    if known is None:
        started = ledger.fact(migration, "flow_run")
        return None if started is None else _told(str(started["id"]), "finds the answer in the ledger if it waits")
    flow_run = str(known["flow_run"])
    try:
        status = _post(str(known["api_url"]), flow_run, "approve" if approved else "reject")
    except (URLError, TimeoutError) as error:
        return _told(flow_run, f"its server did not answer: {error}")
    if status != _RESUMED:
        return _told(flow_run, "was not waiting at its server; it finds the answer in the ledger")
    return {**_told(flow_run, "goes on"), "resumed": True}


def _told(flow_run: str, detail: str) -> dict[str, Any]:
    return {"flow_run": flow_run, "resumed": False, "detail": detail}


def _post(api_url: str, flow_run: str, decision: str) -> int:
    """The HTTP status: 201 when the run goes on, 200 when the server left it as it is."""
    body = json.dumps({"run_input": {"decision": decision}}).encode()
    url = f"{api_url.rstrip('/')}/flow_runs/{flow_run}/resume"
    request = Request(url, data=body, headers={"Content-Type": "application/json"}, method="POST")
    with urlopen(request, timeout=TIMEOUT_S) as response:
        return int(response.status)
