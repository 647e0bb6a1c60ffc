"""What the loopback server adds for tests: the request log, ordered faults, keys, restarts, a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client import grpc as messages
from qdrant_client import models as m
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tests.support.qdrant_server import QdrantServer

from .conftest import open_client
from .helpers import DOT2, REFUSED, alias_to, code_of, ids, message_of, point, put, rows

pytestmark = pytest.mark.slow

Connect = Callable[..., QdrantClient]
REPOSITORY = Path(__file__).parents[2]


# the request log


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_the_log_tells_reads_from_writes(server: QdrantServer, connect: Connect, wire: str) -> None:
    """After reads alone a collection has no writes in the log, and any write shows with its wire."""
    client = connect(wire)
    client.create_collection("docs", vectors_config=DOT2)
    server.requests.clear()
    client.scroll("docs")
    client.count("docs")
    client.get_collection("docs")
    assert [r.method for r in server.requests] == ["scroll", "count", "get_collection"]
    assert server.requests.writes("docs") == []
    put(client, "docs", point(1))
    assert [(r.method, r.wire) for r in server.requests.writes("docs")] == [("upsert", wire)]
    assert server.requests.writes("others") == []


def test_a_write_through_an_alias_is_a_write_of_its_collection(server: QdrantServer, connect: Connect) -> None:
    """The log holds both names: the one that was used and the collection behind it."""
    client = connect()
    client.create_collection("docs", vectors_config=DOT2)
    client.update_collection_aliases([alias_to("docs", "live")])
    put(client, "live", point(1))
    found = server.requests.of("upsert", "docs")
    assert [(r.named, r.collection) for r in found] == [("live", "docs")]


def test_a_refused_request_is_logged_too(server: QdrantServer, connect: Connect) -> None:
    """What was tried counts, whether it worked or not."""
    with pytest.raises(REFUSED):
        put(connect(), "missing", point(1))
    assert [r.collection for r in server.requests.writes()] == ["missing"]


# ordered faults


@pytest.mark.parametrize(("wire", "code"), [("grpc", "UNAVAILABLE"), ("rest", 503)])
def test_the_next_calls_fail_as_often_as_ordered(
    server: QdrantServer, connect: Connect, wire: str, code: object
) -> None:
    """A fault refuses that many calls of its method before they do anything; then all is well."""
    client = connect(wire)
    client.create_collection("docs", vectors_config=DOT2)
    server.faults.fail("upsert", times=2)
    for _ in range(2):
        with pytest.raises(REFUSED) as error:
            put(client, "docs", point(1))
        assert code_of(error) == code
        assert "ordered by a test" in message_of(error)
    assert client.count("docs").count == 0
    assert put(client, "docs", point(1)) == "completed"


def test_a_fault_may_spare_calls_and_collections(server: QdrantServer, connect: Connect) -> None:
    """A fault can wait for the second call, and hit one collection only."""
    client = connect()
    for name in ("a", "b"):
        client.create_collection(name, vectors_config=DOT2)
    server.faults.fail("upsert", skip=1, collection="a", code=grpc.StatusCode.INTERNAL)
    put(client, "a", point(1))
    put(client, "b", point(1))
    with pytest.raises(grpc.RpcError) as error:
        put(client, "a", point(2))
    assert code_of(error) == "INTERNAL"


def test_an_answer_can_be_lost_after_the_work(server: QdrantServer, connect: Connect) -> None:
    """With `applied`, the client sees an error for a write that is stored."""
    client = connect()
    client.create_collection("docs", vectors_config=DOT2)
    server.faults.fail("upsert", applied=True, code=grpc.StatusCode.DEADLINE_EXCEEDED)
    with pytest.raises(grpc.RpcError):
        put(client, "docs", point(1))
    assert ids(client, "docs") == [1]


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_a_rate_limit_tells_when_to_come_back(server: QdrantServer, connect: Connect, wire: str) -> None:
    """A refusal for its rate carries the seconds to wait, where the client looks for them."""
    client = connect(wire)
    client.create_collection("docs", vectors_config=DOT2)
    server.faults.fail("upsert", code=grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_s=7)
    with pytest.raises(ResourceExhaustedResponse) as error:
        put(client, "docs", point(1))
    assert error.value.retry_after_s == 7


def test_a_held_request_waits_until_it_is_let_go(server: QdrantServer, connect: Connect) -> None:
    """A gate stops a write before its work, shows that it has arrived, and lets it finish."""
    client = connect()
    client.create_collection("docs", vectors_config=DOT2)
    with server.faults.hold("upsert") as gate:
        writer = threading.Thread(target=put, args=(client, "docs", point(1)))
        writer.start()
        assert gate.wait_for_request()
        assert client.count("docs").count == 0
        gate.open()
        writer.join(10)
    assert client.count("docs").count == 1


def test_a_delay_makes_a_client_give_up(server: QdrantServer, connect: Connect) -> None:
    """A delayed answer exceeds the deadline of the call."""
    client = connect()
    client.create_collection("docs", vectors_config=DOT2)
    server.faults.delay("count", 1.0)
    with pytest.raises(grpc.RpcError) as error:
        client.grpc_points.Count(messages.CountPoints(collection_name="docs"), timeout=0.2)
    assert code_of(error) == "DEADLINE_EXCEEDED"


# keys


@pytest.mark.parametrize(("wire", "code"), [("grpc", "UNAUTHENTICATED"), ("rest", 401)])
@pytest.mark.parametrize(
    ("key", "message"),
    [("wrong", "Invalid API key or JWT"), (None, "Must provide an API key or an Authorization bearer token")],
)
def test_a_wrong_or_absent_key_is_refused(
    tmp_path: Path, wire: str, code: object, key: str | None, message: str
) -> None:
    """A server with a key answers nothing about its collections without it."""
    with QdrantServer(tmp_path, api_key="secret") as server:
        client = open_client(server.url, server.grpc_port, wire, key)
        with pytest.raises(REFUSED) as error:
            client.get_collections()
        client.close()
    assert (code_of(error), message_of(error)) == (code, message)


def test_the_right_key_opens_and_health_needs_none(tmp_path: Path) -> None:
    """With the key all works; version and health are open to everybody."""
    with QdrantServer(tmp_path, api_key="secret") as server:
        for wire in ("grpc", "rest"):
            client = open_client(server.url, server.grpc_port, wire, "secret")
            assert client.get_collections().collections == []
            client.close()
        assert [httpx.get(server.url + path).status_code for path in ("/", "/healthz", "/collections")] == [
            200,
            200,
            401,
        ]


# restarts


def fill(client: QdrantClient) -> list[list[object]]:
    """A collection with everything that must survive; its rows."""
    client.create_collection("docs", vectors_config={"a": DOT2}, metadata={"mark": {"job": None}})
    put(client, "docs", point(1, {"a": [1.0, 2.0]}, {"k": 1}), point(2**64 - 1, {"a": [3.0, 4.0]}))
    client.create_payload_index("docs", "k", "integer", wait=True)
    client.update_collection_aliases([alias_to("docs", "live")])
    return rows(client, "docs")


def check(client: QdrantClient, expected: list[list[object]]) -> None:
    config = client.get_collection("docs").config
    assert rows(client, "live") == expected
    assert config.params.vectors == {"a": DOT2}
    assert config.metadata == {"mark": {"job": None}}
    assert client.get_collection("docs").payload_schema["k"].points == 1


def test_data_survive_a_restart_on_the_same_ports(server: QdrantServer, connect: Connect) -> None:
    """Records, settings, metadata, indexes and aliases are there again, for the same client."""
    client = connect("rest")
    expected = fill(client)
    ports = server.grpc_port, server.rest_port
    server.stop()
    with pytest.raises(ResponseHandlingException):
        client.count("docs")
    server.start()
    assert (server.grpc_port, server.rest_port) == ports
    check(client, expected)


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The server as a process of its own, with its gRPC and REST port."""
    command = [sys.executable, "-m", "tests.support.qdrant_server", "--folder", str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            ready = dict(part.split("=") for part in started.stdout.readline().split()[1:])
            yield started, int(ready["grpc"]), int(ready["rest"])
        finally:
            started.kill()


def test_a_killed_process_loses_nothing_and_a_terminated_one_ends_cleanly(tmp_path: Path) -> None:
    """After SIGKILL everything that was acknowledged is there; SIGTERM ends the process with 0."""
    with process(tmp_path) as (running, grpc_port, rest_port):
        client = open_client(f"http://127.0.0.1:{rest_port}", grpc_port, "grpc")
        expected = fill(client)
        client.close()
        os.kill(running.pid, signal.SIGKILL)
    with process(tmp_path) as (running, grpc_port, rest_port):
        client = open_client(f"http://127.0.0.1:{rest_port}", grpc_port, "grpc")
        check(client, expected)
        client.close()
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(10) == 0


# the wires


def test_a_late_refusal_leaves_the_points_before_it_stored(server: QdrantServer, connect: Connect) -> None:
    """An unknown name is found while the batch is applied: here the points before it are always stored."""
    client = connect()
    client.create_collection("docs", vectors_config=DOT2)
    with pytest.raises(REFUSED):
        put(client, "docs", point(1), point(2), point(3, {"zz": [1.0, 2.0]}), point(4))
    assert ids(client, "docs") == [1, 2]


def test_messages_of_any_size_pass_over_grpc(server: QdrantServer, connect: Connect) -> None:
    """gRPC has no limit for a message, REST refuses a body beyond 32 MiB with 400."""
    large = point(1, payload={"k": "x" * 2**25})
    client = connect("grpc")
    client.create_collection("docs", vectors_config=DOT2)
    assert put(client, "docs", large) == "completed"
    with pytest.raises(UnexpectedResponse, match="is larger than allowed") as error:
        put(connect("rest"), "docs", large)
    assert error.value.status_code == 400


def test_vectors_are_the_same_float32_on_both_wires(server: QdrantServer, connect: Connect) -> None:
    """gRPC widens a float32, REST writes its shortest decimal; both give the same bits back."""
    values = np.random.default_rng(5).standard_normal((50, 8)).astype(np.float32)
    client = connect("grpc")
    client.create_collection("docs", vectors_config=m.VectorParams(size=8, distance=m.Distance.DOT))
    client.upsert("docs", [point(i, row.tolist()) for i, row in enumerate(values)], wait=True)
    for wire in ("grpc", "rest"):
        found = connect(wire).scroll("docs", limit=50, with_vectors=True)[0]
        assert np.array([r.vector for r in found], dtype=np.float32).tobytes() == values.tobytes()
    client.upsert("docs", [point(0, (0.1,) * 8)], wait=True)
    body = httpx.get(f"{server.url}/collections/docs/points/0").json()
    assert body["result"]["vector"] == [0.1] * 8


def test_answers_have_the_vectors_where_servers_since_1_17_put_them(server: QdrantServer, connect: Connect) -> None:
    """A dense vector travels in `dense`, not in the old flat `data`; a point without vectors in an empty `named`."""
    client = connect("grpc")
    client.create_collection("docs", vectors_config=DOT2)
    put(client, "docs", point(1), point(2, {}))
    request = messages.ScrollPoints(
        collection_name="docs", with_vectors=messages.WithVectorsSelector(enable=True), limit=2
    )
    first, second = client.grpc_points.Scroll(request).result
    assert (list(first.vectors.vector.dense.data), list(first.vectors.vector.data)) == ([1.0, 2.0], [])
    assert second.vectors.WhichOneof("vectors_options") == "vectors"


def test_what_is_not_built_says_so(server: QdrantServer, connect: Connect) -> None:
    """Facets are answered with UNIMPLEMENTED or 501, never with a success."""
    connect().create_collection("docs", vectors_config=DOT2)
    for wire, code in (("grpc", "UNIMPLEMENTED"), ("rest", 501)):
        with pytest.raises(REFUSED) as error:
            connect(wire).facet("docs", "key")
        assert code_of(error) == code


def test_two_writers_and_a_reader_work_at_once(server: QdrantServer, connect: Connect) -> None:
    """Requests of several threads over both wires are all applied, and a reader never sees fewer points than before."""
    client = connect("grpc")
    client.create_collection("docs", vectors_config=DOT2)

    def write(wire: str, start: int) -> None:
        own = connect(wire)
        for key in range(start, start + 50):
            put(own, "docs", point(key))

    writers = [threading.Thread(target=write, args=("grpc", 0)), threading.Thread(target=write, args=("rest", 100))]
    for writer in writers:
        writer.start()
    seen = []
    while any(writer.is_alive() for writer in writers):
        seen.append(len(ids(client, "docs")))
    assert seen == sorted(seen)
    assert client.count("docs").count == 100
