"""A flow run that is paused for an approval: its server is told over REST, without Prefect being installed."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from vecferry.model import JsonObject

__all__ = ["resume_paused"]

TIMEOUT_S = 10.0
_RESUMED = 201


def resume_paused(fact: JsonObject | None, *, approved: bool) -> dict[str, Any] | None:
    """Hand the answer to the flow run that the fact names; None without one.

    The answer is in the ledger by then, so nothing is lost when the server cannot be reached: that is said, not raised.
    """
    if fact is None:
        return None
    try:
        status = _post(fact["api_url"], fact["flow_run"], "approve" if approved else "reject")
    except (URLError, TimeoutError) as error:
        return {"flow_run": fact["flow_run"], "resumed": False, "detail": f"its server did not answer: {error}"}
    resumed = status == _RESUMED
    detail = "goes on" if resumed else "was not waiting at its server; it finds the answer in the ledger"
    return {"flow_run": fact["flow_run"], "resumed": resumed, "detail": detail}


def _post(api_url: str, flow_run: str, decision: str) -> int:
    """The HTTP status: 201 when the run goes on, 200 when the server left it as it is."""
    body = json.dumps({"run_input": {"decision": decision}}).encode()
    url = f"{api_url.rstrip('/')}/flow_runs/{flow_run}/resume"
    request = Request(url, data=body, headers={"Content-Type": "application/json"}, method="POST")
    with urlopen(request, timeout=TIMEOUT_S) as response:
        return int(response.status)
