"""Named rule sets (`--profile NAME`): what a service or its own tools take, where that is less than the engine could.

A rule set narrows the capabilities of a target, so that the plan refuses or encodes what the service would refuse,
before anything is there. As data: each rule says what it asks, who says so, and how it narrows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vecferry.address import Address
from vecferry.capabilities import Capabilities, PayloadType
from vecferry.errors import BadOption
from vecferry.model import IdKind

__all__ = ["NONE", "RULE_SETS", "Rule", "RuleSet", "chosen"]

NONE = "none"
"""The name that turns off the rule set which a host has by itself."""

Narrow = Callable[[Capabilities], Capabilities]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it asks, in words; where that is written; and what it leaves of a target's capabilities."""

    says: str
    source: str
    narrow: Narrow


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules for targets of some `schemes`. `hosts`: endings of host names that are held to it without being asked."""

    name: str
    summary: str
    schemes: frozenset[str]
    rules: tuple[Rule, ...]
    hosts: tuple[str, ...] = ()

    def narrow(self, capabilities: Capabilities) -> Capabilities:
        """What a target can hold that is held to these rules. Never more than it could."""
        for rule in self.rules:
            capabilities = rule.narrow(capabilities)
        return replace(capabilities, engine=f"{capabilities.engine} under the rules {self.name}")


def chosen(name: str | None, target: Address) -> RuleSet | None:
    """The rule set that a target is held to: the named one, else the one of its host, else none.

    Raises BadOption for a name that nobody knows, and for one that is not of the target's kind.
    """
    if name is None:
        return next((one for one in RULE_SETS.values() if one.hosts and target.host.endswith(one.hosts)), None)
    if name == NONE:
        return None
    found = RULE_SETS.get(name)
    if found is None:
        raise BadOption(f"no profile is named {name!r}", advice=f"known are {', '.join((*RULE_SETS, NONE))}")
    if target.scheme not in found.schemes:
        fitting = ", ".join(one.name for one in RULE_SETS.values() if target.scheme in one.schemes) or "none"
        raise BadOption(
            f"the profile {name} is not for a target of {target.scheme}://", advice=f"profiles for it: {fitting}"
        )
    return found


# How rules narrow


def _at_most(part: Any, limits: dict[str, int]) -> dict[str, int]:
    """The smaller one of each limit and what stands there."""
    there = {name: getattr(part, name) for name in limits}
    return {name: limit if there[name] is None else min(limit, there[name]) for name, limit in limits.items()}


def _whole(**limits: int) -> Narrow:
    return lambda known: replace(known, **_at_most(known, limits))  # type: ignore[arg-type]


def _payload(**limits: int) -> Narrow:
    return lambda known: replace(known, payload=replace(known.payload, **_at_most(known.payload, limits)))  # type: ignore[arg-type]


def _vectors(**limits: int) -> Narrow:
    return lambda known: replace(known, vectors=replace(known.vectors, **_at_most(known.vectors, limits)))  # type: ignore[arg-type]


def _name_bytes(limit: int) -> Narrow:
    def narrow(known: Capabilities) -> Capabilities:
        rule = known.collection_names
        return known if rule is None else replace(known, collection_names=replace(rule, max_bytes=limit))

    return narrow


def _without_null(known: Capabilities) -> Capabilities:
    types = known.payload.types - {PayloadType.NULL}
    return replace(known, payload=replace(known.payload, types=types, removes_null=True))


def _text_keys(known: Capabilities) -> Capabilities:
    return replace(known, id_kinds=known.id_kinds & {IdKind.STRING})


def _not_empty(known: Capabilities) -> Capabilities:
    return replace(known, takes_empty=False)


# The rule sets

_QUOTAS = "Chroma Cloud, Quotas & Limits (docs/mintlify/cloud/quotas-limits.mdx of chromadb 1.5.9)"
_CHROMA_CLOUD = RuleSet(
    "chroma-cloud",
    "the quotas of Chroma Cloud as they come; many can be raised on request",
    frozenset({"chroma", "chromas", "chroma+path"}),
    (
        Rule("300 records in a request", _QUOTAS, _whole(max_batch_rows=300)),
        Rule(
            "10 reads and 10 writes of a collection at a time", _QUOTAS, _whole(parallel_reads=10, parallel_writes=10)
        ),
        Rule("5,000,000 records in a collection", _QUOTAS, _whole(max_records=5_000_000)),
        Rule("4,096 dimensions", _QUOTAS, _vectors(max_dimension=4096)),
        Rule("ids of 128 bytes", _QUOTAS, _whole(max_id_bytes=128)),
        Rule("collection names of 128 bytes", _QUOTAS, _name_bytes(128)),
        Rule("documents of 16,384 bytes", _QUOTAS, _whole(max_document_bytes=16_384)),
        Rule("32 metadata keys in a record", _QUOTAS, _payload(max_keys=32)),
        Rule("metadata keys of 36 bytes", _QUOTAS, _payload(max_key_bytes=36)),
        Rule("metadata values of 8,182 bytes", _QUOTAS, _payload(max_value_bytes=8182)),
    ),
    hosts=(".trychroma.com",),
)

_SERVER = "Milvus Limits, and the messages of Milvus 2.3.5"
_SERVER_RULES = (
    Rule("65,536 bytes of JSON in the dynamic field of a record", _SERVER, _payload(max_bytes=65_536)),
    Rule("4 vector fields in a collection (`proxy.maxVectorFieldNum`)", _SERVER, _vectors(max_fields=4)),
    Rule("32,768 dimensions", _SERVER, _vectors(max_dimension=32_768)),
    Rule("number ids below 2^63-1, which a server counts and never gives", _SERVER, _whole(max_number_id=2**63 - 2)),
)
_MILVUS = frozenset({"milvus+path", "milvus", "milvuss", "zilliz"})
_OLDER = "Zilliz Cloud, Migrate from Qdrant, the page with the section Mapping rules"
_NEWER = "Zilliz Cloud, Migrate from Qdrant, the page with the sections Data type mapping and Prerequisites"

RULE_SETS: dict[str, RuleSet] = {
    one.name: one
    for one in (
        _CHROMA_CLOUD,
        RuleSet(
            "milvus-server",
            "what a Milvus server takes as it comes: for a folder that is to move to one",
            _MILVUS,
            _SERVER_RULES,
        ),
        RuleSet(
            "zilliz-qdrant-json",
            "what Zilliz Cloud's own migration from Qdrant took at first: the payload as JSON without null values",
            _MILVUS,
            (*_SERVER_RULES, Rule("no null payload values: the key is removed", _OLDER, _without_null)),
        ),
        RuleSet(
            "zilliz-qdrant-varchar",
            "what Zilliz Cloud's own migration from Qdrant takes today: VARCHAR keys, no empty collections",
            _MILVUS,
            (
                *_SERVER_RULES,
                Rule("the primary key is a VARCHAR", _NEWER, _text_keys),
                Rule("a collection without records cannot be migrated", _NEWER, _not_empty),
            ),
        ),
    )
}
