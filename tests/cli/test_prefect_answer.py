"""`vecferry approve` of a migration whose flow run is paused: the answer also goes to Prefect's REST API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cli.conftest import Vecferry
from vecferry.ledger import Ledger


@dataclass
class Api:
    """A loopback server in the place of Prefect's: what was asked of it, and the status that it answers."""

    status: int = 201
    asked: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def api() -> Iterator[Api]:
    """A server on a free port."""
    found = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.asked.append((self.path, json.loads(body)))
            self.send_response(found.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *words: object) -> None:
            """The requests are in `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/api"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waiting(vecferry: Vecferry, source: str, lines: str, api: Api) -> str:
    """A migration that waits for its approval in a flow run of `api`."""
    name = str(vecferry("migrate", "--source", source, "--target", lines, "--json").document["migration"]["id"])
    Ledger.open().set_fact(name, "prefect", {"flow_run": "f00d", "api_url": api.url})
    return name


@pytest.mark.parametrize(("words", "decision"), [((), "approve"), (("--reject",), "reject")])
def test_the_paused_flow_run_gets_the_answer(
    words: tuple[str, ...], decision: str, vecferry: Vecferry, waiting: str, api: Api
) -> None:
    """The decision goes to the flow run's resume route; 201 means that it goes on."""
    done = vecferry("approve", waiting, *words, "--json")
    assert done.code == 0
    assert api.asked == [("/api/flow_runs/f00d/resume", {"run_input": {"decision": decision}})]
    assert done.document["flow_run"]["resumed"] is True
    assert done.document["next_commands"] == []


def test_a_flow_run_that_stays_paused_is_told(vecferry: Vecferry, waiting: str, api: Api) -> None:
    """200 is no success: the answer is in the ledger, the way on is named."""
    api.status = 200
    done = vecferry("approve", waiting, "--json")
    assert done.code == 0
    assert done.document["flow_run"]["resumed"] is False
    assert done.document["next_commands"][0] == f"vecferry resume {waiting}"


def test_a_server_that_is_away_loses_no_answer(vecferry: Vecferry, waiting: str) -> None:
    """Without the server the yes stands in the ledger, and the command line can go on."""
    Ledger.open().set_fact(waiting, "prefect", {"flow_run": "f00d", "api_url": "http://127.0.0.1:1/api"})
    done = vecferry("approve", waiting)
    assert done.code == 0
    assert "its server did not answer" in done.out
    assert vecferry("resume", waiting).code == 0
