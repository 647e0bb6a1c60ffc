"""What a Chroma server or folder lists: tenants, databases, all pages."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path
from uuid import uuid4

import chromadb
import pytest
from chromadb.config import Settings

from tests.support.chroma_server import ChromaServer
from vecferry.address import parse
from vecferry.errors import BadOption, NotFound
from vecferry.stores import registry
from vecferry.stores.chroma import catalog

GOLDEN = Path(__file__).parents[2] / "golden"


def listed(url: str) -> list[tuple[str, str, str, str]]:
    """Tenant, database, name and address of what is found."""
    found = registry.list_collections(parse(url)).collections
    return [(one.tenant, one.database, one.name, str(one.address)) for one in found]


def make(port: int, tenant: str, databases: dict[str, list[str]]) -> None:
    """A tenant with databases and collections, made by Chroma's own client."""
    settings = Settings(
        chroma_api_impl="chromadb.api.fastapi.FastAPI",
        chroma_server_host="127.0.0.1",
        chroma_server_http_port=port,
        anonymized_telemetry=False,
    )
    admin = chromadb.AdminClient(settings)
    admin.create_tenant(tenant)
    for database, names in databases.items():
        admin.create_database(database, tenant)
        client = chromadb.HttpClient(
            "127.0.0.1", port, settings=Settings(anonymized_telemetry=False), tenant=tenant, database=database
        )
        with contextlib.closing(client):
            for name in names:
                client.create_collection(name, embedding_function=None)


def test_a_server_lists_all_databases_of_a_tenant(chroma: ChromaServer) -> None:
    """Each collection is found once, with the tenant and the database in its address; the source opens by it."""
    tenant = f"t-{uuid4().hex}"
    make(chroma.port, tenant, {"sales": ["docs", "more"], "people": ["docs"]})
    base = f"{chroma.url}?tenant={tenant}"
    expected = [
        (tenant, database, name, f"{chroma.url}/{name}?tenant={tenant}&database={database}")
        for database, name in (("people", "docs"), ("sales", "docs"), ("sales", "more"))
    ]
    assert listed(base) == expected
    assert listed(f"{base}&database=sales") == expected[1:]
    for *_, url in expected:
        with registry.open_source(parse(url)) as source:
            assert source.count() == 0


def test_a_server_that_is_asked_for_no_tenant_says_what_it_cannot_list(chroma: ChromaServer) -> None:
    """Other tenants than the default one are not told by a server: a note says so."""
    assert any("?tenant=" in note for note in registry.list_collections(parse(chroma.url)).notes)
    assert registry.list_collections(parse(f"{chroma.url}?tenant=nobody")).collections == ()


def test_a_long_list_is_read_page_by_page(chroma: ChromaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that are smaller than the list give every collection, and every database."""
    monkeypatch.setattr(catalog, "_PAGE", 2)
    tenant = f"t-{uuid4().hex}"
    names = [f"docs-{number}" for number in range(5)]
    make(chroma.port, tenant, {"one": names, "two": ["last"], "three": []})
    assert [name for _, _, name, _ in listed(f"{chroma.url}?tenant={tenant}")] == [*names, "last"]


@pytest.mark.parametrize("version", ["0.4.3", "0.4.24", "1.5.9"])
def test_a_folder_lists_every_tenant(tmp_path: Path, version: str) -> None:
    """A folder is read directly: all of its tenants and databases are found, defaults without options."""
    with zipfile.ZipFile(GOLDEN / f"chroma-{version}" / "folder.zip") as packed:
        packed.extractall(tmp_path)
    base = f"chroma+path://{next(tmp_path.rglob('chroma.sqlite3')).parent}"
    names = ["cosine-docs", "ip-docs", "l2-docs", "logged", "never-filled"]
    plain = [("default_tenant", "default_database", name, f"{base}/{name}") for name in names]
    acme = [("acme", "second", "l2-docs", f"{base}/l2-docs?tenant=acme&database=second")]
    if version == "0.4.3":  # before there were tenants
        acme = []
    assert listed(base) == [*acme, *plain]
    assert listed(f"{base}?tenant=acme") == acme
    assert len(listed(f"{base}?database=default_database")) == len(names)


def test_an_address_with_a_collection_is_no_store(chroma: ChromaServer, tmp_path: Path) -> None:
    """A collection's own URL is refused, and so is a folder that holds no Chroma."""
    with pytest.raises(BadOption, match="names a collection"):
        listed(f"{chroma.url}/docs")
    with pytest.raises(NotFound):
        listed(f"chroma+path://{tmp_path}/nothing")
