"""The mapping of one migration: all families decided together, and the batches that come of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import plain
from vecferry.capabilities import Capabilities
from vecferry.errors import BadRecord
from vecferry.mapping.collection import decide_collection
from vecferry.mapping.document import DocumentCodec, DocumentInPayload, decide_document, document_from_json
from vecferry.mapping.draft import Draft
from vecferry.mapping.features import split
from vecferry.mapping.id_decisions import decide_ids
from vecferry.mapping.ids import DerivedIds, IdCodec, ids_from_json
from vecferry.mapping.metrics import METRIC_CONSENT
from vecferry.mapping.oversized import OVERSIZED_CONSENT
from vecferry.mapping.payload import PayloadCodec, decide_payload
from vecferry.mapping.profile import Profile
from vecferry.mapping.rules import Rules, free_name
from vecferry.mapping.sizes import NO_LIMITS, SizeLimits, decide_sizes
from vecferry.mapping.vector_decisions import decide_vectors
from vecferry.mapping.vectors import Tolerance, VectorCodec
from vecferry.model import CollectionSchema, Decision, Feature, IdKind, JsonObject, Metric, Outcome, VectorKind

__all__ = ["Mapping", "decide"]

VERSION = 1

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Mapping:
    """How records of the source become records of the target, and back.

    `source_schema` and `target_schema` hold what the mapping knows of both sides: vectors, kinds of ids,
    documents. `decisions` are what people read; `consent` names the losses that were agreed to.
    `carried` are settings that the target is created with, `sizes` the most that it takes of one record.
    """

    ids: IdCodec
    vectors: VectorCodec
    document: DocumentCodec
    payload: PayloadCodec
    source_schema: CollectionSchema
    decisions: tuple[Decision, ...] = ()
    not_moved: tuple[Feature, ...] = ()
    consent: frozenset[str] = frozenset()
    carried: tuple[Feature, ...] = ()
    sizes: SizeLimits = NO_LIMITS

    @property
    def target_schema(self) -> CollectionSchema:
        """The schema to create the target with, under the source's name."""
        fields = tuple(target for _, target, _ in self.vectors.moved())
        kinds, name = self.ids.target_kinds, self.source_schema.name
        return CollectionSchema(name, fields, kinds, self.document.in_target, self.carried)

    @property
    def tolerances(self) -> dict[str, Tolerance]:
        """How near vectors must come back, by their names in the target."""
        return self.vectors.tolerances()

    def refusals(self) -> tuple[Decision, ...]:
        """Decisions that stop the migration: refused, or a loss that nobody agreed to."""
        return tuple(
            decision
            for decision in self.decisions
            if decision.outcome is Outcome.REFUSED
            or (decision.outcome is Outcome.LOSSY and decision.consent not in self.consent)
        )

    def forward(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The records to write. Hashes are dropped; parts that were not read stay out.

        Raises BadRecord, naming the id, for a record that the plan does not cover, ValueError when
        documents go into payloads and only one of the two was read.
        """
        mapped = self._mapped(self._with_vectors(batch))
        exceeded = self.sizes.exceeded(mapped)
        return mapped.filter(pa.array(~exceeded)) if exceeded.any() else mapped

    def _mapped(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        draft = Draft(batch)
        self.payload.encode(draft)
        self.document.encode(draft)
        self.ids.encode(draft)
        self.vectors.encode(draft)
        return draft.finish()

    def expected(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What reading the target back must give for these records, vectors within `tolerances`."""
        found = self.forward(batch)
        if columns.PAYLOAD not in found.schema.names:
            return found
        payloads = self.payload.predicted(found.column(columns.PAYLOAD))
        at = found.schema.get_field_index(columns.PAYLOAD)
        return found.set_column(at, found.schema.field(at), payloads)

    def backward(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Records of the target in the source's terms: the inverse of `forward`.

        Floats that the target changed stay changed, unit vectors stay unit vectors: the archive has the
        originals. Vectors that stayed behind have no column. Raises ValueError when the payload was not
        read and the original ids stand in it.
        """
        draft = Draft(batch)
        self.vectors.decode(draft)
        self.ids.decode(draft)
        self.document.decode(draft)
        self.payload.decode(draft)
        return draft.finish()

    def left_behind(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Ids of the records of a source batch that do not travel, which was agreed to: they lack a vector, or are
        too large."""
        names = [columns.ID, columns.ID_KIND]
        return batch.select(names).filter(pa.array(self._staying(batch)))

    def travelling(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The records that travel: the batch without `left_behind`."""
        staying = self._staying(batch)
        return batch.filter(pa.array(~staying)) if staying.any() else batch

    def _staying(self, batch: pa.RecordBatch) -> Mask:
        """`(n,) bool`. Raises BadRecord for a record that the target cannot hold, where nobody agreed to that."""
        staying = self.vectors.left_behind(batch)
        suspects = np.flatnonzero(self.sizes.suspects(batch) & ~staying)
        if len(suspects):
            staying[suspects] = self.sizes.exceeded(self._mapped(batch.take(pa.array(suspects))))
        return staying

    def _with_vectors(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        lacking = self.vectors.left_behind(batch)
        return batch.filter(pa.array(~lacking)) if lacking.any() else batch

    def original_schema(self, found: CollectionSchema) -> CollectionSchema:
        """The schema in the source's terms of a target that its store describes as `found`.

        A metric that the source did not record, and somebody named, stays known.
        """
        fields = tuple(
            replace(source, metric=source.metric or target.metric) for source, target, _ in self.vectors.moved()
        )
        original = self.source_schema
        return replace(found, vectors=fields, id_kinds=original.id_kinds, has_document=original.has_document, mark=None)

    def to_mark(self) -> dict[str, Any]:
        """What the target must bear so that its records can be read as they were: the codecs alone."""
        return {
            "version": VERSION,
            "ids": self.ids.to_json(),
            "vectors": self.vectors.to_json(),
            "document": self.document.to_json(),
            "payload": self.payload.to_json(),
            "sizes": self.sizes.to_json(),
            "source": {
                "name": self.source_schema.name,
                "id_kinds": sorted(self.source_schema.id_kinds),
                "has_document": self.source_schema.has_document,
            },
        }

    def to_json(self) -> dict[str, Any]:
        """The whole mapping as plain JSON, decisions included."""
        return {
            **self.to_mark(),
            "decisions": plain.to_plain(self.decisions),
            "not_moved": plain.to_plain(self.not_moved),
            "carried": plain.to_plain(self.carried),
            "consent": sorted(self.consent),
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Mapping:
        """The mapping that `to_json` or `to_mark` wrote. Raises BadRecord for one of a later version."""
        if data["version"] != VERSION:
            raise BadRecord(
                f"the mapping is of version {data['version']}, this vecferry knows {VERSION}",
                advice="use the vecferry that made it, or a later one",
            )
        vectors, source = VectorCodec.from_json(data["vectors"]), data["source"]
        return cls(
            ids_from_json(data["ids"]),
            vectors,
            document_from_json(data["document"]),
            PayloadCodec.from_json(data["payload"]),
            CollectionSchema(
                source["name"],
                tuple(step.source for step in vectors.steps),
                frozenset(map(IdKind, source["id_kinds"])),
                source["has_document"],
            ),
            plain.from_plain(tuple[Decision, ...], data.get("decisions", [])),
            plain.from_plain(tuple[Feature, ...], data.get("not_moved", [])),
            frozenset(data.get("consent", [])),
            plain.from_plain(tuple[Feature, ...], data.get("carried", [])),
            SizeLimits.from_json(data.get("sizes", {})),
        )


def decide(
    schema: CollectionSchema,
    profile: Profile,
    source_capabilities: Capabilities,
    target_capabilities: Capabilities,
    rules: Rules,
    obstacles: dict[str, str] | None = None,
) -> Mapping:
    """What happens to every feature of the source on its way to the target.

    `obstacles`: why the target cannot take a setting, by its name (`Target.obstacles`).
    """
    schema, target = _with_metric(schema, rules.metric), target_capabilities
    taken = frozenset(profile.payload.keys)
    ids, of_ids = decide_ids(schema, profile, target, rules, taken)
    document, of_document = decide_document(schema, profile, target, rules, taken)
    vectors, of_vectors = decide_vectors(schema, profile, target, rules)
    side_field = free_name(rules.side_field, taken | {ids.field, document.field})
    own_keys = _own_keys(ids, document) | {side_field}
    reserved = own_keys | _names(vectors) if target.vectors.share_keys else own_keys
    payload = decide_payload(profile.payload, profile.rows, target, side_field, reserved, rules.consent)
    drop = OVERSIZED_CONSENT in rules.consent
    sizes, of_sizes = decide_sizes(profile, target, ids, document, payload, drop=drop)
    pairs = [(before, after) for before, after, _ in vectors.moved()]
    settings = split(schema.features, target.carries, pairs, obstacles or {}, rules.aliases_stay)
    whole = decide_collection(profile, target, rules, own_keys)
    named = frozenset() if rules.metric is None else frozenset({METRIC_CONSENT})
    return Mapping(
        ids,
        vectors,
        document,
        payload.codec,
        replace(schema, features=(), mark=None, missing_vectors=0, dialect="", notes=(), losses=()),
        (
            *whole,
            *schema.losses,
            *of_ids,
            *of_vectors,
            *of_document,
            *payload.decisions,
            *of_sizes,
            *settings.decisions,
        ),
        settings.not_moved,
        rules.consent | named,
        settings.carried,
        sizes,
    )


def _own_keys(ids: IdCodec, document: DocumentCodec) -> frozenset[str]:
    """Payload keys that codecs write, the side field apart."""
    found = {ids.field} if isinstance(ids, DerivedIds) else set()
    return frozenset(found | ({document.field} if isinstance(document, DocumentInPayload) else set()))


def _names(vectors: VectorCodec) -> frozenset[str]:
    """Names in the target of the vectors that have one."""
    return frozenset(target.name for _, target, _ in vectors.moved()) - {""}


def _with_metric(schema: CollectionSchema, metric: Metric | None) -> CollectionSchema:
    """A source that records no metric has the one that somebody named, also on the way back."""
    dense = (
        field if field.kind is VectorKind.SPARSE else replace(field, metric=field.metric or metric)
        for field in schema.vectors
    )
    return replace(schema, vectors=tuple(dense))
