"""Each rule of each profile, once: what it leaves of a target, and what a plan then says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.mapping.cases import FILES, make_batch, make_schema, mapping_for
from vecferry import batch as columns
from vecferry.address import parse
from vecferry.capabilities import Capabilities
from vecferry.errors import BadOption
from vecferry.mapping import Mapping, Profile, Rules, decide
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.rule_sets import NONE, RULE_SETS, RuleSet, chosen
from vecferry.stores.chroma import capabilities as chroma
from vecferry.stores.milvus import capabilities as milvus

STRING = IdKind.STRING
ONE = [(STRING, "a")]
CHROMA, LITE = chroma.folder_written(), milvus.folder(None, None)
MILVUS_SETS = [one for one in RULE_SETS.values() if "zilliz" in one.schemes]


def held(name: str, target: Capabilities) -> Capabilities:
    """A target held to a rule set."""
    return RULE_SETS[name].narrow(target)


def features(mapping: Mapping) -> list[str]:
    """What a plan refuses."""
    return [one.feature for one in mapping.refusals()]


def refused(target: Capabilities, payload: object, document: str | None = None) -> list[str]:
    """What a plan says of one record."""
    batch = make_batch(ONE, [payload], [document])
    return features(mapping_for(make_schema(STRING, document=document is not None), batch, target))


def vectors(count: int, dimension: int) -> tuple[CollectionSchema, Profile]:
    """A source with so many vectors, of which nothing was looked at."""
    fields = tuple(VectorField(f"v{at}", dimension=dimension, metric=Metric.DOT) for at in range(count))
    return CollectionSchema("docs", fields, frozenset({STRING})), Profile(rows=1)


@pytest.mark.parametrize("one", RULE_SETS.values(), ids=lambda one: one.name)
def test_every_rule_says_what_it_asks_and_who_says_so(one: RuleSet) -> None:
    """A rule without a source is a rumour."""
    assert one.summary
    assert all(rule.says and rule.source for rule in one.rules)


@pytest.mark.parametrize("one", RULE_SETS.values(), ids=lambda one: one.name)
def test_a_rule_set_narrows_and_never_widens(one: RuleSet) -> None:
    """Held twice is held once, and a store that takes less keeps its own limits."""
    target = CHROMA if "chroma" in one.schemes else LITE
    once = one.narrow(target)
    assert replace(one.narrow(once), engine="") == replace(once, engine="")
    tight = replace(once, max_batch_rows=1, vectors=replace(once.vectors, max_dimension=1, max_fields=1))
    assert replace(one.narrow(tight), engine="") == replace(tight, engine="")
    assert one.name in once.engine


def test_the_quotas_of_a_request_at_chroma_cloud() -> None:
    """300 records, and no more than ten slices at once."""
    found = held("chroma-cloud", replace(CHROMA, parallel_reads=64, parallel_writes=64))
    assert (found.max_batch_rows, found.parallel_reads, found.parallel_writes) == (300, 10, 10)


@pytest.mark.parametrize(
    ("payload", "document", "said"),
    [
        ({"a": "x" * 8182}, None, []),
        ({"a": "x" * 8183}, None, ["long values of payload key 'a'"]),
        ({}, "x" * 16_384, []),
        ({}, "x" * 16_385, ["long documents"]),
    ],
)
def test_sizes_at_chroma_cloud(payload: dict[str, object], document: str | None, said: list[str]) -> None:
    """Values of 8,182 bytes and documents of 16,384 fit, one byte more does not."""
    assert refused(held("chroma-cloud", CHROMA), payload, document) == said
    assert refused(CHROMA, payload, document) == []


def test_ids_and_names_at_chroma_cloud() -> None:
    """128 bytes each."""
    target, batch = held("chroma-cloud", CHROMA), make_batch([(STRING, "x" * 129)])
    assert features(mapping_for(make_schema(STRING), batch, target)) == ["long ids"]
    assert features(mapping_for(make_schema(STRING), make_batch([(STRING, "x" * 128)]), target)) == []
    assert features(mapping_for(make_schema(STRING), make_batch(ONE), target, target_name="x" * 128)) == []
    assert features(mapping_for(make_schema(STRING), make_batch(ONE), target, target_name="x" * 129)) == [
        "collection name"
    ]


def test_keys_at_chroma_cloud() -> None:
    """A key of 37 bytes and the 33rd key go to the side field: nothing is refused, and all come back."""
    target = held("chroma-cloud", CHROMA)
    rows = [{"k" * 37: 1}, {f"key{number:02}": number for number in range(33)}, {"k" * 36: 1}]
    batch = make_batch([(STRING, text) for text in "abc"], rows)
    mapping = mapping_for(make_schema(STRING), batch, target)
    assert mapping.refusals() == ()
    there = mapping.forward(batch)
    assert mapping.backward(there).equals(batch)
    assert all(len(text) < 2000 for text in columns.payloads(there))
    assert columns.payloads(there)[2] == columns.payloads(batch)[2]
    assert {one.feature for one in mapping.decisions if one.outcome == "encoded"} == {
        f"payload key {'k' * 37!r}",
        "number of payload keys",
    }


def test_dimensions_and_records_at_chroma_cloud() -> None:
    """4,096 and 5,000,000."""
    target = held("chroma-cloud", CHROMA)
    for dimension, rows, said in ((4096, 5_000_000, []), (4097, 1, ["vector 'v0'"]), (8, 5_000_001, ["records"])):
        schema, profile = vectors(1, dimension)
        assert features(decide(schema, replace(profile, rows=rows), FILES, target, Rules())) == said


@pytest.mark.parametrize("one", MILVUS_SETS, ids=lambda one: one.name)
def test_what_a_milvus_server_takes_holds_for_all_that_go_to_one(one: RuleSet) -> None:
    """65,536 bytes, four vectors, 32,768 dimensions, and numbers below 2^63-1; a folder alone takes more."""
    target = one.narrow(LITE)
    assert refused(target, {"a": "x" * 65_528}) == []
    assert refused(target, {"a": "x" * 65_529}) == ["large payloads"]
    assert refused(LITE, {"a": "x" * 65_529}) == []
    assert features(decide(*vectors(4, 8), FILES, target, Rules())) == []
    assert len(features(decide(*vectors(5, 8), FILES, target, Rules()))) == 5
    assert features(decide(*vectors(1, 32_769), FILES, target, Rules())) == ["vector 'v0'"]
    last = make_batch([(IdKind.INT64, str(2**63 - 1))])
    assert mapping_for(make_schema(IdKind.INT64), last, target).target_schema.id_kinds == {STRING}
    assert mapping_for(make_schema(IdKind.INT64), last, LITE).target_schema.id_kinds == {IdKind.INT64}


@pytest.mark.parametrize("one", MILVUS_SETS, ids=lambda one: one.name)
def test_null_values_of_the_payload_only_the_older_zilliz_page_removes(one: RuleSet) -> None:
    """It asks for consent first; the others take null."""
    said = ["null values"] if one.name == "zilliz-qdrant-json" else []
    assert refused(one.narrow(LITE), {"a": None, "b": {"c": None}}) == said
    assert refused(one.narrow(LITE), {"b": {"c": None}}) == []


@pytest.mark.parametrize("one", MILVUS_SETS, ids=lambda one: one.name)
def test_keys_are_text_and_a_source_not_empty_by_the_newer_zilliz_page(one: RuleSet) -> None:
    """Numbers become VARCHAR keys there, and stay numbers elsewhere."""
    numbers = make_batch([(IdKind.UINT64, "7")])
    mapping, newer = mapping_for(make_schema(IdKind.UINT64), numbers, one.narrow(LITE)), "varchar" in one.name
    assert mapping.target_schema.id_kinds == {STRING if newer else IdKind.INT64}
    assert mapping.backward(mapping.forward(numbers)).equals(numbers)
    empty = decide(make_schema(STRING), Profile(), FILES, one.narrow(LITE), Rules())
    assert features(empty) == (["records"] if newer else [])


@pytest.mark.parametrize("url", ["chromas://api.trychroma.com/docs", "chromas://eu.api.trychroma.com/docs"])
def test_a_host_of_chroma_cloud_is_held_to_its_quotas_without_being_asked(url: str) -> None:
    """Unless `none` is named; no other target has rules by itself."""
    assert chosen(None, parse(url)) is RULE_SETS["chroma-cloud"]
    assert chosen(NONE, parse(url)) is None
    for other in ("chroma://trychroma.example.org/docs", "zilliz://x.zillizcloud.com/docs", "chroma+path:///d/docs"):
        assert chosen(None, parse(other)) is None


def test_a_profile_for_another_kind_of_target_is_wrong_usage() -> None:
    """The error says which fit."""
    with pytest.raises(BadOption, match="not for a target of qdrant://") as caught:
        chosen("chroma-cloud", parse("qdrant://localhost:6334/docs"))
    assert caught.value.advice == "profiles for it: none"
    with pytest.raises(BadOption, match="no profile is named 'zilliz'") as caught:
        chosen("zilliz", parse("zilliz://host/docs"))
    assert "zilliz-qdrant-varchar" in caught.value.advice
    assert all(chosen(one.name, parse("zilliz://host/docs")) is one for one in MILVUS_SETS)
