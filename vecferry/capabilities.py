"""What a store can hold and how it behaves, as data that the planner reads."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from vecferry.model import DType, IdKind, Metric, VectorKind

__all__ = [
    "EVERY_VECTOR",
    "Capabilities",
    "FloatText",
    "NameRule",
    "PayloadSupport",
    "PayloadType",
    "VectorSupport",
]


class FloatText(StrEnum):
    """How a store keeps the floats of a payload.

    `EXACT`: bit for bit. `ONE_PASS`, `TWO_PASSES`: it parses decimal text inexactly, once or twice;
    `vecferry.mapping.floats` predicts the result to the bit.
    """

    EXACT = "exact"
    ONE_PASS = "one inexact decimal pass"
    TWO_PASSES = "two inexact decimal passes"


class PayloadType(StrEnum):
    """Types of one payload value. Lists are told apart by what they hold."""

    NULL = "null"
    BOOL = "bool"
    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    OBJECT = "object"
    EMPTY_LIST = "empty list"
    STRING_LIST = "list of strings"
    INTEGER_LIST = "list of integers"
    FLOAT_LIST = "list of floats"
    BOOL_LIST = "list of bools"
    MIXED_LIST = "list of mixed types"
    SPECIAL = "value that JSON cannot say"


@dataclass(frozen=True, slots=True)
class NameRule:
    """Names that a store takes: `pattern` is a regular expression for the whole name, `words` is the rule for people.

    `max_bytes`: in UTF-8. `reserved`: names that are taken already, in lower case; no spelling of them is free.
    """

    pattern: str
    words: str
    max_bytes: int | None = None
    reserved: frozenset[str] = frozenset()

    def takes(self, name: str) -> bool:
        """Whether something could bear this name."""
        if self.max_bytes is not None and len(name.encode("utf-8", "surrogatepass")) > self.max_bytes:
            return False
        return re.fullmatch(self.pattern, name) is not None and name.casefold() not in self.reserved


@dataclass(frozen=True, slots=True)
class VectorSupport:
    """Vectors that a store can hold.

    `normalises`: metrics under which it stores unit vectors. `missing`: a record may lack a vector.
    `distorts`: metrics under which a stored vector comes back changed by rounding.
    `share_keys`: vectors and payload keys share one set of names, so a key may not be a vector's name.
    `max_fields`: vectors of one collection. `names`: what a named vector may be called (None: anything);
    `unnamed_field`: the name that the unnamed vector takes there, so that no other may have it.
    """

    kinds: frozenset[VectorKind] = frozenset({VectorKind.DENSE})
    dtypes: frozenset[DType] = frozenset({DType.FLOAT32})
    metrics: frozenset[Metric] = frozenset()
    max_dimension: int | None = None
    named: bool = False
    missing: bool = False
    nonfinite: bool = False
    normalises: frozenset[Metric] = frozenset()
    distorts: frozenset[Metric] = frozenset()
    share_keys: bool = False
    max_fields: int | None = None
    names: NameRule | None = None
    unnamed_field: str = ""


EVERY_VECTOR = VectorSupport(
    kinds=frozenset(VectorKind),
    dtypes=frozenset(DType),
    metrics=frozenset(Metric),
    named=True,
    missing=True,
    nonfinite=True,
)
"""Whatever a record can hold, unchanged."""


@dataclass(frozen=True, slots=True)
class PayloadSupport:
    """Payload values that a store keeps as they are; anything else goes into a side field as JSON text.

    `negative_zero`: -0.0 stays. `max_depth`: nested objects and lists, 1 for scalars' own object.
    `reserved_prefixes`: top-level keys may not start so (`""` alone forbids nothing);
    `empty_key`: the key `""` is taken. `removes_null`: a top-level null is not put aside, its key is left out.
    Sizes in bytes of UTF-8: `max_bytes` of the whole canonical JSON, `max_value_bytes` of one top-level value (a
    string's own bytes, the JSON text of any other), `max_key_bytes` of a top-level key. `max_keys`: of one record.
    Keys too long or too many are put aside; a record that is too large as a whole cannot be held.
    """

    types: frozenset[PayloadType] = frozenset(PayloadType)
    integer_min: int | None = None
    integer_max: int | None = None
    float_text: FloatText = FloatText.EXACT
    negative_zero: bool = True
    max_depth: int | None = None
    empty_key: bool = True
    reserved_keys: frozenset[str] = frozenset()
    reserved_prefixes: tuple[str, ...] = ()
    removes_null: bool = False
    max_bytes: int | None = None
    max_value_bytes: int | None = None
    max_keys: int | None = None
    max_key_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Everything that the planner, the runner and the reports need to know of a store.

    `stores_metric`: the collection itself records its metric.
    `document`: a document is a field of its own. `max_id_bytes`: UTF-8 length of string ids.
    `empty_id`: a string id may be the empty text.
    `one_id_kind`: a collection holds ids of one of `id_kinds`, chosen when it is made.
    `max_number_id`: the greatest id that is a number. `max_document_bytes`: UTF-8 length of a document.
    `max_records`: of one collection. `takes_empty`: a collection without records can be made.
    `collection_names`: what a collection may be called (None: anything).
    `one_process`: only one process may have it open, so process, Dask and Ray runners are refused.
    `parallel_reads`, `parallel_writes`: how many slices at once bring a gain and are safe.
    `cheap_vectors`: reading vectors costs little more than reading ids (files, embedded stores).
    `returns_same_bits`: a read after reopening gives the bits that a read gave before.
    `touched_on_open`: what the engine itself changes when it is opened, in words.
    `takes_writes`: it can be a target.
    `carries`: settings of a source's collection that `create` gives the new one: `ENGINE:KIND` for all of a kind,
    `ENGINE:KIND.KEY` for one (see `Feature.settings`).
    """

    store: str
    engine: str
    id_kinds: frozenset[IdKind]
    vectors: VectorSupport = field(default_factory=VectorSupport)
    payload: PayloadSupport = field(default_factory=PayloadSupport)
    document: bool = False
    stores_metric: bool = True
    max_id_bytes: int | None = None
    empty_id: bool = True
    one_id_kind: bool = False
    max_number_id: int | None = None
    max_document_bytes: int | None = None
    max_records: int | None = None
    takes_empty: bool = True
    collection_names: NameRule | None = None
    one_process: bool = False
    parallel_reads: int = 1
    parallel_writes: int = 1
    max_batch_rows: int = 1000
    max_batch_bytes: int = 8 << 20
    cheap_vectors: bool = False
    returns_same_bits: bool = True
    takes_writes: bool = True
    aliases: bool = False
    touched_on_open: str = ""
    carries: frozenset[str] = frozenset()
