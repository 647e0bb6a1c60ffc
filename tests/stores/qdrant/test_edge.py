"""The embedded engine, held to the suite that holds every store, and what is its own."""

from __future__ import annotations

import math
import random
import signal
import struct
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import qdrant_edge as engine

from tests.stores.qdrant.samples import payloads_of, records, schema, with_ids, with_payloads
from vecferry import batch as columns
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.errors import BadOption, BadRecord, NotFound, RetryLater, TargetNotEmpty
from vecferry.mapping import floats
from vecferry.model import (
    IDS_ONLY,
    CollectionSchema,
    DType,
    IdKind,
    Metric,
    RecordId,
    VectorField,
    VectorKind,
)
from vecferry.stores import registry
from vecferry.testing.conformance import Place, RawRow, TargetConformance


class TestEdge(TargetConformance):
    """Every case of the suite, on folders of the embedded engine."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"qdrant+edge://{tmp_path}/{quote(name, safe='')}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        shard = engine.EdgeShard.load(str(address.folder() / address.collection()))
        try:
            request = engine.ScrollRequest(limit=100_000, with_payload=True, with_vector=True)
            return {
                str(record.id): RawRow(record.vector or None, record.payload) for record in shard.scroll(request)[0]
            }
        finally:
            shard.close()


# What is its own


@pytest.fixture
def address(tmp_path: Path) -> Address:
    """A collection that is not there yet."""
    return parse(f"qdrant+edge://{tmp_path}/docs")


@pytest.fixture
def filled(address: Address) -> Address:
    """Fifty records."""
    with registry.open_target(address) as target:
        target.create(schema(), {"migration": "m"})
        target.write(records(50))
    return address


def test_random_doubles_come_back_as_predicted(address: Address) -> None:
    """Payload floats of any bit pattern come back as one inexact pass predicts, before and after reopening."""
    drawn = random.Random(7)
    patterns = (struct.unpack("<d", struct.pack("<Q", drawn.getrandbits(64)))[0] for _ in range(3000))
    numbers = [number for number in patterns if math.isfinite(number)] + [drawn.random() for _ in range(1000)]
    texts = [canonical.encode({"x": number}) for number in numbers]
    with registry.open_target(address) as target:
        passes = floats.PASSES[target.capabilities().payload.float_text]
        expected = {str(at): floats.predict_text(text, passes) for at, text in enumerate(texts)}
        target.create(schema(), {})
        target.write(with_payloads(texts))
        live = payloads_of(target)
    with registry.open_source(address) as source:
        assert live == payloads_of(source) == expected
    assert list(expected.values()) != texts


def test_handles_of_one_folder_share_the_engine(filled: Address) -> None:
    """A source and a target are open at once, and the folder is free when both are closed."""
    source, target = registry.open_source(filled), registry.open_target(filled)
    assert source.count() == 50
    target.delete(columns.ids_batch([RecordId(IdKind.UINT64, "7")]))
    assert source.count() == 49
    source.close()
    assert target.count() == 49
    target.close()
    engine.EdgeShard.load(str(filled.folder() / "docs")).close()


def test_a_closed_handle_opens_again(filled: Address) -> None:
    """After `close` the next call opens the folder anew."""
    with registry.open_source(filled) as source:
        source.close()
        assert source.count() == 50


def test_a_folder_of_another_process_is_tried_later(filled: Address) -> None:
    """While another process has the folder, opening it is RetryLater; afterwards it works."""
    script = (
        "import sys, qdrant_edge as q; s = q.EdgeShard.load(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(filled.folder() / "docs")]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder,
        registry.open_source(filled) as source,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(RetryLater, match="another process"):
            source.count()
        holder.communicate("")
        assert source.count() == 50


@pytest.mark.slow
def test_acknowledged_writes_survive_a_kill(address: Address) -> None:
    """What `write` returned from is there after SIGKILL, without a flush."""
    script = (
        "import os, signal, sys\n"
        "from tests.stores.qdrant.samples import records, schema\n"
        "from vecferry.address import parse\n"
        "from vecferry.stores import registry\n"
        "target = registry.open_target(parse(sys.argv[1]))\n"
        "target.create(schema(), {'migration': 'm'}); target.begin_load(); target.write(records(300))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[3]
    killed = subprocess.run([sys.executable, "-c", script, str(address)], cwd=root, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with registry.open_source(address) as source:
        assert source.count() == 300
        assert source.describe().mark == {"migration": "m"}


def test_a_folder_that_is_no_collection_stays_as_it_is(tmp_path: Path) -> None:
    """An empty folder is not made into a collection by opening it, and a strange one is not overwritten."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound):
        registry.open_source(parse(f"qdrant+edge://{tmp_path}/empty"))
    assert list((tmp_path / "empty").iterdir()) == []
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "notes.txt").write_text("mine")
    with registry.open_target(parse(f"qdrant+edge://{tmp_path}/strange")) as target, pytest.raises(TargetNotEmpty):
        target.create(schema(), {})
    assert [path.name for path in (tmp_path / "strange").iterdir()] == ["notes.txt"]


def test_drop_leaves_files_of_others(filled: Address) -> None:
    """`drop` removes the engine's files and the mark, not a file that somebody else put there."""
    folder = filled.folder() / "docs"
    (folder / "notes.txt").write_text("mine")
    with registry.open_target(filled) as target:
        assert target.count() == 50
        target.drop()
        assert not target.exists()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_cut_drop_is_finished_by_the_next_create(filled: Address) -> None:
    """A folder whose drop was cut half-way is absent, and its name can be used again."""
    (filled.folder() / "docs" / "edge_config.json").unlink()
    with registry.open_target(filled) as target:
        assert not target.exists()
        target.create(schema(), {"migration": "next"})
        assert target.count() == 0
        assert target.describe().mark == {"migration": "next"}


def test_a_cut_create_leaves_nothing_under_the_name(address: Address) -> None:
    """A collection that was being made when the process died is absent, and `create` makes it."""
    staging = address.folder() / ".docs.vecferry-new"
    engine.EdgeShard.create(
        str(staging), engine.EdgeConfig(vectors=engine.EdgeVectorParams(size=4, distance=engine.Distance.Dot))
    ).close()
    with registry.open_target(address) as target:
        assert not target.exists()
        target.create(schema(), {})
        assert target.exists()
    assert not staging.exists()


def test_a_collection_of_another_program_has_no_mark(tmp_path: Path) -> None:
    """A folder that the engine made by itself is read, with its settings and payload indexes listed as features."""
    config = engine.EdgeConfig(
        vectors={"a": engine.EdgeVectorParams(size=2, distance=engine.Distance.Manhattan)},
        sparse_vectors={"s": engine.EdgeSparseVectorParams(modifier=engine.Modifier.Idf)},
    )
    (tmp_path / "docs").mkdir()
    shard = engine.EdgeShard.create(str(tmp_path / "docs"), config)
    shard.update(engine.UpdateOperation.create_field_index("color", engine.PayloadSchemaType.Keyword))
    shard.close()
    with registry.open_source(parse(f"qdrant+edge://{tmp_path}/docs")) as source:
        described = source.describe()
    assert described.mark is None
    assert described.vectors == (
        VectorField("a", VectorKind.DENSE, DType.FLOAT32, 2, Metric.MANHATTAN),
        VectorField("s", VectorKind.SPARSE, DType.FLOAT32, None, Metric.DOT),
    )
    assert {("payload index of 'color'", "keyword"), ("modifier of vector 's'", "idf")} <= {
        (feature.name, feature.value) for feature in described.features
    }


def test_a_large_collection_is_cut_by_a_sample(address: Address) -> None:
    """Beyond the number of ids that are counted, borders come from random ids, and the slices are complete."""
    with registry.open_target(address) as target:
        target.create(schema(1), {})
        target.write(records(20_001, 1))
        sizes = [sum(batch.num_rows for batch in target.read(part, IDS_ONLY, 5000)) for part in target.slices(4)]
    assert sum(sizes) == 20_001
    assert min(sizes) > 4000


def test_slices_of_uuids_and_integers_share_one_order(address: Address) -> None:
    """Borders may lie among integers or UUIDs, and an id that is written later falls into exactly one slice."""
    ids = [RecordId(IdKind.UINT64, str(number)) for number in (0, 5, 2**63, 2**64 - 1)]
    ids += [RecordId(IdKind.UUID, str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))) for number in range(4)]
    later = [
        RecordId(IdKind.UINT64, "6"),
        RecordId(IdKind.UUID, str(uuid.UUID(int=0))),
        RecordId(IdKind.UUID, str(uuid.UUID(int=2**128 - 1))),
    ]
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(with_ids(ids))
        slices = target.slices(8)
        target.write(with_ids(later))
        found = [item for part in slices for b in target.read(part, IDS_ONLY, 2) for item in columns.record_ids(b)]
    assert len(slices) == 8
    assert sorted(found) == sorted(ids + later)


@pytest.mark.parametrize(
    "text", ["7D444840-9DC0-11D1-B245-5FFDCE74FAD2", "{7d444840-9dc0-11d1-b245-5ffdce74fad2}", "7d44484"]
)
def test_a_uuid_in_another_spelling_is_refused(address: Address, text: str) -> None:
    """Ids arrive in their canonical text; the engine would fold spellings of one UUID into one record in silence."""
    with registry.open_target(address) as target:
        target.create(schema(), {})
        with pytest.raises(BadRecord, match="canonical"):
            target.write(with_ids([RecordId(IdKind.UUID, text)]))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"n":18446744073709551616}', "18446744073709551616"),
        (b'{"n":-9223372036854775809}', "-9223372036854775809"),
        (b'{"n":{"$vecferry":["float","nan"]}}', "nan"),
        (b'{"n":[{"$vecferry":["bytes","AA=="]}]}', "bytes"),
        (b'{"n":' + b"[" * 32 + b"]" * 32 + b"}", "levels"),
    ],
)
def test_payload_that_the_engine_would_change_is_refused(filled: Address, payload: bytes, reason: str) -> None:
    """Integers beyond 64 bits, NaN, bytes and deep nesting name the record, and nothing of the batch is stored."""
    batch = with_payloads([b"{}", payload], first_id=900)
    with registry.open_target(filled) as target:
        with pytest.raises(BadRecord, match=f"record 901: .*{reason}"):
            target.write(batch)
        assert target.count() == 50


def test_a_repeated_sparse_index_is_refused(address: Address) -> None:
    """The engine would store an index twice, which no server takes."""
    sparse = columns.sparse_array(
        columns.Sparse(
            np.array([3, 1, 1], dtype=np.uint32), np.ones(3, dtype=np.float32), np.array([0, 1, 3], dtype=np.int32)
        )
    )
    sparse_only = CollectionSchema("docs", (VectorField("s", VectorKind.SPARSE, metric=Metric.DOT),), frozenset())
    with registry.open_target(address) as target:
        target.create(sparse_only, {})
        with pytest.raises(BadRecord, match="record 2"):
            target.write(columns.make(["1", "2"], IdKind.UINT64, vectors={"s": sparse}, payloads=[b"{}", b"{}"]))


@pytest.mark.parametrize(
    "url", ["qdrant+edge:///x/docs?optimise=true", "qdrant+edge://x/docs", "qdrant+edge:///x/%2e%2e"]
)
def test_wrong_urls_are_refused(url: str) -> None:
    """Unknown options, a host and names that lead elsewhere are BadOption."""
    with pytest.raises(BadOption):
        registry.open_target(parse(url))


def test_the_index_is_built_on_request(filled: Address) -> None:
    """A load with `?optimize=true` keeps every record."""
    with registry.open_target(parse(f"{filled}?optimize=true")) as target:
        with target.bulk_load():
            target.write(records(60))
        assert target.count() == 60
