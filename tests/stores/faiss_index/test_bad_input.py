"""Files that are cut, damaged, foreign or of another kind: one clear error that names the file, and no crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from tests.stores.faiss_index import raw
from vecferry.address import parse
from vecferry.contract import Reader, Source
from vecferry.errors import BadOption, BadRecord, DataError, NotFound, StoreRefused
from vecferry.stores import registry

pytestmark = pytest.mark.slow

VECTORS = raw.numbers(60)
OWN = np.arange(60) * 3


def opened(path: Path, options: str = "", reader: Reader = Reader.FAST) -> Source:
    return registry.open_source(parse(f"faiss://{path}{options}"), reader)


def read(path: Path, reader: Reader = Reader.FAST) -> int:
    source = opened(path, reader=reader)
    return sum(batch.num_rows for part in source.slices(2) for batch in source.read(part))


@pytest.mark.parametrize("reader", Reader)
@pytest.mark.parametrize("words", ["Flat", "HNSW8", "IVF4,Flat", "IDMap2,Flat", "SQ8", "PQ4x4", "IVF4,SQ8"])
def test_an_index_that_was_cut_anywhere_is_refused(tmp_path: Path, words: str, reader: Reader) -> None:
    """Wherever a copy ended too early, the error names the file."""
    path = tmp_path / "docs.index"
    raw.build(path, words, VECTORS, OWN if "I" in words else None)
    whole = path.read_bytes()
    for length in [*range(0, 60, 7), *range(60, len(whole), len(whole) // 12), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(BadRecord, match=r"docs\.index"):
            read(path, reader)


_DAMAGE = """
import random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from tests.stores.faiss_index.test_bad_input import read
from vecferry.contract import Reader
from vecferry.errors import DataError, StoreRefused
path, seed, reader = Path(sys.argv[1]), int(sys.argv[2]), Reader(sys.argv[3])
whole, numbers, refused = path.read_bytes(), random.Random(seed), 0
for attempt in range(150):
    damaged = bytearray(whole)
    for _ in range(numbers.choice([1, 1, 2, 4])):
        place = numbers.randrange(min(len(whole), numbers.choice([60, 200, len(whole)])))
        damaged[place] = numbers.choice([0, 1, 127, 128, 255])
    copy = path.with_name(f"{attempt}.index")
    copy.write_bytes(damaged)
    try:
        read(copy, reader)
    except (DataError, StoreRefused):
        refused += 1
    copy.unlink()
print(refused)
"""


@pytest.mark.parametrize(
    ("words", "reader"),
    [("IDMap2,HNSW8", Reader.FAST), ("IVF4,Flat", Reader.FAST), ("PQ4x4", Reader.PUBLIC), ("IVF4,SQ8", Reader.PUBLIC)],
)
def test_damaged_bytes_never_end_the_process(tmp_path: Path, words: str, reader: Reader) -> None:
    """Seeded damage gives records or an error of ours, never a crash, whatever FAISS would do with it."""
    path = tmp_path / "whole.index"
    raw.build(path, words, VECTORS, OWN if "I" in words else None)
    root = str(Path(__file__).parents[3])
    run = subprocess.run(
        [sys.executable, "-c", _DAMAGE, str(path), "1", reader.value, root],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout.split()[-1]) > 10


def test_bytes_after_the_end_are_refused(tmp_path: Path) -> None:
    """A file that is longer than its index is not what it was."""
    path = tmp_path / "docs.index"
    raw.build(path, "Flat", VECTORS)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BadRecord, match="the index ends at byte"):
        read(path)


@pytest.mark.parametrize(
    "content", [b"", b"I", b"IxF", b"\x93NUMPY\x01\x00", b"{}", b"\x80\x04]\x94.", b"not an index" * 50]
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """What FAISS does not know is a BadRecord that names the file."""
    (tmp_path / "docs.index").write_bytes(content)
    with pytest.raises(BadRecord, match=r"docs\.index"):
        read(tmp_path / "docs.index")


def test_binary_vectors_are_refused(tmp_path: Path) -> None:
    """A binary index is another thing, and is said to be."""
    index = faiss.IndexBinaryFlat(16)
    index.add(np.zeros((3, 2), dtype=np.uint8))
    faiss.write_index_binary(index, str(tmp_path / "docs.index"))
    with pytest.raises(StoreRefused, match="binary vectors"):
        read(tmp_path / "docs.index")


def test_a_graph_without_vectors_is_refused(tmp_path: Path) -> None:
    """FAISS can leave the storage of a graph out; then there is nothing to move."""
    index = faiss.IndexHNSWFlat(8, 4)
    index.add(VECTORS)
    writer = faiss.FileIOWriter(str(tmp_path / "docs.index"))
    faiss.write_index(index, writer, faiss.IO_FLAG_SKIP_STORAGE)
    del writer
    for reader in Reader:
        with pytest.raises(BadRecord, match="a graph without its vectors"):
            read(tmp_path / "docs.index", reader)


@pytest.mark.parametrize("reader", Reader)
def test_a_data_file_that_was_cut_is_refused(tmp_path: Path, reader: Reader) -> None:
    """Lists beyond the end of their file would end the process if they were mapped."""
    raw.build_on_disk(tmp_path, "IVF4,Flat", VECTORS, OWN)
    os.truncate(tmp_path / "lists.ivfdata", 300)
    with pytest.raises(BadRecord, match=r"go beyond the 300 bytes of lists\.ivfdata"):
        read(tmp_path / "docs.index", reader)


def test_codes_in_a_data_file_are_refused(tmp_path: Path) -> None:
    """Only vectors are read from a data file: its lengths can be checked."""
    raw.build_on_disk(tmp_path, "IVF4,SQ8", VECTORS, OWN)
    with pytest.raises(StoreRefused, match="keeps codes in a data file"):
        read(tmp_path / "docs.index")


def test_an_index_that_grows_while_it_is_read_ends_the_run(tmp_path: Path) -> None:
    """A slice of a file that was written anew is a DataError."""
    path = tmp_path / "docs.index"
    raw.build(path, "Flat", VECTORS)
    source = opened(path)
    part = source.slices(1)[0]
    raw.build(path, "Flat", raw.numbers(61))
    with pytest.raises(DataError, match="changed since the plan"):
        list(source.read(part))


def test_a_folder_is_not_an_index(tmp_path: Path) -> None:
    """The folder that LangChain makes is not the index in it."""
    with pytest.raises(BadOption, match="is a folder"):
        opened(tmp_path)


def test_an_absent_index_is_not_found(tmp_path: Path) -> None:
    """Metadata alone are no collection."""
    (tmp_path / "docs.json").write_text("{}")
    with pytest.raises(NotFound):
        opened(tmp_path / "docs.index")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("?array=x", "takes no option 'array'"),
        ("?index=pq", r"\?index=pq is not known"),
        ("?id=stem", r"\?id=stem is not known"),
        ("?by=name", r"\?by=name is not known"),
        ("?m=8", r"\?m= is an option of \?index=hnsw"),
        ("?index=hnsw&nlist=4", r"\?nlist= is an option of \?index=ivf"),
        ("?index=hnsw&m=0", r"\?m=0 is not a whole number from 2"),
        ("?index=hnsw&m=many", r"\?m=many is not a whole number"),
        ("?index=ivf&nlist=0", r"\?nlist=0 is not a whole number from 1"),
        ("?index=ivf&nprobe=99999999", r"\?nprobe=99999999 is not a whole number"),
        ("?metadata=docs.index", "cannot be the index itself"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: str, words: str) -> None:
    """Each says what is wrong with it."""
    with pytest.raises(BadOption, match=words):
        opened(tmp_path / "docs.index", options)
