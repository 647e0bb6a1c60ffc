"""Chroma servers as stores: keys, time-outs, faults that pass, tenants, quotas, and URLs that make no sense."""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from tests.support.chroma_gate import ChromaGate
from tests.support.chroma_server import ChromaServer
from tests.support.tls_certificates import Certificates, make_certificates
from vecferry import batch as batches
from vecferry.address import Address, parse
from vecferry.contract import Reader, Target
from vecferry.errors import BadOption, NotFound, RetryLater, StoreRefused
from vecferry.model import CollectionSchema, IdKind, Metric, Part, VectorField
from vecferry.stores import registry
from vecferry.stores.chroma import server as server_module
from vecferry.testing.rows import read_all, rows_of

from . import folders

DIMENSION = 4


def records(rows: int) -> pa.RecordBatch:
    numbers = np.random.default_rng(rows).standard_normal((rows, DIMENSION)).astype(np.float32)
    return batches.make(
        [f"r{row}" for row in range(rows)],
        IdKind.STRING,
        vectors={"": batches.dense_array(numbers)},
        documents=["text"] * rows,
        payloads=[b'{"n":1}'] * rows,
    )


def create(target: Target) -> None:
    field = VectorField(dimension=DIMENSION, metric=Metric.DOT)
    target.create(CollectionSchema("any", (field,), frozenset({IdKind.STRING})), {"m": 1})


@pytest.fixture
def name() -> str:
    return f"c-{uuid4().hex}"


@pytest.fixture
def proxy(chroma: ChromaServer) -> Iterator[ChromaGate]:
    """A gate without TLS."""
    with ChromaGate(chroma.port) as found:
        yield found


def opened(url: str, **secrets: str) -> Target:
    return registry.open_target(parse(url, secrets))


# Keys


@pytest.mark.parametrize(
    ("options", "secrets", "header"),
    [
        ("", {"token": "s3cret"}, {"X-Chroma-Token": "s3cret"}),
        ("", {"api_key": "s3cret"}, {"X-Chroma-Token": "s3cret"}),
        ("?auth=bearer", {"token": "s3cret"}, {"Authorization": "Bearer s3cret"}),
        ("", {"basic": "me:s3cret"}, {"Authorization": f"Basic {base64.b64encode(b'me:s3cret').decode()}"}),
    ],
)
def test_secrets_travel_in_their_header(
    proxy: ChromaGate, name: str, options: str, secrets: dict[str, str], header: dict[str, str]
) -> None:
    """A token goes as X-Chroma-Token or as a bearer, user and password as basic; the URL in messages shows none."""
    proxy.wanted = header
    with opened(proxy.url(name, options), **secrets) as target:
        create(target)
        target.write(records(3))
        assert read_all(target) == rows_of([records(3)])
        assert "s3cret" not in target.url + repr(target)


@pytest.mark.parametrize("secrets", [{}, {"token": "wrong"}])
def test_a_wrong_token_is_refused_with_advice(proxy: ChromaGate, name: str, secrets: dict[str, str]) -> None:
    """401 is no fault that passes: the error says what the gate said and where the key comes from."""
    proxy.wanted = {"X-Chroma-Token": "right"}
    with opened(proxy.url(name), **secrets) as target, pytest.raises(StoreRefused, match="no such token") as raised:
        target.exists()
    assert "key" in raised.value.advice


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((429, "slow down"), RetryLater),
        ((503, "<html>upstream</html>"), RetryLater),
        ((500, '{"error":"InternalError","message":"oops"}'), RetryLater),
        ((200, "<html>a login page</html>"), StoreRefused),
        ((302, ""), StoreRefused),
        ((403, ""), StoreRefused),
    ],
)
def test_answers_that_are_none_become_errors(
    proxy: ChromaGate, name: str, answer: tuple[int, str], error: type[Exception]
) -> None:
    """Overload may pass, a login page will not; the handle works on once the gate lets it through."""
    with opened(proxy.url(name)) as target:
        create(target)
        proxy.answer = answer
        for ask in (target.count, target.exists, lambda: target.write(records(2))):
            with pytest.raises(error):
                ask()
        proxy.answer = None
        target.write(records(2))
        assert target.count() == 2


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of an authority that only a test knows."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls(chroma: ChromaServer, certificates: Certificates) -> Iterator[ChromaGate]:
    """A gate with TLS, whose certificate no system trusts."""
    with ChromaGate(chroma.port, certificates) as found:
        yield found


@pytest.mark.slow
def test_everything_works_behind_tls(tls: ChromaGate, certificates: Certificates, name: str) -> None:
    """With `?ca=`, both readers create, write, read, fetch, delete and drop through TLS and the gate's token."""
    tls.wanted = {"Authorization": "Bearer s3cret"}
    url = tls.url(name, f"?auth=bearer&ca={certificates.authority}")
    with opened(url, token="s3cret") as target:
        create(target)
        target.write(records(30))
        for reader in Reader:
            with registry.open_source(parse(url, {"token": "s3cret"}), reader) as source:
                assert read_all(source, slices=2) == rows_of([records(30)])
                assert source.fetch(batches.ids_of(records(3))).num_rows == 3
        target.delete(batches.ids_of(records(10)))
        assert target.count() == 20
        target.drop()
        assert not target.exists()


def test_a_tenant_behind_tls_and_a_password(
    chroma: ChromaServer, tls: ChromaGate, certificates: Certificates, name: str
) -> None:
    """Tenant, database, user and password, and a CA of one's own go together."""
    with contextlib.closing(chroma.client()) as client:
        client._admin_client.create_tenant(f"t-{name}")
        client._admin_client.create_database("wide", f"t-{name}")
    tls.wanted = {"Authorization": f"Basic {base64.b64encode(b'me:s3cret').decode()}"}
    options = f"?tenant=t-{name}&database=wide&ca={certificates.authority}"
    with opened(tls.url(name, options), basic="me:s3cret") as target:
        create(target)
        target.write(records(3))
        assert read_all(target) == rows_of([records(3)])


def test_a_wrong_token_behind_tls_is_told_from_a_wrong_certificate(
    tls: ChromaGate, certificates: Certificates, name: str
) -> None:
    """The gate's 401 is about the key; without `?ca=` no key is sent at all, and the advice names the option."""
    tls.wanted = {"X-Chroma-Token": "right"}
    with opened(tls.url(name, f"?ca={certificates.authority}"), token="wrong") as target:
        with pytest.raises(StoreRefused, match="no such token") as raised:
            target.exists()
        assert "key" in raised.value.advice
    asked = len(tls.paths)
    with opened(tls.url(name), token="right") as target:
        with pytest.raises(StoreRefused, match="no trusted TLS") as raised:
            target.exists()
        assert "?ca=" in raised.value.advice
    assert len(tls.paths) == asked


# Time-outs and faults that pass


def test_a_server_that_does_not_answer_is_given_up(name: str) -> None:
    """Chroma's client waits for ever; here a call ends after `timeout_s` with an error that may pass."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"chroma://127.0.0.1:{silent.getsockname()[1]}/{name}?timeout_s=0.2"
        with opened(url) as target, pytest.raises(RetryLater, match="did not answer in time"):
            target.exists()


def test_an_unreachable_server_may_pass(name: str) -> None:
    """Nothing listens there: RetryLater with the address, on the first use and not on opening."""
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
    with opened(f"chroma://127.0.0.1:{port}/{name}") as target:
        for ask in (target.capabilities, target.exists, target.describe):
            with pytest.raises(RetryLater, match=rf"127.0.0.1:{port}.*does not answer"):
                ask()


def test_plain_text_is_not_taken_for_tls(chroma: ChromaServer, name: str) -> None:
    """chromas:// at a server without TLS says what is wrong instead of trying again."""
    with opened(f"chromas://127.0.0.1:{chroma.port}/{name}") as target:
        with pytest.raises(StoreRefused, match="no trusted TLS") as raised:
            target.exists()
        assert "chroma://" in raised.value.advice


@pytest.mark.slow
def test_a_server_that_was_killed_is_used_again_when_it_is_back(tmp_path: Path, name: str) -> None:
    """After SIGKILL and a restart every acknowledged record is there, and the same handles read and write on."""
    with ChromaServer(tmp_path / "server") as own, opened(f"{own.url}/{name}") as target:
        create(target)
        target.write(records(20))
        own.kill()
        with pytest.raises(RetryLater):
            target.write(records(30))
        own.start()
        assert target.count() == 20
        target.write(records(30))
        with registry.open_target(parse(target.url), Reader.PUBLIC) as public:
            assert read_all(public) == rows_of([records(30)])


def test_a_lost_vector_costs_only_itself(tmp_path: Path, name: str) -> None:
    """Chroma gives no vector of a page that holds a lost one; here the others come, and the lost one is null."""
    folder = tmp_path / "server"
    with folders.client(folder) as client:
        collection = folders.create(client, name, sync_threshold=20)
        kept = records(30)
        collection.add(ids=kept.column("id").to_pylist(), embeddings=batches.dense_column(kept).values)
    [index] = [path.parent for path in folder.rglob("index_metadata.pickle")]
    shutil.rmtree(index)
    with ChromaServer(folder) as own, registry.open_source(parse(f"{own.url}/{name}")) as source:
        found = read_all(source, frozenset({Part.VECTORS}))
    absent = {item.text for item, row in found.items() if row.vectors[""] is None}
    assert len(found) == 30
    assert 0 < len(absent) < 30
    everything = rows_of([kept])
    assert all(row.vectors in ({"": None}, everything[item].vectors) for item, row in found.items())


# Places


def test_tenant_and_database_are_kept_apart(chroma: ChromaServer, name: str) -> None:
    """The same name in another database is another collection; a missing database is NotFound."""
    with contextlib.closing(chroma.client()) as client:
        client._admin_client.create_tenant(f"t-{name}")
        client._admin_client.create_database("wide", f"t-{name}")
    url = f"{chroma.url}/{name}"
    with opened(url) as here, opened(f"{url}?tenant=t-{name}&database=wide") as there:
        create(there)
        there.write(records(3))
        assert not here.exists()
        assert there.count() == 3
    with opened(f"{url}?tenant=t-{name}&database=missing") as nowhere, pytest.raises(NotFound):
        create(nowhere)


@pytest.mark.slow
def test_a_quota_of_records_is_kept(
    proxy: ChromaGate, chroma: ChromaServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a service takes few records a request, listing, reading, writing, deleting and dropping go in pages."""
    monkeypatch.setattr(server_module, "_CLOUD", "127.0.0.1")
    monkeypatch.setattr(server_module, "_CLOUD_ROWS", 7)
    with opened(proxy.url(name)) as target:
        assert target.capabilities().max_batch_rows == 7
        create(target)
        proxy.paths.clear()
        target.write(records(30))
        assert sum(path.endswith("/upsert") for path in proxy.paths) == 5
        assert read_all(target, slices=2) == rows_of([records(30)])
        target.delete(batches.ids_of(records(20)))
        assert target.count() == 10
        target.drop()
        assert not target.exists()


def test_a_name_that_cannot_be_is_not_asked_for(proxy: ChromaGate) -> None:
    """A slash in a name would reach another address of the server; a source of such a name is NotFound at once."""
    with registry.open_source(parse(proxy.url("records%2Fcount"))) as source, pytest.raises(NotFound):
        source.describe()
    assert not any("records" in path for path in proxy.paths)


def bad(url: str, **secrets: str) -> Address:
    return parse(url, secrets)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (bad("chroma:///collection"), "not of the form"),
        (bad("chroma://host/tenant/collection"), "not of the form"),
        (bad("chroma://host/collection?metric=ip"), "takes no option 'metric'"),
        (bad("chroma://host/collection?auth=digest"), "auth=digest is not known"),
        (bad("chroma://host/collection?timeout_s=0"), "timeout_s=0"),
        (bad("chroma://host/collection?timeout_s=soon"), "timeout_s=soon"),
        (bad("chroma://host/collection?ca=/etc/hosts"), "ca= is for TLS"),
        (bad("chromas://host/collection?ca=/etc/hosts"), "no file of certificates"),
        (bad("chromas://host/collection?ca=/none.pem"), "no file of certificates"),
        (bad("chroma://host/collection", token="a", basic="b:c"), "one of them"),
        (bad("chroma://host/collection", token="line\nbreak"), "no HTTP header"),
        (bad("chroma://host/no%20name"), "takes no collection named"),
    ],
)
def test_a_wrong_url_is_refused(address: Address, message: str) -> None:
    """Each mistake in a URL is named before anything is asked."""
    with pytest.raises(BadOption, match=message) as raised:
        registry.open_target(address)
    assert "line\nbreak" not in str(raised.value)
