"""The words of vecferry as frozen data: ids, schemas, slices, decisions, receipts, findings, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "ALL_PARTS",
    "IDS_ONLY",
    "CollectionSchema",
    "DType",
    "Decision",
    "Digest",
    "Feature",
    "Filterable",
    "Finding",
    "IdKind",
    "Level",
    "LevelResult",
    "LevelState",
    "Metric",
    "Outcome",
    "Part",
    "Receipt",
    "RecordId",
    "Slice",
    "VectorField",
    "VectorKind",
    "Verdict",
    "VerdictState",
]

JsonObject = Mapping[str, Any]


class IdKind(StrEnum):
    """How a store types an id. `"12"` (string) and `12` (uint64) are two ids."""

    UINT64 = "uint64"
    INT64 = "int64"
    UUID = "uuid"
    STRING = "string"


@dataclass(frozen=True, slots=True, order=True)
class RecordId:
    """A typed id: its kind and its canonical text (a UUID is lower case with hyphens)."""

    kind: IdKind
    text: str

    def __str__(self) -> str:
        return self.text if self.kind is not IdKind.STRING else repr(self.text)


class VectorKind(StrEnum):
    """Dense: one row of numbers. Sparse: indices and values. Multi: several rows."""

    DENSE = "dense"
    SPARSE = "sparse"
    MULTI = "multi"


class DType(StrEnum):
    """The stored type of a vector's numbers."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    UINT8 = "uint8"
    INT8 = "int8"


class Metric(StrEnum):
    """What a store's score means. `SQUARED_EUCLID` is what Chroma and FAISS call l2."""

    COSINE = "cosine"
    DOT = "dot"
    EUCLID = "euclid"
    SQUARED_EUCLID = "squared_euclid"
    MANHATTAN = "manhattan"


class Part(StrEnum):
    """The parts of a record that are hashed and read on their own."""

    VECTORS = "vectors"
    PAYLOAD = "payload"
    DOCUMENT = "document"


ALL_PARTS = frozenset(Part)
IDS_ONLY: frozenset[Part] = frozenset()


@dataclass(frozen=True, slots=True)
class VectorField:
    """One named vector of a collection; the unnamed one has the name `""`.

    `dimension` is None for sparse vectors and where no row has shown it yet.
    `metric` is None where the store has no notion of one (files).
    """

    name: str = ""
    kind: VectorKind = VectorKind.DENSE
    dtype: DType = DType.FLOAT32
    dimension: int | None = None
    metric: Metric | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """Something of a collection that does not travel as records: an index, an alias, a setting.

    `engine` is the kind of engine whose setting this is (`"qdrant"`), `settings` what another collection of that
    kind can be given: `{"kind": "hnsw_config", "key": "m", "value": 16}`, with `"vector"` where it is one vector's.
    None where it can only be told.
    """

    name: str
    value: str
    engine: str = ""
    settings: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class CollectionSchema:
    """What a collection is, as its store says.

    `mark` is what vecferry wrote into the collection when it made it (None: it did not).
    `missing_vectors` counts rows known to lack their vector.
    `features` lists what the store has beside records.
    `dialect` says how files were understood, in words for the plan.
    `losses` are what its store cannot give back as it was put in: lossy decisions that every plan takes over.
    """

    name: str
    vectors: tuple[VectorField, ...]
    id_kinds: frozenset[IdKind]
    has_document: bool = False
    features: tuple[Feature, ...] = ()
    mark: JsonObject | None = None
    missing_vectors: int = 0
    dialect: str = ""
    notes: tuple[str, ...] = ()
    losses: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """A stored description of which records: `bounds` is JSON that only its store understands."""

    number: int
    bounds: JsonObject
    rows: int | None = None


class Outcome(StrEnum):
    """What happens to a feature on its way."""

    EXACT = "exact"
    ENCODED = "encoded"
    LOSSY = "lossy"
    REFUSED = "refused"


class Filterable(StrEnum):
    """Whether the target can still filter by a feature as the source could."""

    SAME = "same"
    CHANGED = "changed"
    LOST = "lost"
    NOT_APPLICABLE = "-"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the mapping does to one feature. `rows` counts the records concerned, where counted.

    A lossy decision needs its `consent` name in the configuration. `advice` says how to change it.
    """

    feature: str
    outcome: Outcome
    detail: str
    filterable: Filterable = Filterable.NOT_APPLICABLE
    rows: int | None = None
    consent: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Digest:
    """Records as a number that does not depend on their order: count, and hashes added mod 2^128."""

    count: int = 0
    total: int = 0

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.count + other.count, (self.total + other.total) % 2**128)

    def __sub__(self, other: Digest) -> Digest:
        return Digest(self.count - other.count, (self.total - other.total) % 2**128)

    def __str__(self) -> str:
        return f"{self.count}-{self.total:032x}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest that `str()` wrote."""
        count, total = text.split("-")
        return cls(int(count), int(total, 16))


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that one part was written to the archive: its path in the collection's folder and checksum."""

    number: int
    path: str
    rows: int
    size_bytes: int
    sha256: str
    digest: str
    id_min: str | None = None
    id_max: str | None = None


class Level(StrEnum):
    """The validation ladder."""

    SCHEMA = "V0"
    COUNT = "V1"
    IDS = "V2"
    PAYLOAD = "V3"
    VECTORS = "V4"
    EXACT_KNN = "V5"
    RECALL = "V6"
    SCORES = "V7"
    LATENCY = "V8"


class LevelState(StrEnum):
    """How a level ended. "Not checked" is never "ok"."""

    VERIFIED = "verified"
    MISMATCHED = "mismatched"
    SUSPENDED = "suspended"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: which level saw it, in which record, and what differs."""

    level: Level
    kind: str
    detail: str
    record_id: str | None = None


@dataclass(frozen=True, slots=True)
class LevelResult:
    """What one level compared, the bound that this proves, and the differences (`findings` may be cut)."""

    level: Level
    state: LevelState
    checked: int = 0
    differences: int = 0
    within_tolerance: int = 0
    bound: str = ""
    findings: tuple[Finding, ...] = ()


class VerdictState(StrEnum):
    """The answer to "did it arrive?"."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_FINISHED = "not finished"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All levels' results. It is `same` only when every gating level is verified."""

    state: VerdictState
    levels: tuple[LevelResult, ...] = field(default=())
