"""Folders of qdrant-client's local mode: read as the client reads them, without what a pickle may do."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sqlite3
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
from qdrant_client import QdrantClient, models

from tests.support.migrating import Harness
from vecferry import batch as columns
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.cli.main import main
from vecferry.config import make_config
from vecferry.contract import Source
from vecferry.errors import BadOption, BadRecord, DataDiffer, NotFound, RetryLater, StoreRefused
from vecferry.model import CollectionSchema, DType, IdKind, Metric, RecordId, VectorField, VectorKind, VerdictState
from vecferry.stores import registry
from vecferry.stores.qdrant import local_spool
from vecferry.stores.qdrant.local_reader import Reading, Unreadable, unpickled
from vecferry.testing.conformance import Place, SourceConformance
from vecferry.testing.rows import read_all, rows_of

FOLDERS = Path(__file__).parent / "local_folders"
VERSIONS = sorted(path.name for path in FOLDERS.glob("v*"))
OLDEST = "v1.3.2"


def at(folder: Path, collection: str = "docs", *, trusted: bool = True) -> Address:
    """A collection of a folder."""
    return replace(parse(f"qdrant+path://{folder}/{quote(collection, safe='')}"), trusted=trusted)


def client_of(folder: Path) -> QdrantClient:
    """The client, whose database need not survive a power cut in a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return QdrantClient(path=str(folder))


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, and when it was changed."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
class TestLocal(SourceConformance):
    """Every case of the suite for sources, on a folder that the client itself filled."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        client_of(tmp_path).close()
        return lambda name: at(tmp_path, name)

    @pytest.fixture
    def expected(self, address: Address) -> pa.RecordBatch:
        rows = 45
        matrix = np.random.default_rng(3).standard_normal((rows, 4)).astype(np.float32)
        payloads = [{"n": number, "x": number / 7, "odd": ["ü", None, {"a": -0.0}]} for number in range(rows)]
        points = [
            models.PointStruct(id=number, vector=matrix[number].tolist(), payload=payloads[number])
            for number in range(rows)
        ]
        client = client_of(address.folder())
        client.create_collection(address.collection(), models.VectorParams(size=4, distance=models.Distance.EUCLID))
        client._client.collections[address.collection()].storage.storage.execute("PRAGMA synchronous=OFF")
        client.upsert(address.collection(), points)
        client.close()
        return columns.make(
            [str(number) for number in range(rows)],
            IdKind.UINT64,
            vectors={"": columns.dense_array(matrix)},
            documents=pa.nulls(rows, pa.string()),
            payloads=canonical.encode_many(payloads),
        )


# Folders of old clients


@pytest.mark.parametrize(
    "version", [pytest.param(name, marks=[] if name == OLDEST else pytest.mark.slow) for name in VERSIONS]
)
def test_folders_of_old_clients_are_read_as_they_show_them(version: str) -> None:
    """Ids, vectors and payloads are those that the client of that version showed, and no byte of the folder changed."""
    folder = FOLDERS / version
    before = digests(folder)
    expected = json.loads((folder / "expected.json").read_text())
    with registry.open_source(at(folder)) as source:
        found = {key.text: row for key, row in read_all(source).items()}
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert np.frombuffer(row.vectors[""][2], "<f4").tolist() == expected[key]["vector"]
        assert json.loads(row.payload or b"null") == expected[key]["payload"]
    assert digests(folder) == before


def test_there_is_a_folder_of_each_era() -> None:
    """The test above looks at pickles with objects in them, and at those of today."""
    assert VERSIONS == ["v1.12.1", "v1.20.0", "v1.3.2"]
    raw = (FOLDERS / "v1.3.2" / "collection" / "docs" / "storage.sqlite").read_bytes()
    assert b"datetime" in raw
    assert b"UUID" in raw


# What it holds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for the client."""
    return tmp_path / "local"


def described(folder: Path, collection: str = "docs") -> CollectionSchema:
    """The schema of a collection."""
    with registry.open_source(at(folder, collection)) as source:
        return source.describe()


def make(folder: Path, points: list[Any], **config: Any) -> None:
    """A collection of two dimensions with these points."""
    client = client_of(folder)
    wanted = {"vectors_config": models.VectorParams(size=2, distance=models.Distance.COSINE), **config}
    client.create_collection("docs", **wanted)
    if points:
        client.upsert("docs", points)
    client.close()


def test_original_vectors_are_read_where_a_session_shows_unit_vectors(folder: Path) -> None:
    """Under cosine the file holds the vectors as they were given: they are read, and a note says so."""
    make(folder, [models.PointStruct(id=1, vector=[3.0, 4.0])])
    with registry.open_source(at(folder)) as source:
        ((_, row),) = read_all(source).items()
        assert np.frombuffer(row.vectors[""][2], "<f4").tolist() == [3.0, 4.0]
        assert any("not as unit vectors" in note for note in source.describe().notes)


@pytest.mark.slow
def test_doubles_stay_doubles(folder: Path) -> None:
    """One number that float32 cannot hold makes the vector float64; without one it is float32, whatever was asked."""
    make(folder, [models.PointStruct(id=1, vector=[0.1, 0.2])])
    assert described(folder).vectors[0].dtype is DType.FLOAT64
    client = client_of(folder)
    client.upsert("docs", [models.PointStruct(id=1, vector=[0.5, 0.25])])
    client.close()
    assert described(folder).vectors[0].dtype is DType.FLOAT32


@pytest.mark.slow
def test_settings_that_local_mode_ignores_are_told_or_carried(folder: Path) -> None:
    """A number type is told as ignored; what was asked for of a vector can be carried to a server."""
    vectors = models.VectorParams(size=2, distance=models.Distance.DOT, datatype=models.Datatype.FLOAT16, on_disk=True)
    make(folder, [], vectors_config=vectors)
    schema = described(folder)
    assert schema.vectors[0].dtype is DType.FLOAT32
    features = {feature.name: feature for feature in schema.features}
    assert "in full" in features["datatype of vector ''"].value
    assert features["datatype of vector ''"].settings is None
    wanted = {"kind": "vector", "key": "on_disk", "value": True, "vector": ""}
    assert features["on_disk of vector ''"].settings == wanted


@pytest.mark.slow
def test_named_sparse_multi_and_missing_vectors_are_read(folder: Path) -> None:
    """Every kind of vector, an absent one and an absent payload come as they are."""
    client = client_of(folder)
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.create_collection(
        "docs",
        vectors_config={
            "d": models.VectorParams(size=2, distance=models.Distance.DOT),
            "m": models.VectorParams(size=2, distance=models.Distance.DOT, multivector_config=multi),
        },
        sparse_vectors_config={"s": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    sparse = models.SparseVector(indices=[9, 2], values=[1.0, 2.0])
    client.upsert(
        "docs",
        [
            models.PointStruct(id=1, vector={"d": [1.0, 2.0], "m": [[1.0, 2.0], [3.0, 4.0]], "s": sparse}),
            models.PointStruct(id=2, vector={"d": [5.0, 6.0]}, payload={"k": "v"}),
            models.PointStruct(id=3, vector={}),
        ],
    )
    client.close()
    with registry.open_source(at(folder)) as source:
        assert {field.name: field.kind for field in source.describe().vectors} == {
            "d": VectorKind.DENSE,
            "m": VectorKind.MULTI,
            "s": VectorKind.SPARSE,
        }
        assert source.describe().missing_vectors == 2
        (batch,) = [item for part in source.slices(1) for item in source.read(part)]
        assert "modifier of vector 's'" in {feature.name for feature in source.describe().features}
    assert columns.dense_column(batch, "d").values.tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert columns.multi_column(batch, "m").values.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert columns.sparse_column(batch, "s").indices.tolist() == [2, 9]
    assert columns.sparse_column(batch, "s").values.tolist() == [2.0, 1.0]
    assert columns.payloads(batch) == [b"{}", b'{"k":"v"}', b"{}"]


@pytest.mark.slow
def test_an_alias_and_a_text_index_are_features(folder: Path) -> None:
    """What meta.json keeps beside configurations is listed, so that a server can be given it."""
    make(folder, [])
    client = client_of(folder)
    alias = models.CreateAlias(collection_name="docs", alias_name="live")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    client.close()
    meta = json.loads((folder / "meta.json").read_text())
    meta["text_indexes"] = {"docs": {"body": {"type": "text", "lowercase": True}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    features = {feature.name: feature.settings for feature in described(folder).features}
    assert features["alias 'live'"] == {"kind": "alias", "key": "live", "value": True}
    assert features["payload index of 'body'"]["value"]["lowercase"] is True  # type: ignore[index]


@pytest.mark.slow
def test_an_empty_collection_has_a_schema(folder: Path) -> None:
    """No points: no rows, one empty slice, the vectors of the configuration."""
    make(folder, [])
    with registry.open_source(at(folder)) as source:
        assert source.count() == 0
        assert source.describe().vectors[0].dimension == 2
        assert [list(source.read(part)) for part in source.slices(3)] == [[]]
        assert source.fetch(columns.ids_batch([RecordId(IdKind.UINT64, "1")])).num_rows == 0


def test_odd_ids_have_their_own_kinds(folder: Path) -> None:
    """The negative ids that local mode takes are int64; uint64 up to its end; UUID objects are UUIDs."""
    ids: list[Any] = [-6, 2**64 - 1, 7, uuid.UUID(int=9)]
    make(folder, [models.PointStruct(id=value, vector=[1.0, 2.0]) for value in ids])
    with registry.open_source(at(folder)) as source:
        found = set(read_all(source))
        assert IdKind.INT64 in source.describe().id_kinds
    assert found == {
        RecordId(IdKind.INT64, "-6"),
        RecordId(IdKind.UINT64, str(2**64 - 1)),
        RecordId(IdKind.UINT64, "7"),
        RecordId(IdKind.UUID, str(uuid.UUID(int=9))),
    }


def test_an_id_beyond_64_bits_is_named(folder: Path) -> None:
    """2^64 fits no kind of id: the row is named, nothing is guessed."""
    make(folder, [models.PointStruct(id=2**64, vector=[1.0, 2.0])])
    with registry.open_source(at(folder)) as source, pytest.raises(BadRecord, match="18446744073709551616"):
        source.count()


def test_lone_surrogates_are_read_as_they_are(folder: Path) -> None:
    """Text that UTF-8 cannot say travels in the canonical text's tagged form, for the plan to decide."""
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0], payload={"s": "\ud800", "n": float("nan")})])
    with registry.open_source(at(folder)) as source:
        ((_, row),) = read_all(source).items()
    shown = canonical.decode(row.payload or b"")
    assert shown["s"] == "\ud800"
    assert shown["n"] != shown["n"]


def write_rows(folder: Path, rows: list[tuple[str, bytes]], collection: str = "docs") -> None:
    """Rows as another program, or another version of the client, would leave them."""
    with sqlite3.connect(folder / "collection" / collection / "storage.sqlite") as database:
        database.executemany("INSERT INTO points VALUES (?, ?)", rows)
    database.close()


def pickle_of(key: Any, vector: Any = (1.0, 2.0), payload: Any = None) -> bytes:
    """A point as clients pickle it."""
    vector = list(vector) if isinstance(vector, tuple) else vector
    return pickle.dumps(models.PointStruct.model_construct(id=key, vector=vector, payload=payload))


def test_of_several_spellings_the_latest_counts(folder: Path) -> None:
    """Older clients kept spellings of a UUID apart: as today's client does, the latest row stays, and a note counts."""
    text = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    make(folder, [])
    spellings = [text, text.upper(), f"{{{text}}}", f"urn:uuid:{text}", text.replace("-", "")]
    write_rows(folder, [(str(at), pickle_of(key, payload={"at": at})) for at, key in enumerate(spellings)])
    with registry.open_source(at(folder)) as source:
        found = read_all(source)
        assert source.count() == 1
        assert any(note.startswith("4 older copies") for note in source.describe().notes)
    ((key, row),) = found.items()
    assert key == RecordId(IdKind.UUID, text)
    assert row.payload == b'{"at":4}'


def read_here(folder: Path) -> list[pa.RecordBatch]:
    """Every point of `docs` by the reader's own code, in this process: quicker, where that is not the question."""
    field = VectorField("", VectorKind.DENSE, DType.FLOAT64, 2, Metric.COSINE)
    return list(Reading(str(folder / "collection" / "docs" / "storage.sqlite"), [field]).batches())


# Trust


class Hostile:
    """A pickle that makes a file when it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


def test_a_folder_that_is_not_trusted_is_never_opened(folder: Path) -> None:
    """Without the user's word it is refused, with the reason and the option that gives it."""
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    with pytest.raises(StoreRefused, match="pickles") as refused:
        registry.open_source(at(folder, trusted=False))
    assert "--trust-local-files" in refused.value.advice


def test_a_hostile_pickle_is_refused_and_does_not_run(folder: Path, tmp_path: Path) -> None:
    """Even in a trusted folder a pickle that asks for a program is an error that names it, and nothing runs."""
    trace = tmp_path / "trace"
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    write_rows(folder, [("x", pickle.dumps(Hostile(trace)))])
    with registry.open_source(at(folder)) as source, pytest.raises(BadRecord, match=r"row 2: .*posix\.system"):
        source.count()
    assert not trace.exists()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (pickle.dumps(os.getcwd), "posix.getcwd"),
        (pickle.dumps(models.Distance.DOT), "Distance"),
        (pickle.dumps({"id": 1}), "no point"),
        (b"cbuiltins\neval\n(S'1+1'\ntR.", "eval"),
        (b"\x80\x04\x82\x01.", "damaged|unregistered"),
        (b"cqdrant_client.http.models.models\nPointStruct\n(S'a'\ntb.", "damaged"),
        (pickle_of(1)[:-30], "damaged"),
        (b"", "damaged"),
        (b"garbage", "damaged"),
        (b"(" * 100_000, "damaged"),
    ],
)
def test_only_data_of_local_mode_is_unpickled(raw: bytes, reason: str) -> None:
    """Functions, other classes, extensions, states of classes and damage are errors, and run nothing."""
    with pytest.raises(Unreadable, match=reason):
        unpickled(raw)


def test_the_reader_has_no_files_no_network_and_no_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs where pickles are opened has given up its rights: told from inside that very process."""
    monkeypatch.setenv("A_SECRET", "hidden")
    probe = (
        "import sys; sys.path.append(sys.argv[1]); import json, os, socket\n"
        "from vecferry.stores.qdrant import local_reader as reader\n"
        "def tell(self, rows, rowid, raw):\n"
        "    found = {'environment': sorted(os.environ)}\n"
        "    for name, act in {'open': lambda: open('/etc/hostname'), 'socket': socket.socket}.items():\n"
        "        try: act(); found[name] = 'works'\n"
        "        except OSError as error: found[name] = error.strerror\n"
        "    raise reader.Unreadable(json.dumps(found))\n"
        "reader.Reading._add = tell\n"
        "reader.main()\n"
    )
    monkeypatch.setattr(local_spool, "_START", probe)
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    with registry.open_source(at(folder)) as source, pytest.raises(BadRecord) as told:
        source.count()
    found = json.loads(str(told.value).partition(": ")[2])
    assert "A_SECRET" not in found["environment"]
    assert found["open"] == found["socket"] == "Too many open files"


def test_a_point_that_swells_is_stopped(folder: Path) -> None:
    """A pickle of a few hundred bytes that means gigabytes ends where a payload may end, not the machine."""
    nested: Any = "x" * 1000
    for _ in range(9):
        nested = [nested] * 10
    make(folder, [])
    write_rows(folder, [("x", pickle_of(1, payload={"a": [nested] * 1000}))])
    with pytest.raises(Unreadable, match="larger than 64 MiB"):
        read_here(folder)


# Damage


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (pickle_of(1, vector=(1.0,)), "shape"),
        (pickle_of(1, vector=[[1.0, 2.0]]), "shape"),
        (pickle_of(1, vector=["1", "2"]), "no list of numbers"),
        (pickle_of(1, vector={"zz": [1.0, 2.0]}), "'zz'"),
        (pickle_of(1.5), "type float"),
        (pickle_of(True), "type bool"),
        (pickle_of(1, payload={"a": {1: 1, "1": 2}}), "two keys"),
        (pickle_of(1, payload={"a": b"bytes"}), "type bytes"),
    ],
)
def test_points_that_local_mode_cannot_mean_are_named(folder: Path, point: bytes, reason: str) -> None:
    """A point that does not fit its collection is an error that names it."""
    make(folder, [])
    write_rows(folder, [("x", point)])
    with pytest.raises(Unreadable, match=rf"(row|record) .*: .*{reason}"):
        read_here(folder)


def test_a_truncated_database_is_an_error(folder: Path) -> None:
    """A database that was cut is told as damaged; no part of it is taken for the whole."""
    make(folder, [models.PointStruct(id=number, vector=[1.0, 2.0], payload={"t": "x" * 900}) for number in range(40)])
    database = folder / "collection" / "docs" / "storage.sqlite"
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])
    with registry.open_source(at(folder)) as source, pytest.raises(BadRecord, match=r"malformed|disk image"):
        source.count()


def test_a_broken_write_is_told(folder: Path) -> None:
    """A journal beside the database means that a client died in a write, which only SQLite itself may undo."""
    make(folder, [])
    (folder / "collection" / "docs" / "storage.sqlite-journal").write_bytes(b"x")
    with pytest.raises(StoreRefused, match="died while it wrote"):
        registry.open_source(at(folder))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"collections": []}', "{"])
def test_a_damaged_meta_file_is_told(folder: Path, content: str) -> None:
    """Without a list of collections nothing can be read."""
    make(folder, [])
    (folder / "meta.json").write_text(content)
    with pytest.raises(StoreRefused, match=r"meta\.json"):
        registry.open_source(at(folder))


def test_a_folder_of_dbm_is_told(folder: Path) -> None:
    """Clients before 1.1.7 wrote another form: refused, with the versions that turn it into this one."""
    make(folder, [])
    (folder / "collection" / "docs" / "storage.sqlite").rename(folder / "collection" / "docs" / "storage.dbm")
    with pytest.raises(StoreRefused, match="dbm"):
        registry.open_source(at(folder))


def test_a_live_client_keeps_its_lock(folder: Path) -> None:
    """While a client has the folder open it is RetryLater, the lock stays the client's, and later it works."""
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    client = client_of(folder)
    with pytest.raises(RetryLater, match="open in a client"):
        registry.open_source(at(folder))
    client.upsert("docs", [models.PointStruct(id=2, vector=[1.0, 2.0])])
    client.close()
    with registry.open_source(at(folder)) as source:
        assert source.count() == 2
        client_of(folder).close()  # a reader holds no lock


@pytest.mark.slow
def test_a_change_after_the_plan_is_seen(folder: Path) -> None:
    """Slices of a folder that was written since are DataDiffer, and the fingerprint is another."""
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    with registry.open_source(at(folder)) as source:
        before, (part,) = source.fingerprint(), source.slices(1)
        write_rows(folder, [("x", pickle_of(2))])
        assert source.fingerprint() != before
        with pytest.raises(DataDiffer):
            list(source.read(part))
        assert source.count() == 2


@pytest.mark.parametrize("name", ["..", ".", "a/b"])
def test_names_that_leave_the_folder_are_refused(folder: Path, name: str) -> None:
    """A collection's name cannot be a way out of the folder."""
    make(folder, [])
    with pytest.raises(BadOption):
        registry.open_source(at(folder, name))


def test_what_is_not_there_is_not_found(folder: Path) -> None:
    """No folder, no such collection, no database: NotFound; a host or an option is BadOption."""
    with pytest.raises(NotFound):
        registry.open_source(at(folder))
    make(folder, [])
    with pytest.raises(NotFound):
        registry.open_source(at(folder, "other"))
    (folder / "collection" / "docs" / "storage.sqlite").unlink()
    with pytest.raises(NotFound):
        registry.open_source(at(folder))
    for odd in ("qdrant+path://host/dir/docs", f"qdrant+path://{folder}/docs?x=1"):
        with pytest.raises(BadOption):
            registry.open_source(replace(parse(odd), trusted=True))


def test_it_is_no_target(folder: Path) -> None:
    """Writing is refused with the store that does it well."""
    with pytest.raises(StoreRefused, match="read only") as refused:
        registry.open_target(at(folder))
    assert "qdrant+edge" in refused.value.advice


# Whole runs


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A ledger and home folder of this test's own."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    return Harness(tmp_path)


@pytest.mark.slow
def test_a_migration_leaves_the_folder_as_it_is(folder: Path, harness: Harness, tmp_path: Path) -> None:
    """From local mode to the embedded engine: verdict same, route switched, every byte and time of the folder kept."""
    points = [
        models.PointStruct(id=number, vector=[number + 0.5, 1.0], payload={"n": number, "s": "é"})
        for number in range(60)
    ]
    make(folder, [*points, models.PointStruct(id="7D444840-9DC0-11D1-B245-5FFDCE74FAD2", vector=[1.0, 0.0])])
    before = digests(folder)
    ref = harness.start(
        f"qdrant+path://{folder}/docs", f"qdrant+edge://{tmp_path}/edge/docs", trust_local_files=True, slice_rows=25
    )
    verdict = harness.run(ref)
    assert verdict is not None
    assert verdict.state is VerdictState.SAME
    assert digests(folder) == before
    assert len(harness.records(f"qdrant+edge://{tmp_path}/edge/docs")) == 61


def test_trust_is_said_once_for_the_source() -> None:
    """`trust_local_files` of a file is the source's, never the target's; the URL cannot say it."""
    content = {"source": "qdrant+path:///d/docs", "target": "qdrant+edge:///e/docs"}
    assert not make_config(dict(content)).source.address().trusted
    config = make_config({**content, "trust_local_files": True})
    assert config.source.address().trusted
    assert not config.target.address().trusted
    assert make_config(config.model_dump(mode="json")).source.address().trusted
    with pytest.raises(BadOption):
        registry.open_source(parse("qdrant+path:///d/docs?trust_local_files=true"))


def test_the_command_line_asks_for_trust(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command without `--trust-local-files` is refused with that option as advice; with it, it reads."""
    make(folder, [models.PointStruct(id=1, vector=[1.0, 2.0])])
    url = f"qdrant+path://{folder}/docs"
    assert main(["inventory", url, "--json"]) != 0
    assert "--trust-local-files" in json.loads(capsys.readouterr().out)["error"]["advice"]
    assert main(["inventory", url, "--trust-local-files", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"]["vectors"][0]["dimension"] == 2


@pytest.mark.slow
def test_threads_share_one_reading(folder: Path) -> None:
    """Slices read at once come from one reading of the database."""
    make(folder, [models.PointStruct(id=number, vector=[number, 1.0]) for number in range(40)])
    with registry.open_source(at(folder)) as source:

        def read(part: Any) -> list[pa.RecordBatch]:
            return list(source.read(part, batch_rows=3))

        with ThreadPoolExecutor(4) as pool:
            found = [item for batches in pool.map(read, source.slices(4)) for item in batches]
    assert len(rows_of(found)) == 40
    assert isinstance(source, Source)
