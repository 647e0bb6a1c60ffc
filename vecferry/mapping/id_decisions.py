"""What happens to ids, and why."""

from __future__ import annotations

from dataclasses import replace

from vecferry.capabilities import Capabilities
from vecferry.mapping.ids import DerivedIds, IdCodec, NumberIds, SameIds, TextIds
from vecferry.mapping.oversized import oversized
from vecferry.mapping.profile import Profile
from vecferry.mapping.rules import Rules, counted, exact, free_name, quoted, refused
from vecferry.model import CollectionSchema, Decision, IdKind, Outcome

__all__ = ["decide_ids"]

_INT64_MAX = 2**63 - 1


def decide_ids(
    schema: CollectionSchema, profile: Profile, target: Capabilities, rules: Rules, taken: frozenset[str]
) -> tuple[IdCodec, list[Decision]]:
    """How ids travel. `taken` are the payload keys of the source."""
    seen = frozenset(profile.id_kinds) or schema.id_kinds
    target = _with_one_kind(profile, target, seen)
    duplicates = _refuse_duplicates(profile)
    codec: IdCodec
    if seen <= target.id_kinds and (target.empty_id or not profile.empty_ids) and _in_range(profile, target):
        codec = SameIds((schema.id_kinds | seen) & target.id_kinds, target.empty_id)
        decision = exact("ids", f"stay what they are ({', '.join(sorted(seen))})")
    elif IdKind.STRING in target.id_kinds:
        codec, decision = _as_text(schema, profile, seen)
    elif target.id_kinds == NumberIds.target_kinds and _are_numbers(profile, target, seen):
        codec, decision = _as_numbers(profile, target)
    elif target.id_kinds >= DerivedIds.target_kinds:
        codec, decision = _derived(profile, target, seen, free_name(rules.id_field, taken))
    else:
        codec, decision = SameIds(target.id_kinds), _no_fitting_kind(profile, target, seen)
    return codec, [*duplicates, decision, *_refuse_long(codec, profile, target)]


def _with_one_kind(profile: Profile, target: Capabilities, seen: frozenset[IdKind]) -> Capabilities:
    """The target with the one kind that its collection would have: numbers where all ids are numbers that fit."""
    if not target.one_id_kind or len(target.id_kinds) == 1:
        return target
    numbers = IdKind.INT64 in target.id_kinds and _are_numbers(profile, target, seen)
    return replace(target, id_kinds=frozenset({IdKind.INT64 if numbers else IdKind.STRING}))


def _are_numbers(profile: Profile, target: Capabilities, seen: frozenset[IdKind]) -> bool:
    """Whether int64 tells all ids apart: of both kinds together, only negative ones may be signed."""
    both = {IdKind.UINT64, IdKind.INT64}
    mixed = seen >= both and profile.negative_ids < profile.id_kinds.get(IdKind.INT64, 0)
    return seen <= both and not mixed and _in_range(profile, target)


def _in_range(profile: Profile, target: Capabilities) -> bool:
    greatest = profile.greatest_number_id
    return target.max_number_id is None or greatest is None or greatest <= target.max_number_id


def _as_numbers(profile: Profile, target: Capabilities) -> tuple[IdCodec, Decision]:
    greatest = _INT64_MAX if target.max_number_id is None else target.max_number_id
    detail = "are the same numbers as int64, and get their kind back on the way back"
    return NumberIds(greatest), Decision("ids", Outcome.ENCODED, detail, rows=profile.id_kinds.get(IdKind.UINT64))


def _no_fitting_kind(profile: Profile, target: Capabilities, seen: frozenset[IdKind]) -> Decision:
    held, numbers = ", ".join(sorted(target.id_kinds)), profile.greatest_number_id
    detail = f"the source has ids of kind {', '.join(sorted(seen))}; {target.engine} holds {held} only"
    if numbers is not None and not _in_range(profile, target):
        detail += f", numbers up to {target.max_number_id}, and the greatest is {numbers}"
    advice = "let the store choose the kind of ids" if target.one_id_kind else "choose another target"
    return refused("ids", detail, advice)


def _refuse_duplicates(profile: Profile) -> list[Decision]:
    if not profile.duplicate_ids:
        return []
    names = ", ".join(profile.duplicate_examples)
    detail = f"{counted(profile.duplicate_ids, 'record')} repeat an id that came before, for example {names}"
    advice = "make the ids unique; a store would keep only one record of each"
    return [refused("duplicate ids", detail, advice, profile.duplicate_ids)]


def _refuse_long(codec: IdCodec, profile: Profile, target: Capabilities) -> list[Decision]:
    """A limit on an id's length, where ids stay text; `string:` and `uint64:` are the longest prefixes."""
    limit = target.max_id_bytes
    if limit is None or IdKind.STRING not in codec.target_kinds:
        return []
    tagged = isinstance(codec, TextIds) and not profile.id_kinds.keys() <= codec.plain
    prefix = len("uint64:") if tagged else 0
    return oversized("long ids", "an id", limit, profile.id_sizes.above(limit - prefix), profile.id_sizes, target)


_UNMISTAKABLE = (frozenset({IdKind.UINT64, IdKind.UUID}), frozenset({IdKind.INT64, IdKind.UUID}))


def _as_text(schema: CollectionSchema, profile: Profile, seen: frozenset[IdKind]) -> tuple[IdCodec, Decision]:
    plain = _plain_kinds(schema.id_kinds, profile, seen)
    written = ", ".join(sorted(seen & plain)) or "none"
    detail = f"become text ({written} as they are"
    others = seen - plain
    if others:
        detail += f", {', '.join(sorted(others))} with their kind before them, such as '{min(others)}:...'"
    if profile.empty_ids:
        detail += f", {counted(profile.empty_ids, 'empty id')} as 'string:'"
    detail += "), and get their kind back on the way back"
    rows = sum(profile.id_kinds.get(kind, 0) for kind in seen - {IdKind.STRING}) + profile.empty_ids
    return TextIds(plain), Decision("ids", Outcome.ENCODED, detail, rows=rows if profile.rows else None)


def _plain_kinds(declared: frozenset[IdKind], profile: Profile, seen: frozenset[IdKind]) -> frozenset[IdKind]:
    if IdKind.STRING in seen:
        return frozenset({IdKind.STRING})
    for pair in _UNMISTAKABLE:
        if seen <= pair:
            # A kind that the source could hold but did not show is welcome as long as no texts can be confused.
            return (seen | declared) & pair if not (seen | declared) - pair else seen
    common = max((IdKind.UINT64, IdKind.INT64), key=lambda kind: profile.id_kinds.get(kind, 0))
    return (seen - {IdKind.UINT64, IdKind.INT64}) | {common}


def _derived(profile: Profile, target: Capabilities, seen: frozenset[IdKind], field: str) -> tuple[IdCodec, Decision]:
    strings, int64s = profile.id_kinds.get(IdKind.STRING, 0), profile.id_kinds.get(IdKind.INT64, 0)
    numbers = IdKind.UINT64 if IdKind.UINT64 in seen or IdKind.INT64 not in seen else IdKind.INT64
    all_uuid_texts = 0 < strings == profile.uuid_texts and IdKind.UUID not in seen
    uuids = IdKind.STRING if all_uuid_texts else IdKind.UUID
    parts: list[tuple[int, str]] = []
    if IdKind.STRING in seen and not all_uuid_texts:
        parts.append((strings, "string id"))
    if IdKind.INT64 in seen:
        negative = numbers is IdKind.INT64
        parts.append((profile.negative_ids if negative else int64s, "negative id" if negative else "int64 id"))
    derived = sum(count for count, _ in parts)
    derives = derived > 0 or (not profile.rows and bool(parts))
    codec = DerivedIds(numbers, uuids, field, derives, only_ours=derives and IdKind.UUID in seen)
    texts = []
    if derives:
        what = " and ".join(counted(count, noun) for count, noun in parts if count or not profile.rows)
        texts.append(
            f"{target.engine} takes integers and UUIDs only: {what} become UUIDv5 of their text; "
            f"the original stays in the payload key {quoted(field)} and is used again on the way back"
        )
    if all_uuid_texts:
        texts.append(f"{counted(strings, 'string id')} are UUIDs and become that UUID; they come back as strings")
    if numbers is IdKind.INT64:
        texts.append("the other int64 ids become uint64 and come back as int64")
    return codec, Decision("ids", Outcome.ENCODED, "; ".join(texts), rows=derived if derives else strings or None)
