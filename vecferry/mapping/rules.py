"""What the user asked for, and the words in which decisions speak."""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.model import Decision, Filterable, Metric, Outcome

__all__ = ["Rules", "counted", "exact", "free_name", "quoted", "refused", "vector_label"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Wishes for the mapping.

    `document_field`: the payload key that a document goes to, or comes from; `""`: none comes from there.
    `metric`: for a source that records none, or to change it. `id_field`, `side_field`: payload keys for
    originals of ids and for values that the target cannot hold. `consent`: losses agreed to, by name.
    `aliases_stay`: why no alias is made for the new collection, else nothing. `target_name`: the new collection's.
    """

    document_field: str = "text"
    metric: Metric | None = None
    id_field: str = "vecferry_id"
    side_field: str = "vecferry_payload"
    consent: frozenset[str] = frozenset()
    aliases_stay: str = ""
    target_name: str = ""


def exact(feature: str, detail: str, filterable: Filterable = Filterable.NOT_APPLICABLE) -> Decision:
    """Nothing changes."""
    return Decision(feature, Outcome.EXACT, detail, filterable)


def refused(feature: str, detail: str, advice: str, rows: int | None = None) -> Decision:
    """It cannot be done so."""
    return Decision(feature, Outcome.REFUSED, detail, rows=rows, advice=advice)


def counted(count: int, noun: str) -> str:
    """`1 record`, `1,200 records`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def quoted(key: str) -> str:
    """A name for a sentence, cut when it is long."""
    return repr(key if len(key) <= 60 else key[:57] + "...")


def vector_label(name: str) -> str:
    """How decisions name a vector."""
    return f"vector {name!r}" if name else "vector"


def free_name(wanted: str, taken: frozenset[str]) -> str:
    """The wanted payload key, with as many `_` behind it as it takes to be free."""
    name = wanted
    while name in taken:
        name += "_"
    return name
