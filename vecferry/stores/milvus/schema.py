"""A collection's description as vecferry's schema, and the description of one to be made.

What a migration leaves with a collection is JSON under the key `vecferry`: the mark, the names of vectors that
cannot be those of their fields, and the metrics, which else stand in the indexes alone. A server keeps it as the
collection's description, milvus-lite, which forgets descriptions, as a property.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from vecferry import canonical
from vecferry.address import Address
from vecferry.errors import BadOption
from vecferry.model import CollectionSchema, Feature, IdKind, JsonObject, VectorField, VectorKind
from vecferry.stores.milvus.layout import DYNAMIC, METRICS, UNNAMED, Layout, layout_of

__all__ = ["Found", "collection_request", "collection_schema", "described", "field_name", "pairs", "wished_key"]

_OURS = "vecferry"
_KEY_NAME = "id"
_KEY_BYTES = 65_535  # Milvus's longest VARCHAR, in bytes of UTF-8
_DEFAULT_PARTITION = "_default"
_type = schema_pb2.DataType.Value
_KEY_TYPES = {IdKind.INT64: _type("Int64"), IdKind.STRING: _type("VarChar")}


@dataclass(frozen=True, slots=True)
class Found:
    """What Milvus says of a collection: messages of several calls. `indexes` are `IndexDescription`s."""

    answer: Any
    indexes: Sequence[Any] = ()
    partitions: Sequence[str] = ()
    aliases: Sequence[str] = ()
    url: str = ""
    ours: Mapping[str, Any] = field(default_factory=dict)
    lite: bool = False
    partition_rows: Mapping[str, int] = field(default_factory=dict)
    partition_field: str = ""

    @property
    def partition_key(self) -> str:
        """The field whose values choose the partition, if there is one: Milvus made the partitions then."""
        return next((one.name for one in self.answer.schema.fields if one.is_partition_key), "")

    @property
    def layout(self) -> Layout:
        """Its fields."""
        metrics = dict(self.ours.get("metrics", {}))
        metrics |= {index.field_name: _params(index).get("metric_type", "") for index in self.indexes}
        return layout_of(self.answer.schema, metrics, self.ours.get("vectors", {}), self.url, lite=self.lite)


def described(
    answer: Any, indexes: Sequence[Any], partitions: Sequence[str], aliases: Sequence[str], url: str, *, lite: bool
) -> Found:
    """The answers of Milvus with what a migration left among them."""
    return Found(answer, indexes, partitions, aliases, url, _ours(answer), lite)


def _ours(answer: Any) -> Mapping[str, Any]:
    texts = [pair.value for pair in answer.properties if pair.key == _OURS]
    for text in (*texts, answer.schema.description):
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict) and isinstance(found.get(_OURS), dict):
            ours: Mapping[str, Any] = found[_OURS]
            return ours
    return {}


def collection_schema(found: Found, name: str) -> CollectionSchema:
    """The schema as vecferry has it."""
    layout = found.layout
    mark = found.ours.get("mark")
    return CollectionSchema(
        name=name,
        vectors=layout.fields,
        id_kinds=frozenset({layout.key.kind}),
        features=tuple(_features(found, layout)),
        mark=mark if isinstance(mark, dict) else None,
        notes=tuple(_notes(found, layout)),
    )


def _notes(found: Found, layout: Layout) -> Iterator[str]:
    if found.partition_field:
        yield f"the partition of each record is read as the key {found.partition_field!r} of its payload"
    for place in layout.vectors:
        if place.data_type == _type("BFloat16Vector"):
            yield f"vector {place.vector.name!r} is stored as bfloat16 and read as float32, which holds each of them"
    if layout.scalars:
        names = ", ".join(scalar.field for scalar in layout.scalars)
        yield f"typed fields are read as keys of the payload: {names}"


def _features(found: Found, layout: Layout) -> Iterator[Feature]:
    schema = found.answer.schema
    for index in found.indexes:
        yield Feature(f"index of field {index.field_name!r}", canonical.encode(_params(index)).decode())
    for one in schema.fields:
        if not one.is_dynamic and one.name != DYNAMIC:
            yield Feature(f"type of field {one.name!r}", _field_text(one))
    for function in schema.functions:
        made = ", ".join(function.output_field_names)
        yield Feature(f"function {function.name!r}", f"makes {made} of {', '.join(function.input_field_names)}")
    yield from _partition_features(found)
    yield from (Feature("alias", name) for name in sorted(found.aliases))
    if schema.description and not found.ours:
        yield Feature("description", schema.description)
    yield from (Feature(f"property {pair.key!r}", pair.value) for pair in found.answer.properties if pair.key != _OURS)
    if layout.key.generated:
        yield Feature("Auto ID", "Milvus makes the ids itself; those of stored records are read")
    if found.answer.consistency_level:
        yield Feature("consistency level", common_pb2.ConsistencyLevel.Name(found.answer.consistency_level))


def _partition_features(found: Found) -> Iterator[Feature]:
    """Partitions as such stay behind; which one a record is in can be read as a key of its payload."""
    if found.partition_key:
        parts = f"{len(found.partitions):,} partitions"
        yield Feature("partition key", f"{found.partition_key!r} spreads the records over {parts}")
    elif set(found.partitions) - {_DEFAULT_PARTITION}:
        for name in found.partitions:
            rows = found.partition_rows.get(name)
            count = "" if rows is None else f"{rows:,} record{'s' * (rows != 1)}; "
            kept = "" if found.partition_field else "; ?partition_field=KEY tells each record's in its payload"
            yield Feature(f"partition {name!r}", f"{count}read together with all others{kept}")


def _field_text(one: Any) -> str:
    words = [schema_pb2.DataType.Name(one.data_type)]
    words += [f"{pair.key}={pair.value}" for pair in one.type_params]
    flags = {
        "primary key": one.is_primary_key,
        "partition key": one.is_partition_key,
        "clustering key": one.is_clustering_key,
        "nullable": one.nullable,
        "default": one.default_value.WhichOneof("data"),
    }
    return ", ".join(words + [name for name, holds in flags.items() if holds])


def _params(index: Any) -> dict[str, Any]:
    """The settings of an index: some servers give them one by one, some as JSON in one."""
    found: dict[str, Any] = {}
    for pair in index.params:
        if pair.key == "params":
            found.update(json.loads(pair.value or "{}"))
        else:
            found[pair.key] = pair.value
    return found


# Making one


def wished_key(address: Address) -> IdKind | None:
    """The option `ids`: the kind of ids of a collection that is made (BadOption for one that Milvus has not).

    None where nobody named one: the kind that suits the ids.
    """
    text = address.options.get("ids")
    if text is None:
        return None
    if text not in (IdKind.STRING.value, IdKind.INT64.value):
        raise BadOption(f"ids={text} is no kind of ids that Milvus has", advice="ids=string or ids=int64")
    return IdKind(text)


def field_name(vector: VectorField) -> str:
    """The field of a vector."""
    return vector.name or UNNAMED


def pairs(values: Mapping[str, str]) -> list[Any]:
    """Settings as Milvus takes them."""
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]


def collection_request(name: str, schema: CollectionSchema, mark: JsonObject, *, lite: bool) -> Any:
    """The request that makes a collection: a key that we give, a field a vector, the payload in the dynamic field."""
    renamed = {field_name(one): one.name for one in schema.vectors if one.name == UNNAMED}
    metrics = {field_name(one): METRICS[one.metric] for one in schema.vectors if one.metric}
    ours = canonical.encode({_OURS: {"mark": dict(mark), "vectors": renamed, "metrics": metrics}}).decode()
    made = schema_pb2.CollectionSchema(name=name, enable_dynamic_field=True, description="" if lite else ours)
    kind = IdKind.INT64 if schema.id_kinds == {IdKind.INT64} else IdKind.STRING
    limit = {"max_length": str(_KEY_BYTES)} if kind is IdKind.STRING else {}
    made.fields.add(name=_KEY_NAME, data_type=_KEY_TYPES[kind], is_primary_key=True, type_params=pairs(limit))
    for one in schema.vectors:
        if one.kind is VectorKind.SPARSE:
            made.fields.add(name=field_name(one), data_type=_type("SparseFloatVector"))
        else:
            size = pairs({"dim": str(one.dimension)})
            made.fields.add(name=field_name(one), data_type=_type("FloatVector"), type_params=size)
    return milvus_pb2.CreateCollectionRequest(
        collection_name=name,
        schema=made.SerializeToString(),
        consistency_level=common_pb2.ConsistencyLevel.Value("Bounded"),
        properties=pairs({_OURS: ours} if lite else {}),
    )
