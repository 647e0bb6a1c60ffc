"""Folders of qdrant-client's local mode: read as the client reads them, without what a pickle may do."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from qdrant_client import models

from tests.stores.qdrant.local_folder import at, client_of, described, digests, make, pickle_of, write_rows
from tests.support.migrating import Harness
from vecferry import batch as columns
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.cli.main import main
from vecferry.config import make_config
from vecferry.contract import Source
from vecferry.errors import BadOption, BadRecord
from vecferry.model import DType, IdKind, RecordId, VectorKind, VerdictState
from vecferry.stores import registry
from vecferry.testing.conformance import Place, SourceConformance
from vecferry.testing.rows import read_all, rows_of

FOLDERS = Path(__file__).parent / "local_folders"
VERSIONS = sorted(path.name for path in FOLDERS.glob("v*"))
OLDEST = "v1.3.2"


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
