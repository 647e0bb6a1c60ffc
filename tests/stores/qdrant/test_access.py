"""Ways to a server: keys that read and keys that write, TLS with an own authority, a proxy with a path."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import hpack
import pytest
from hyperframe.frame import Frame, HeadersFrame

from tests.stores.qdrant.samples import payloads_of, records, schema
from tests.support.prefix_proxy import PrefixProxy
from tests.support.qdrant_server import QdrantServer
from tests.support.tls_certificates import Certificates, make_certificates
from vecferry.address import Address, parse
from vecferry.contract import Reader, Target
from vecferry.errors import BadOption, NotFound, RetryLater, StoreRefused
from vecferry.routing import aliases
from vecferry.stores import registry
from vecferry.stores.qdrant.connection import endpoint

WIRES = ("grpc", "rest")


def whole_life(address: Address) -> None:
    """Create, write, read by both readers, alias, drop."""
    with registry.open_target(address) as target:
        target.create(schema(), {"migration": "m"})
        with target.bulk_load():
            target.write(records(30))
        assert target.count() == len(payloads_of(target)) == 30
        with registry.open_source(address, Reader.PUBLIC) as public:
            assert len(payloads_of(public)) == 30
            assert public.describe().mark == {"migration": "m"}
        target.drop()
        assert not target.exists()


# Addresses


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("qdrant://h/docs", (6334, 6333, False, "http://h:6333")),
        ("qdrants://xyz.eu-central.aws.cloud.qdrant.io/docs", (6334, 6333, True, None)),
        ("qdrants://xyz.eu-central.aws.cloud.qdrant.io:6334/docs", (6334, 6333, True, None)),
        ("qdrants://h:443/docs?wire=rest", (443, 443, True, "https://h:443")),
        ("qdrants://h/docs?wire=rest", (6334, 6333, True, "https://h:6333")),
        ("qdrants://h/docs?prefix=/vectors", (6334, 443, True, "https://h:443/vectors")),
        ("qdrant://h/docs?prefix=vectors/eu/", (6334, 80, False, "http://h:80/vectors/eu")),
        ("qdrant://h:8080/docs?prefix=/a%20b", (8080, 8080, False, "http://h:8080/a%20b")),
        ("qdrant://h:1/docs?rest_port=2&prefix=/p", (1, 2, False, "http://h:2/p")),
    ],
)
def test_ports_and_paths_of_a_url(url: str, expected: tuple[int, int, bool, str | None]) -> None:
    """Ports default to Qdrant's own, behind a prefix to those of HTTP; the prefix ends up in REST's address alone."""
    found = endpoint(parse(url))
    grpc_port, rest_port, tls, rest_url = expected
    assert (found.grpc_port, found.rest_port, found.tls) == (grpc_port, rest_port, tls)
    assert rest_url is None or found.rest_url == rest_url


@pytest.mark.parametrize(
    "url",
    [
        "qdrant://h/prefix/docs",
        "qdrant://h/docs?prefix=/",
        "qdrant://h/docs?prefix=/p&wire=grpc",
        "qdrant://h/docs?ca=/etc/hosts",
        "qdrants://h/docs?ca=/no/such/file",
    ],
)
def test_urls_that_could_mean_two_things_are_refused(url: str) -> None:
    """A path of several parts, an empty prefix, gRPC behind a prefix, a CA without TLS: BadOption with the way out."""
    with pytest.raises(BadOption) as refused:
        registry.open_target(parse(url))
    assert refused.value.advice


def test_a_slash_in_a_name_is_no_prefix() -> None:
    """A percent-encoded slash belongs to the collection's name."""
    address = parse("qdrant://h:1/a%2Fb?prefix=/p")
    assert address.collection() == "a/b"
    assert endpoint(address).prefix == "/p"


def test_two_prefixes_of_one_host_are_two_servers() -> None:
    """An alias spans collections of one server; behind one proxy there may be two."""
    one, other = (parse(f"qdrant://h/{name}?prefix=/{name}") for name in ("a", "b"))
    assert not aliases.plan(one, other, "docs").follows
    assert aliases.plan(one, parse("qdrant://h/c?prefix=a"), "docs").follows


# A proxy


def test_everything_works_behind_a_prefix(server: QdrantServer, unique: str) -> None:
    """All calls of both readers go below the prefix, and none beside it."""
    with PrefixProxy(server.url, "/tenant%20a/qdrant") as proxy:
        address = parse(f"qdrant://127.0.0.1:{proxy.port}/{unique}?prefix=/tenant%20a/qdrant")
        whole_life(address)
        assert proxy.stray == []
        wrong = parse(f"qdrant://127.0.0.1:{proxy.port}/{unique}?prefix=/other")
        with pytest.raises((NotFound, RetryLater)):
            registry.open_source(wrong)


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority of the tests and a server's certificate by it."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[QdrantServer]:
    """A server with TLS on both wires, and a key."""
    folder = tmp_path_factory.mktemp("encrypted")
    with QdrantServer(folder, "right", read_only_key="reader", certificates=certificates) as running:
        yield running


def secure(server: QdrantServer, wire: str, collection: str, options: str = "", key: str = "right") -> Address:
    """A collection of the server with TLS."""
    port = server.grpc_port if wire == "grpc" else server.rest_port
    url = f"qdrants://127.0.0.1:{port}/{collection}?wire={wire}&rest_port={server.rest_port}{options}"
    return parse(url, {"api_key": key})


@pytest.mark.parametrize("wire", WIRES)
def test_tls_with_an_own_authority(encrypted: QdrantServer, certificates: Certificates, unique: str, wire: str) -> None:
    """With `ca=` every path, the official client's too, talks TLS on that wire alone, and no note warns of the key."""
    address = secure(encrypted, wire, unique, f"&ca={certificates.authority}")
    encrypted.requests.clear()
    whole_life(address)
    assert {request.wire for request in encrypted.requests} == {wire}
    with registry.open_target(address) as target:
        target.create(schema(), {})
        assert target.describe().notes == ()
        target.drop()


@pytest.mark.parametrize("wire", WIRES)
def test_a_certificate_that_nobody_knows_is_refused(encrypted: QdrantServer, unique: str, wire: str) -> None:
    """Without the authority the connection is refused at once, not tried again, and the advice names the option."""
    with pytest.raises(StoreRefused, match="not trusted") as refused:
        registry.open_source(secure(encrypted, wire, unique))
    assert "?ca=" in refused.value.advice


def test_no_wire_given_and_no_trust(encrypted: QdrantServer, unique: str) -> None:
    """Where both wires are tried, the certificate is still what is told."""
    url = f"qdrants://127.0.0.1:{encrypted.grpc_port}/{unique}?rest_port={encrypted.rest_port}"
    with pytest.raises(StoreRefused, match="not trusted"):
        registry.open_source(parse(url, {"api_key": "right"}))


def test_a_file_without_certificates_is_told(encrypted: QdrantServer, unique: str, tmp_path: Path) -> None:
    """A CA file that holds none is BadOption, not a fault of the network."""
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(BadOption, match="no certificates"):
        registry.open_source(secure(encrypted, "rest", unique, f"&ca={tmp_path}/ca.pem"))


# Keys


@pytest.mark.parametrize("wire", WIRES)
def test_a_key_that_only_reads(encrypted: QdrantServer, certificates: Certificates, unique: str, wire: str) -> None:
    """Such a key reads everything; each write is StoreRefused with advice about keys, and is not tried again."""
    trusted = f"&ca={certificates.authority}"
    with registry.open_target(secure(encrypted, wire, unique, trusted)) as writer:
        writer.create(schema(), {})
        writer.write(records(5))
    with registry.open_target(secure(encrypted, wire, unique, trusted, key="reader")) as target:
        assert len(payloads_of(target)) == target.count() == 5
        for act in (lambda: target.write(records(6)), target.drop, target.begin_load, lambda: created(target)):
            with pytest.raises(StoreRefused, match="write access") as refused:
                act()
            assert "key" in refused.value.advice
    with registry.open_target(secure(encrypted, wire, unique, trusted)) as writer:
        assert writer.count() == 5


def created(target: Target) -> None:
    """Ask for a collection that is not there, as the holder of this connection."""
    target._collection += "-new"  # type: ignore[attr-defined]
    target.create(schema(), {})


# Compression


@contextmanager
def eavesdropped(port: int) -> Iterator[tuple[int, list[bytearray]]]:
    """A port in front of another one, and the bytes that clients sent through it, by connection."""
    heard: list[bytearray] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=_relay, args=(listener, port, heard), daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def _relay(listener: socket.socket, port: int, heard: list[bytearray]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", port))
        heard.append(bytearray())
        for one, other, log in ((client, server, heard[-1]), (server, client, None)):
            threading.Thread(target=_pass_on, args=(one, other, log), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket, log: bytearray | None) -> None:
    try:
        while chunk := one.recv(1 << 16):
            if log is not None:
                log += chunk
            other.sendall(chunk)
    except OSError:
        pass
    finally:
        for end in (one, other):
            end.close()


def grpc_headers(sent: bytes) -> list[dict[str, str]]:
    """The headers of each request on one HTTP/2 connection."""
    decoder, found = hpack.Decoder(), []
    rest = sent.partition(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")[2]
    while len(rest) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(rest[:9]))
        frame.parse_body(memoryview(rest[9 : 9 + length]))
        if isinstance(frame, HeadersFrame):
            found.append({str(name): str(value) for name, value in decoder.decode(frame.data)})
        rest = rest[9 + length :]
    return found


def test_no_rest_call_asks_for_compression(server: QdrantServer, unique: str) -> None:
    """Every request over REST, the official client's too, says `identity`: the server does not gzip its answers."""
    server.requests.clear()
    whole_life(parse(f"qdrant://127.0.0.1:{server.rest_port}/{unique}?wire=rest"))
    assert len(server.requests) > 10
    assert {request.encodings for request in server.requests} == {"identity"}


@pytest.mark.parametrize("reader", Reader)
def test_no_grpc_call_asks_for_compression(server: QdrantServer, unique: str, reader: Reader) -> None:
    """No call over gRPC offers gzip or deflate, by the bytes that reach the server's port."""
    with eavesdropped(server.grpc_port) as (port, heard):
        address = parse(f"qdrant://127.0.0.1:{port}/{unique}?wire=grpc&rest_port={server.rest_port}")
        with registry.open_target(address, reader) as target:
            target.create(schema(), {})
            target.write(records(20))
            assert len(payloads_of(target)) == 20
            if reader is Reader.FAST:
                target.drop()
    shown = [found for connection in heard for found in grpc_headers(bytes(connection))]
    assert {found[":path"] for found in shown} >= {"/qdrant.Points/Upsert", "/qdrant.Points/Scroll"}
    assert {found.get("grpc-accept-encoding", "identity") for found in shown} == {"identity"}
    assert not any("grpc-encoding" in found and found["grpc-encoding"] != "identity" for found in shown)
