"""What a survey of all records found, as data. Beside `mapping.Profile`, which holds what decisions rest on."""

from __future__ import annotations

from dataclasses import dataclass, field

from vecferry.model import DType

__all__ = ["KeySurvey", "Survey", "TextSurvey", "VectorSurvey"]


@dataclass(frozen=True, slots=True)
class KeySurvey:
    """One top-level payload key.

    `values`: records that have it. `distinct`: different values; where `distinct_exact` is false an estimate
    (`distinct.py`). `longest_bytes`: the longest string (its UTF-8), list or object (its JSON), in the record
    `longest_id`; 0 where there is none. `top`: the most common values as JSON and how often, where the key has few
    enough different ones to count each.
    """

    values: int = 0
    distinct: int = 0
    distinct_exact: bool = True
    longest_bytes: int = 0
    longest_id: str = ""
    top: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TextSurvey:
    """All documents: how many there are, their UTF-8 bytes, and the longest with the id of its record."""

    present: int = 0
    size_bytes: int = 0
    longest_bytes: int = 0
    longest_id: str = ""


@dataclass(frozen=True, slots=True)
class VectorSurvey:
    """One vector of all records.

    `present` records have it, `missing` lack it. `rows`: rows of numbers (those of a multi-vector count one by one;
    a sparse vector is one), `numbers`: all numbers in them. `nonfinite`, `zeros`, `unit` count rows with NaN or
    infinity, of zeros alone, of length 1 (within `UNIT_TOLERANCE`). Norms are of finite rows. `repeats`: records
    whose vector equals, byte for byte, that of an earlier one, where `repeats_exact` is false an estimate.
    `smallest_dtype` holds every number exactly; None where there is none.
    """

    present: int = 0
    missing: int = 0
    rows: int = 0
    numbers: int = 0
    nonfinite: int = 0
    nonfinite_example: str = ""
    zeros: int = 0
    zero_example: str = ""
    unit: int = 0
    norm_min: float | None = None
    norm_mean: float | None = None
    norm_max: float | None = None
    repeats: int = 0
    repeats_exact: bool = True
    repeat_example: str = ""
    smallest_dtype: DType | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """All that was found. `vectors` is empty where vectors were not read; `more_keys`: some keys are not in `keys`."""

    rows: int = 0
    id_bytes: int = 0
    keys: dict[str, KeySurvey] = field(default_factory=dict)
    more_keys: bool = False
    payload_bytes: int = 0
    payload_values: int = 0
    documents: TextSurvey = field(default_factory=TextSurvey)
    vectors: dict[str, VectorSurvey] = field(default_factory=dict)
