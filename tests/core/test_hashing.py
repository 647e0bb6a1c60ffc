"""The hashes of a record: known answers that must never change, and what they tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry import batch as batches
from vecferry import hashing, sealing
from vecferry.address import parse
from vecferry.batch import Multi, Sparse
from vecferry.model import Digest, IdKind, Part, VectorField
from vecferry.stores.memory import open_target
from vecferry.testing import generators

MATRIX = np.array([[1.0, -0.0], [0.5, 2.0]], dtype=np.float32)
EVERYTHING = open_target(parse("memory:///hashing")).capabilities()


def hexes(hashes: Any) -> list[str]:
    return [row.tobytes().hex() for row in hashes]


def record(**parts: Any) -> Any:
    """A batch of one record; what is not given is absent or empty."""
    return batches.make(
        ["7"],
        IdKind.UINT64,
        vectors=parts.get("vectors", {}),
        documents=[parts.get("document")],
        payloads=[parts.get("payload", b"{}")],
    )


def part_hash(part: Part, **parts: Any) -> str:
    return hexes(sealing.hash_part(record(**parts), part))[0]


def known_batch() -> Any:
    """Two records with a dense, a sparse and a multi vector; the second lacks two of them."""
    present = np.array([True, False])
    return batches.make(
        ["12", "x"],
        [IdKind.UINT64, IdKind.STRING],
        vectors={
            "": batches.dense_array(MATRIX, present),
            "s": batches.sparse_array(
                Sparse(np.array([1, 7], np.uint32), np.array([0.5, 2], np.float32), np.array([0, 2, 2], np.int32))
            ),
            "m": batches.multi_array(Multi(MATRIX, np.array([0, 2, 2], np.int32), present)),
        },
        documents=["text", None],
        payloads=[b'{"a":1}', b"{}"],
    )


# Known answers


def test_known_vectors_have_known_hashes() -> None:
    """XXH3-128 over the raw bytes of a row, under a seed of name, kind, dtype and dimension."""
    assert hashing.vector_seed("", "dense", "float32", 2) == 11681527963130174969
    assert hexes(hashing.hash_rows(MATRIX, hashing.vector_seed("", "dense", "float32", 2))) == [
        "9ae8d84174651392eec4e828dc6c27ca",
        "dedaad9f94cfb7b61d9b7bbc348586de",
    ]


def test_known_ids_have_known_hashes() -> None:
    """XXH3-128 over the text, under a seed of the kind."""
    assert hexes(hashing.hash_ids([b"12", b"12", b""], ["uint64", "string", "string"])) == [
        "ce997bde9e456ab833ce1928e56ed597",
        "fa79d4e27ebd450ec20d32202c601ec4",
        "641f852d29b0c86e9552b231529200d7",
    ]


def test_known_records_have_known_hashes() -> None:
    """The 48 bytes of a sealed record: vectors, payload, document; zeros where there is nothing."""
    assert [[row[at : at + 16].tobytes().hex() for at in (0, 16, 32)] for row in sealing.hash_parts(known_batch())] == [
        ["a5fa2a8d07443debdbac9f51c0a5cf6f", "bc22c3ceab26743a33529cb7a233b600", "3543b061e73a37ce706d996b6b116224"],
        ["5ca683df8e449aa708f85b52ebdf5c51", "e4c01fbe21845c7137ef2ddb6c950ef3", "00000000000000000000000000000000"],
    ]


def test_the_known_records_have_a_known_digest() -> None:
    """The digest of the two records, as it stands in manifests."""
    assert str(sealing.digest(sealing.seal(known_batch()))) == "2-a6503d7a559d80074014c2423dcbac00"


def test_a_hash_is_what_xxh3_says() -> None:
    """The definition in the documentation, spelled out by hand, gives the same bytes."""
    seed = xxhash.xxh3_64_intdigest(b"name\0dense\0float32\0" + b"2")
    expected = [xxhash.xxh3_128_digest(row.tobytes(), seed).hex() for row in MATRIX]
    assert hexes(hashing.hash_rows(MATRIX, hashing.vector_seed("name", "dense", "float32", 2))) == expected
    assert part_hash(Part.PAYLOAD, payload=b'{"a":1}') == xxhash.xxh3_128_digest(b'{"a":1}', 1).hex()
    assert part_hash(Part.DOCUMENT, document="ü") == xxhash.xxh3_128_digest("ü".encode(), 2).hex()


# What is told apart


def test_absent_and_empty_are_told_apart() -> None:
    """No document is sixteen zero bytes, an empty one is not; so with multi and sparse vectors."""
    assert part_hash(Part.DOCUMENT) == "0" * 32
    assert part_hash(Part.DOCUMENT, document="") != "0" * 32
    nothing, offsets = np.zeros((0, 2), np.float32), np.array([0, 0], np.int32)
    for present in (True, False):
        mask = np.array([present])
        multi = batches.multi_array(Multi(nothing, offsets, mask))
        sparse = batches.sparse_array(Sparse(np.zeros(0, np.uint32), nothing.reshape(-1), offsets, mask))
        for column in (multi, sparse):
            assert (part_hash(Part.VECTORS, vectors={"": column}) == "0" * 32) is not present


def test_bits_are_hashed_not_values() -> None:
    """0.0 and -0.0, and two NaNs of other bits, are different vectors."""
    nans = np.array([0x7FC00000, 0x7FC00001], dtype=np.uint32).view(np.float32)
    rows = np.array([[0.0], [-0.0], [nans[0]], [nans[1]]], dtype=np.float32)
    rows.view(np.uint32)[2:, 0] = [0x7FC00000, 0x7FC00001]
    assert len(set(hexes(hashing.hash_rows(rows, 5)))) == 4


def test_a_vector_is_bound_to_its_name_kind_and_type() -> None:
    """The same bytes under another name, dtype, kind or shape have another hash."""
    flat = np.array([[1, 2, 3, 4]], dtype=np.float32)
    columns = {
        "name": {"b": batches.dense_array(flat)},
        "plain": {"a": batches.dense_array(flat)},
        "dtype": {"a": batches.dense_array(flat.view(np.float64))},
        "multi": {"a": batches.multi_array(Multi(flat, np.array([0, 1], np.int32)))},
        "shape": {"a": batches.multi_array(Multi(flat.reshape(2, 2), np.array([0, 2], np.int32)))},
    }
    assert len({part_hash(Part.VECTORS, vectors=vectors) for vectors in columns.values()}) == len(columns)


def test_the_order_of_named_vectors_does_not_matter() -> None:
    """Two vectors swapped among their names differ; the same ones listed in another order do not."""
    one, two = (batches.dense_array(row.reshape(1, 2)) for row in MATRIX)
    listed = part_hash(Part.VECTORS, vectors={"a": one, "b": two})
    assert part_hash(Part.VECTORS, vectors={"b": two, "a": one}) == listed
    assert part_hash(Part.VECTORS, vectors={"a": two, "b": one}) != listed


def test_a_slice_of_a_batch_hashes_as_its_rows_alone() -> None:
    """Offsets into shared buffers are respected, for every kind of column."""
    fields = generators.rich_vectors(EVERYTHING)
    whole = generators.records(fields, EVERYTHING, 40)
    all_rows = sealing.hash_parts(whole)
    for start, rows in ((0, 1), (3, 9), (35, 5), (40, 0)):
        part = whole.slice(start, rows)
        assert sealing.hash_parts(part).tobytes() == all_rows[start : start + rows].tobytes()
        assert sealing.hash_ids(part).tobytes() == sealing.hash_ids(whole)[start : start + rows].tobytes()


def test_a_sealed_batch_can_be_sealed_again() -> None:
    """Sealing replaces the hashes of before."""
    sealed = sealing.seal(known_batch())
    assert sealing.seal(sealed).equals(sealed)
    assert batches.drop_hashes(sealed).equals(known_batch())
    for part in Part:
        found = sealing.of_part(batches.stored_hashes(sealed), part)
        assert found.tobytes() == sealing.hash_part(known_batch(), part).tobytes()


# Digests


@settings(max_examples=examples(40), deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12))
def test_a_digest_does_not_depend_on_order_or_parts(order: list[int], cut: int) -> None:
    """Records in any order, in one batch or in two, have one digest."""
    fields = (VectorField("", dimension=4),)
    batch = sealing.seal(generators.records(fields, EVERYTHING, 12))
    shuffled = batch.take(order)
    whole = sealing.digest(batch)
    assert sealing.digest(shuffled.slice(0, cut)) + sealing.digest(shuffled.slice(cut)) == whole
    assert Digest.parse(str(whole)) == whole


@pytest.mark.parametrize("change", ["id", "vector", "payload", "document", "row"])
def test_a_digest_sees_every_change(change: str) -> None:
    """One id, number, payload, document or row more or less gives another digest."""
    matrix = MATRIX.copy()
    ids, payloads, documents = ["a", "b"], [b'{"a":1}', b"{}"], ["x", None]
    if change == "id":
        ids[1] = "c"
    if change == "vector":
        matrix[1, 1] = np.nextafter(matrix[1, 1], np.float32(9))
    if change == "payload":
        payloads[0] = b'{"a":1.0}'
    if change == "document":
        documents[1] = ""
    changed = batches.make(
        ids, IdKind.STRING, vectors={"": batches.dense_array(matrix)}, documents=documents, payloads=payloads
    )
    if change == "row":
        changed = changed.slice(0, 1)
    plain = batches.make(
        ["a", "b"],
        IdKind.STRING,
        vectors={"": batches.dense_array(MATRIX)},
        documents=["x", None],
        payloads=[b'{"a":1}', b"{}"],
    )
    assert sealing.digest(sealing.seal(changed)) != sealing.digest(sealing.seal(plain))


def test_the_digest_of_nothing_is_zero() -> None:
    """No record, count 0 and sum 0."""
    assert sealing.digest(sealing.seal(known_batch().slice(0, 0))) == Digest()


def test_sums_of_a_digest_carry_over() -> None:
    """Sums wrap at 2^128, and the columns of a large batch are added without losing a carry."""
    assert Digest(1, 2**128 - 1) + Digest(1, 2) == Digest(2, 1)
    ids = np.random.default_rng(3).integers(0, 256, (5000, 16), dtype=np.uint8)
    parts = np.zeros((5000, 48), dtype=np.uint8)
    rows = hashing.hash_rows(np.concatenate([ids, parts], axis=1), 0)
    total = sum(int.from_bytes(row.tobytes(), "big") for row in rows) % 2**128
    assert hashing.digest(ids, parts) == Digest(5000, total)
