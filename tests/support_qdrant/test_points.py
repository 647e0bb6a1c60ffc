"""Points written and read, as a real server answers; each test runs over both wires."""

import math

import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m

from .helpers import DOT2, INVALID, MISSING, REFUSED, UUID, code_of, ids, message_of, point, put, rows

pytestmark = pytest.mark.slow


def test_an_upsert_replaces_the_whole_point(client: QdrantClient, name: str) -> None:
    """Nothing of a former point stays: neither a vector nor a payload key that the new one lacks."""
    client.create_collection(name, vectors_config={"a": DOT2, "b": DOT2})
    put(client, name, point(1, {"a": [1.0, 2.0], "b": [3.0, 4.0]}, {"x": 1, "y": 2}))
    assert put(client, name, point(1, {"a": [5.0, 6.0]}, {"y": 3})) == "completed"
    assert rows(client, name) == [[1, {"a": [5.0, 6.0]}, {"y": 3}]]


def test_the_last_of_two_equal_ids_wins(client: QdrantClient, name: str) -> None:
    """A batch may hold an id twice; its last point is what is stored."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, point(1, (1.0, 2.0), {"a": 1}), point(1, (3.0, 4.0), {"b": 2}))
    assert rows(client, name) == [[1, [3.0, 4.0], {"b": 2}]]


def test_an_unknown_vector_name_refuses_the_batch_and_its_point(client: QdrantClient, wire: str, name: str) -> None:
    """A vector name that is not there is refused by name, and the point that bears it is not stored."""
    client.create_collection(name, vectors_config=DOT2)
    with pytest.raises(REFUSED) as error:
        put(client, name, point(1), point(2, {"zz": [1.0, 2.0]}), point(3))
    assert code_of(error) == INVALID[wire]
    assert "Wrong input: Not existing vector name error: zz" in message_of(error)
    assert 2 not in ids(client, name)


def test_a_wrong_dimension_refuses_the_whole_batch(client: QdrantClient, wire: str, name: str) -> None:
    """One vector of a wrong size leaves no point of its batch behind."""
    client.create_collection(name, vectors_config=DOT2)
    with pytest.raises(REFUSED) as error:
        put(client, name, point(1), point(2, [1.0, 2.0, 3.0]), point(3))
    assert code_of(error) == INVALID[wire]
    assert "Wrong input: Vector dimension error: expected dim: 2, got 3" in message_of(error)
    assert ids(client, name) == []


def test_an_empty_batch_is_refused(client: QdrantClient, wire: str, name: str) -> None:
    """An upsert without points is an error, not a success."""
    client.create_collection(name, vectors_config=DOT2)
    with pytest.raises(REFUSED) as error:
        put(client, name)
    assert code_of(error) == INVALID[wire]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_json_lacks_are_stored_over_grpc_and_refused_over_rest(
    client: QdrantClient, wire: str, name: str, bad: float
) -> None:
    """A vector with NaN or infinity is taken by gRPC as it is, and refused by REST."""
    client.create_collection(name, vectors_config=DOT2)
    if wire == "rest":
        with pytest.raises(REFUSED) as error:
            put(client, name, point(1, (bad, 1.0)))
        assert code_of(error) == 400
        assert ids(client, name) == []
        return
    put(client, name, point(1, (bad, 1.0)))
    stored = client.retrieve(name, [1], with_vectors=True)[0].vector
    assert isinstance(stored, list)
    assert str(stored[0]) == str(bad)


def test_nan_in_a_payload_is_refused_over_grpc_and_null_over_rest(client: QdrantClient, wire: str, name: str) -> None:
    """gRPC refuses a payload with NaN; over REST the client sends null, and null is stored."""
    client.create_collection(name, vectors_config=DOT2)
    if wire == "grpc":
        with pytest.raises(REFUSED) as error:
            put(client, name, point(1, payload={"k": math.nan}))
        assert message_of(error) == "cannot convert to json number"
        return
    put(client, name, point(1, payload={"k": math.nan}))
    assert client.retrieve(name, [1])[0].payload == {"k": None}


def test_integers_beyond_int64_read_exactly_over_rest_only(client: QdrantClient, wire: str, name: str) -> None:
    """A stored integer of 64 unsigned bits is exact over REST and a double over gRPC."""
    client.create_collection(name, vectors_config=DOT2)
    content = {"k": 2**64 - 1, "nested": [{"k": 2**63}]}
    client.http.points_api.upsert_points(
        name, wait=True, point_insert_operations=m.PointsList(points=[point(1, payload=content)])
    )
    read = client.retrieve(name, [1])[0].payload
    assert read is not None
    shown = [read["k"], read["nested"][0]["k"]]
    assert shown == [2**64 - 1, 2**63] if wire == "rest" else shown == [float(2**64), float(2**63)]
    assert {type(value) for value in shown} == ({int} if wire == "rest" else {float})


def test_ids_of_64_bits_and_uuids_are_scrolled_integers_first(client: QdrantClient, name: str) -> None:
    """The order is all integers ascending, then all UUIDs by their bytes, whatever the order of writing."""
    client.create_collection(name, vectors_config=DOT2)
    low, high = "00000005-0000-4000-8000-000000000000", "f0000000-0000-4000-8000-000000000000"
    put(client, name, point(high), point(2**64 - 1), point(low), point(0), point(2**53 + 1))
    assert ids(client, name) == [0, 2**53 + 1, 2**64 - 1, low, high]


def test_an_offset_is_inclusive_and_need_not_exist(client: QdrantClient, name: str) -> None:
    """A scroll starts at its offset or the next id after it, across the kinds of id too."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, point(3), point(7), point(9), point(UUID))
    assert ids(client, name, offset=3) == [3, 7, 9, UUID]
    assert ids(client, name, offset=4) == [7, 9, UUID]
    assert ids(client, name, offset=10) == [UUID]
    assert ids(client, name, offset="ffffffff-ffff-ffff-ffff-ffffffffffff") == []


def test_pages_follow_each_other_until_there_is_no_next(client: QdrantClient, name: str) -> None:
    """The next offset is the first id of the next page; the last page has none."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, *[point(i) for i in range(5)])
    first, following = client.scroll(name, limit=3)
    last, end = client.scroll(name, limit=3, offset=following)
    assert ([r.id for r in first], following, [r.id for r in last], end) == ([0, 1, 2], 3, [3, 4], None)


@pytest.mark.parametrize("spelling", [UUID.upper(), UUID.replace("-", ""), "urn:uuid:" + UUID, "{" + UUID + "}"])
def test_spellings_of_a_uuid_are_one_point(client: QdrantClient, name: str, spelling: str) -> None:
    """However a UUID is written, it is the same point, read back in the lower hyphenated form."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, point(UUID), point(spelling, (3.0, 4.0)))
    assert rows(client, name) == [[UUID, [3.0, 4.0], {}]]


@pytest.mark.parametrize("bad", ["12", "doc-1", "", UUID[:-1]])
def test_a_string_that_is_no_uuid_is_no_id(client: QdrantClient, wire: str, name: str, bad: str) -> None:
    """An id is an unsigned integer or a UUID; digits in a string are neither."""
    client.create_collection(name, vectors_config=DOT2)
    with pytest.raises(REFUSED) as error:
        put(client, name, point(bad))
    assert code_of(error) == INVALID[wire]
    assert bad in message_of(error)


def test_a_count_is_exact_after_deletes_and_with_filters(client: QdrantClient, name: str) -> None:
    """`count` tells the points that are there, all of them or those of a filter."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, *[point(i, payload={"n": i % 3}) for i in range(30)])
    client.delete(name, [0, 99], wait=True)
    one = m.Filter(must=[m.FieldCondition(key="n", match=m.MatchValue(value=1))])
    assert [client.count(name).count, client.count(name, count_filter=one).count] == [29, 10]


def test_absent_points_and_vectors_are_left_out(client: QdrantClient, name: str) -> None:
    """Retrieve leaves out ids that are not there, and a point shows only the vectors that it has."""
    client.create_collection(name, vectors_config={"a": DOT2}, sparse_vectors_config={"s": m.SparseVectorParams()})
    put(client, name, point(1, {}), point(2, {"s": m.SparseVector(indices=[5, 1], values=[0.5, 0.25])}))
    found = client.retrieve(name, [9, 2, 1], with_vectors=True)
    sparse = m.SparseVector(indices=[1, 5], values=[0.25, 0.5])
    assert [(r.id, r.vector) for r in found] == [(2, {"s": sparse}), (1, {})]


def test_multivectors_come_back_row_by_row(client: QdrantClient, name: str) -> None:
    """A multivector keeps its rows and their order."""
    multi = m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM)
    params = m.VectorParams(size=2, distance=m.Distance.DOT, multivector_config=multi)
    client.create_collection(name, vectors_config={"v": params})
    put(client, name, point(1, {"v": [[3.0, 4.0], [1.0, 0.0]]}))
    assert rows(client, name) == [[1, {"v": [[3.0, 4.0], [1.0, 0.0]]}, {}]]


def test_cosine_stores_normalised_vectors(client: QdrantClient, name: str) -> None:
    """What is read back from a cosine collection has length one."""
    client.create_collection(name, vectors_config=m.VectorParams(size=2, distance=m.Distance.COSINE))
    put(client, name, point(1, (3.0, 4.0)))
    stored = client.retrieve(name, [1], with_vectors=True)[0].vector
    assert stored == pytest.approx([0.6, 0.8], rel=1e-6)


def test_payload_types_come_back_as_they_were(client: QdrantClient, name: str) -> None:
    """Integers stay integers, floats floats, and null, empty and nested values are kept."""
    content = {"i": 1, "f": 1.0, "n": None, "b": True, "e": {}, "l": [1, "a", 2.5, None, {"x": []}], "": 0, "a.b": 3}
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, point(1, payload=content))
    read = client.retrieve(name, [1])[0].payload
    assert read == content
    assert [type(read[key]) for key in ("i", "f", "b")] == [int, float, bool]


def test_an_exact_query_finds_the_nearest(client: QdrantClient, name: str) -> None:
    """Points come by score; a stored point as the query leaves itself out; an absent one is not found."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, *[point(i, (float(i), 1.0)) for i in range(4)])
    exact = m.SearchParams(exact=True)
    found = client.query_points(name, [1.0, 0.0], limit=2, search_params=exact).points
    assert [(p.id, p.score) for p in found] == [(3, 3.0), (2, 2.0)]
    assert [p.id for p in client.query_points(name, 2, search_params=exact).points] == [3, 1, 0]
    with pytest.raises(REFUSED, match="No point with id 99 found"):
        client.query_points(name, 99)


def test_payload_operations_change_what_they_name(client: QdrantClient, name: str) -> None:
    """Set merges, overwrite replaces, delete takes keys, clear takes all."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, point(1, payload={"a": 1, "b": {"c": 2}}))
    seen = []
    for step in (
        lambda: client.set_payload(name, {"a": 9}, points=[1], wait=True),
        lambda: client.delete_payload(name, ["b.c"], points=[1], wait=True),
        lambda: client.overwrite_payload(name, {"z": 1}, points=[1], wait=True),
        lambda: client.clear_payload(name, [1], wait=True),
    ):
        step()
        seen.append(client.retrieve(name, [1])[0].payload)
    assert seen == [{"a": 9, "b": {"c": 2}}, {"a": 9, "b": {}}, {"z": 1}, {}]


def test_payload_of_an_absent_point_cannot_be_set(client: QdrantClient, wire: str, name: str) -> None:
    """Changing a point that is not there is an error that names it."""
    client.create_collection(name, vectors_config=DOT2)
    with pytest.raises(REFUSED) as error:
        client.set_payload(name, {"a": 1}, points=[1], wait=True)
    assert code_of(error) == MISSING[wire]


def test_vectors_are_updated_and_deleted_by_name(client: QdrantClient, name: str) -> None:
    """The named vector changes or goes; the others and the payload stay."""
    client.create_collection(name, vectors_config={"a": DOT2, "b": DOT2})
    put(client, name, point(1, {"a": [1.0, 2.0], "b": [3.0, 4.0]}, {"k": 1}))
    client.update_vectors(name, [m.PointVectors(id=1, vector={"a": [9.0, 9.0]})], wait=True)
    updated = rows(client, name)
    client.delete_vectors(name, ["a"], [1], wait=True)
    assert updated == [[1, {"a": [9.0, 9.0], "b": [3.0, 4.0]}, {"k": 1}]]
    assert rows(client, name) == [[1, {"b": [3.0, 4.0]}, {"k": 1}]]


def test_a_batch_of_operations_stops_at_the_first_bad_one(client: QdrantClient, name: str) -> None:
    """What stands before the failing operation is done, what stands behind it is not."""
    client.create_collection(name, vectors_config=DOT2)
    good = m.UpsertOperation(upsert=m.PointsList(points=[point(1)]))
    bad = m.UpsertOperation(upsert=m.PointsList(points=[point(2, [1.0])]))
    later = m.DeleteOperation(delete=m.PointIdsList(points=[1]))
    with pytest.raises(REFUSED):
        client.batch_update_points(name, [good, bad, later], wait=True)
    assert ids(client, name) == [1]


def test_filters_are_strict_about_types(client: QdrantClient, name: str) -> None:
    """A match on true finds no 1, a match on 1 finds no true, and text finds no number."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, *[point(i, payload={"k": value}) for i, value in enumerate([1, True, "1", [1, 2], None])])

    def matching(value: object) -> list[object]:
        found = m.FieldCondition(key="k", match=m.MatchValue(value=value))
        return ids(client, name, scroll_filter=m.Filter(must=[found]))

    assert [matching(1), matching(True), matching("1")] == [[0, 3], [1], [2]]
