"""What the records of a source are like: the counts that decisions rest on. Plain data, no records in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from vecferry.capabilities import PayloadType
from vecferry.mapping.extent import Extent
from vecferry.model import IdKind

__all__ = [
    "LONG_RECORD_BYTES",
    "LONG_VALUE_BYTES",
    "MAX_KEYS",
    "DocumentProfile",
    "KeyProfile",
    "PayloadProfile",
    "Profile",
    "VectorProfile",
]

MAX_KEYS = 10_000
"""Top-level payload keys that are counted one by one; a payload with more shows it in `more_keys`."""

LONG_VALUE_BYTES = 4096
"""Payload values up to here are not measured one by one: no store limits them more."""

LONG_RECORD_BYTES = 24_576
"""Payloads with their document up to here are not measured one by one: no store limits them more."""


@dataclass(frozen=True, slots=True)
class KeyProfile:
    """One top-level payload key: values per type, and the extremes of what stands in them at any level.

    `depth` is 0 for scalars, 1 for a list or object of scalars. `negative_zeros` counts values with -0.0.
    `long_values`: sizes of the key's own values above `LONG_VALUE_BYTES`: a string's UTF-8, the JSON of any other.
    """

    types: dict[PayloadType, int] = field(default_factory=dict)
    integer_min: int | None = None
    integer_max: int | None = None
    float_min: float | None = None
    float_max: float | None = None
    longest_string_bytes: int = 0
    depth: int = 0
    negative_zeros: int = 0
    long_values: Extent = field(default_factory=Extent)

    @property
    def values(self) -> int:
        """Records that have the key."""
        return sum(self.types.values())

    def strings(self) -> int:
        """Records whose value is a string."""
        return self.types.get(PayloadType.STRING, 0)


@dataclass(frozen=True, slots=True)
class PayloadProfile:
    """All payloads that were observed. `inexact_*` count records with a float that an inexact parser changes.

    `sizes`: bytes of canonical JSON; `key_counts`: top-level keys of a record; `longest_key_bytes`: UTF-8 of one.
    """

    rows: int = 0
    size_bytes: int = 0
    keys: dict[str, KeyProfile] = field(default_factory=dict)
    more_keys: bool = False
    special_rows: int = 0
    inexact_one_pass_rows: int = 0
    inexact_two_passes_rows: int = 0
    sizes: Extent = field(default_factory=Extent)
    key_counts: Extent = field(default_factory=Extent)
    longest_key_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DocumentProfile:
    """All documents that were observed: absent, the empty text, and others; `sizes` in bytes of UTF-8."""

    rows: int = 0
    absent: int = 0
    empty: int = 0
    present: int = 0
    longest_bytes: int = 0
    sizes: Extent = field(default_factory=Extent)


@dataclass(frozen=True, slots=True)
class VectorProfile:
    """One vector of the records that were observed. Norms are of finite vectors.

    `not_float32` counts rows with a number that float32 cannot hold exactly.
    """

    rows: int = 0
    missing: int = 0
    nonfinite: int = 0
    nonfinite_example: str = ""
    zeros: int = 0
    norm_min: float | None = None
    norm_max: float | None = None
    not_float32: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """Ids of all records; payloads, documents and vectors as far as they were observed (their own `rows` say).

    `greatest_number_id`: of the ids that are numbers. `id_sizes`: bytes of UTF-8. `with_document`: payloads above
    `LONG_RECORD_BYTES` as they are with their document in them, as JSON text; the document's key is not counted.
    """

    rows: int = 0
    id_kinds: dict[IdKind, int] = field(default_factory=dict)
    uuid_texts: int = 0
    empty_ids: int = 0
    negative_ids: int = 0
    longest_id_bytes: int = 0
    id_sizes: Extent = field(default_factory=Extent)
    greatest_number_id: int | None = None
    duplicate_ids: int = 0
    duplicate_examples: tuple[str, ...] = ()
    payload: PayloadProfile = field(default_factory=PayloadProfile)
    documents: DocumentProfile = field(default_factory=DocumentProfile)
    with_document: Extent = field(default_factory=Extent)
    vectors: dict[str, VectorProfile] = field(default_factory=dict)
