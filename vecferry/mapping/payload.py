"""Payload values that the target cannot hold: put aside, key by key, as JSON text in one payload key.

The codec looks at every payload, not only at what the profile saw, by one regular expression over the
column; only rows that match are parsed. So a value that appears after the plan was made is put aside too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical, plain
from vecferry.capabilities import Capabilities, FloatText, PayloadSupport, PayloadType
from vecferry.errors import BadRecord
from vecferry.mapping import floats, kinds
from vecferry.mapping.draft import Draft, key_pattern, text_pattern
from vecferry.mapping.judge import in_range, judge, key_problem
from vecferry.mapping.profile import KeyProfile, PayloadProfile
from vecferry.mapping.rules import counted, exact, quoted
from vecferry.model import Decision, Filterable, Outcome

__all__ = ["NULL_CONSENT", "PayloadCodec", "PayloadPlan", "decide_payload"]

NULL_CONSENT = "null_values"
"""The name of the loss: payload keys whose value is null are left out."""

_MAX_LISTED_KEYS = 20
_LISTS = frozenset(
    {
        PayloadType.EMPTY_LIST,
        PayloadType.STRING_LIST,
        PayloadType.INTEGER_LIST,
        PayloadType.FLOAT_LIST,
        PayloadType.BOOL_LIST,
        PayloadType.MIXED_LIST,
    }
)
_TAGGED = '"[$]vecferry"'
_ALWAYS = "^"
# How a value of a type must show in the text of its row; what is not here shows everywhere.
_TRACES = {
    PayloadType.NULL: "null",
    PayloadType.OBJECT: r"[:\[,]\{",
    PayloadType.SPECIAL: _TAGGED,
    **dict.fromkeys(_LISTS, r"\["),
}


@dataclass(frozen=True, slots=True)
class PayloadCodec:
    """Keeps what `support` holds and puts the rest under `field`.

    `reserved` are the keys that the mapping itself writes (`field` among them): a record's own key of
    such a name is put aside as well, so nothing is ever mistaken for an encoding. `drops_null`: it was agreed that
    keys whose value is null are left out, where the target wants that.
    """

    support: PayloadSupport
    field: str
    reserved: frozenset[str]
    drops_null: bool = False

    def encode(self, draft: Draft) -> None:
        """Put aside what the target cannot hold."""
        pattern = _suspicious(self.support, self.reserved)
        if not draft.has(columns.PAYLOAD) or not pattern:
            return
        rows = draft.matching(pattern)
        if not len(rows):
            return
        fits = judge(self.support, self.reserved).fits
        for row, payload in zip(rows.tolist(), draft.payloads(rows), strict=True):
            if self.support.removes_null and self._leave_out_null(draft, row, payload):
                draft.changed(row)
            aside = {key: value for key, value in payload.items() if not fits(key, value)}
            if self.support.max_keys is not None:
                aside |= self._surplus(payload, aside, self.support.max_keys)
            if aside:
                for key in aside:
                    del payload[key]
                payload[self.field] = canonical.encode(aside).decode()
                draft.changed(row)

    def _leave_out_null(self, draft: Draft, row: int, payload: dict[str, Any]) -> bool:
        """Delete keys whose value is null. Raises BadRecord, naming the id, where nobody agreed to that."""
        nulls = [key for key, value in payload.items() if value is None]
        if nulls and not self.drops_null:
            raise BadRecord(
                f"record {draft.columns[columns.ID][row].as_py()!r} has null under {quoted(nulls[0])}, which the "
                "plan did not see and the target does not take",
                advice=f"leave such keys out: --consent {NULL_CONSENT}",
            )
        for key in nulls:
            del payload[key]
        return bool(nulls)

    def _surplus(self, payload: dict[str, Any], aside: dict[str, Any], most: int) -> dict[str, Any]:
        """The last keys of a record with more than the target takes, what the mapping writes itself included."""
        kept = sorted(payload.keys() - aside.keys())
        room = most - (len(self.reserved) - 1) - bool(aside)
        if len(kept) <= room:
            return {}
        return {key: payload[key] for key in kept[max(most - len(self.reserved), 0) :]}

    def decode(self, draft: Draft) -> None:
        """Give back what was put aside. A value under our key that we did not write is the application's own."""
        if not draft.has(columns.PAYLOAD):
            return
        rows = draft.matching(key_pattern(self.field))
        for row, payload in zip(rows.tolist(), draft.payloads(rows), strict=True):
            aside = _parse_aside(payload.get(self.field))
            if aside is not None and not (aside.keys() & payload.keys()) - {self.field}:
                del payload[self.field]
                payload.update(aside)
                draft.changed(row)

    def predicted(self, payloads: pa.StringArray) -> pa.StringArray:
        """The payload column as the target gives it back: floats as its parser reads them."""
        return floats.predict_column(payloads, floats.PASSES[self.support.float_text])[0]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `from_json` reads."""
        support = plain.to_plain(self.support)
        support["types"] = sorted(frozenset(PayloadType) - self.support.types)
        found = {"field": self.field, "reserved": sorted(self.reserved), "not_held": support}
        return found | ({"drops_null": True} if self.drops_null else {})

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PayloadCodec:
        """The codec that `to_json` wrote."""
        support = dict(data["not_held"])
        support["types"] = sorted(frozenset(PayloadType) - frozenset(map(PayloadType, support["types"])))
        read = plain.from_plain(PayloadSupport, support)
        return cls(read, data["field"], frozenset(data["reserved"]), data.get("drops_null", False))


def _parse_aside(text: Any) -> dict[str, Any] | None:
    """What was put aside, or None for a value that `encode` cannot have written."""
    if not isinstance(text, str) or not kinds.is_text(text):
        return None
    raw = text.encode()
    try:
        aside = canonical.decode(raw)
        ours = isinstance(aside, dict) and bool(aside) and canonical.encode(aside) == raw
    except (ValueError, TypeError, KeyError):
        return None
    return aside if ours else None


@cache
def _suspicious(support: PayloadSupport, reserved: frozenset[str]) -> str:
    """An RE2 pattern that every payload with something to put aside matches; `""` when nothing ever is."""
    parts = [_TRACES.get(kind, _ALWAYS) for kind in PayloadType if kind not in support.types]
    keys = sorted(reserved | support.reserved_keys)
    if keys:
        parts.append(key_pattern(*keys))
    parts += [f'[{{,]"{text_pattern(prefix)}' for prefix in support.reserved_prefixes if prefix]
    if not support.empty_key:
        parts.append('[{,]"":')
    if not support.negative_zero:
        parts.append(r"-0\.0")
    if support.max_depth is not None:
        parts.append(r"(?:[\[{][^\[{]*){" + str(min(support.max_depth + 1, 1000)) + "}")
    parts += _range_patterns(support)
    if support.max_key_bytes is not None:
        # A character of a key is up to four bytes: one that is not ASCII is looked at, whatever the length.
        parts += [
            rf'[{{,]"(?:[^"\\]|\\.){{{min(support.max_key_bytes + 1, 1000)}}}',
            r'[{,]"(?:[^"\\]|\\.)*[^\x00-\x7f]',
        ]
    if support.max_keys is not None:
        keys_then_more = max(support.max_keys - len(reserved) + 1, 1)
        parts.append(rf'(?s:(?:":.*?){{{min(keys_then_more, 1000)}}})')
    return "|".join(dict.fromkeys(parts))


def _range_patterns(support: PayloadSupport) -> list[str]:
    """Integers with as many digits as the bound, or more."""
    found = []
    for bound, sign in ((support.integer_min, "-"), (support.integer_max, "")):
        if bound is not None:
            found.append(rf"[:,\[]{sign}[0-9]{{{len(str(abs(bound)))}}}")
    if support.integer_min is not None and support.integer_min > 0:
        found.append(r"[:,\[][0-9]")
    if support.integer_max is not None and support.integer_max < 0:
        found.append(r"[:,\[]-")
    return found


# Deciding


@dataclass(frozen=True, slots=True)
class PayloadPlan:
    """What becomes of payloads. `aside`: the keys that are put aside; None where others may be, too."""

    codec: PayloadCodec
    decisions: tuple[Decision, ...]
    aside: frozenset[str] | None


def decide_payload(
    profile: PayloadProfile,
    rows: int,
    target: Capabilities,
    field: str,
    reserved: frozenset[str],
    consent: frozenset[str] = frozenset(),
) -> PayloadPlan:
    """What becomes of payload values. `rows` is the number of records, `field` our free key."""
    codec = PayloadCodec(target.payload, field, reserved, NULL_CONSENT in consent)
    aside = {key: found for key, found in ((k, _aside(codec, k, v)) for k, v in profile.keys.items()) if found}
    inexact, nulls, surplus = _floats(profile, target), _nulls(profile, target), _surplus_keys(profile, codec, target)
    named = len(aside) + len(inexact) + len(nulls) + len(surplus)
    whole = _whole(profile, rows, field, named=named)
    known = None if profile.more_keys or surplus else frozenset(aside)
    decisions = (whole, *_per_key(profile, field, aside), *surplus, *nulls, *inexact)
    return PayloadPlan(codec, decisions, known)


def _nulls(profile: PayloadProfile, target: Capabilities) -> list[Decision]:
    if not target.payload.removes_null:
        return []
    found = {key: seen.types.get(PayloadType.NULL, 0) for key, seen in profile.keys.items()}
    keys = [key for key, count in found.items() if count]
    if not keys:
        return []
    listed = ", ".join(map(quoted, keys[:5])) + (f" and {len(keys) - 5:,} more" if len(keys) > 5 else "")
    detail = f"{target.engine} is to take no null: keys with the value null would be left out ({listed})"
    advice = f"agree to that (the archive keeps them): --consent {NULL_CONSENT}"
    return [
        Decision(
            "null values",
            Outcome.LOSSY,
            detail,
            Filterable.LOST,
            sum(found.values()) if len(keys) == 1 else None,
            NULL_CONSENT,
            advice,
        )
    ]


def _surplus_keys(profile: PayloadProfile, codec: PayloadCodec, target: Capabilities) -> list[Decision]:
    """Records with more keys than the target takes."""
    most = target.payload.max_keys
    room = None if most is None else most - len(codec.reserved) + 1
    if most is None or room is None or profile.key_counts.greatest <= room:
        return []
    least, up_to = profile.key_counts.above(room)
    greatest = profile.key_counts
    detail = (
        f"{target.engine} takes {most} keys a record, and some have up to {greatest.greatest:,} "
        f"(record {greatest.example}): of those the last keys are kept as JSON text in the payload key "
        f"{quoted(codec.field)}, and given back from it"
    )
    rows = up_to if least == up_to else None
    return [Decision("number of payload keys", Outcome.ENCODED, detail, Filterable.CHANGED, rows)]


def _whole(profile: PayloadProfile, rows: int, field: str, named: int) -> Decision:
    """The payload as a whole; `named` is the number of exceptions that have decisions of their own."""
    if profile.rows < rows:
        detail = f"not looked at before; what the target cannot hold goes as JSON text to the key {quoted(field)}"
        return Decision("payload", Outcome.ENCODED, detail)
    keys = "more than " * profile.more_keys + counted(len(profile.keys), "key")
    types = sorted({kind for found in profile.keys.values() for kind in found.types})
    keys += f" ({', '.join(types)})" if types else ""
    if not named and not profile.more_keys:
        return exact("payload", f"{keys}; every value keeps its type and its bits", Filterable.SAME)
    detail = f"{keys}; what no other row names keeps its type and its bits"
    if not profile.more_keys:
        return exact("payload", detail, Filterable.SAME)
    detail += f", or goes as JSON text to the key {quoted(field)} where the target cannot hold it"
    return Decision("payload", Outcome.ENCODED, detail, Filterable.SAME)


def _per_key(profile: PayloadProfile, field: str, aside: dict[str, tuple[int, str]]) -> list[Decision]:
    listed = list(aside.items())
    decisions = []
    for key, (count, why) in listed[:_MAX_LISTED_KEYS]:
        lost = Filterable.LOST if count >= profile.keys[key].values else Filterable.CHANGED
        detail = f"{why}; kept as JSON text in the payload key {quoted(field)}, and given back from it"
        decisions.append(Decision(f"payload key {quoted(key)}", Outcome.ENCODED, detail, lost, count))
    rest = listed[_MAX_LISTED_KEYS:]
    if rest:
        detail = f"{counted(len(rest), 'more key')}, such as {quoted(rest[0][0])}, kept as JSON text in the same way"
        count = sum(found for _, (found, _) in rest)
        decisions.append(Decision("more payload keys", Outcome.ENCODED, detail, Filterable.LOST, count))
    return decisions


def _aside(codec: PayloadCodec, key: str, found: KeyProfile) -> tuple[int, str] | None:
    """How many values of a key are put aside (at least), and why."""
    support = codec.support
    problem = key_problem(support, codec.reserved, key)
    if problem:
        return found.values, problem
    left_out = {PayloadType.NULL} if support.removes_null else set()
    unheld = {kind: count for kind, count in found.types.items() if kind not in support.types | left_out}
    reasons = [f"{counted(count, 'value')} of type {kind}" for kind, count in sorted(unheld.items())]
    count = sum(unheld.values())
    extremes = (found.integer_min, found.integer_max)
    if any(number is not None and not in_range(support, number) for number in extremes):
        reasons.append(f"integers from {found.integer_min} to {found.integer_max}, some out of the target's range")
        count = max(count, 1)
    if found.negative_zeros and not support.negative_zero:
        reasons.append(f"{counted(found.negative_zeros, 'value')} with -0.0, which would lose its sign")
        count = max(count, found.negative_zeros)
    if support.max_depth is not None and 1 + found.depth > support.max_depth:
        reasons.append(f"values nested {found.depth} deep")
        count = max(count, 1)
    return (count, " and ".join(reasons)) if reasons else None


def _floats(profile: PayloadProfile, target: Capabilities) -> list[Decision]:
    passes = floats.PASSES[target.payload.float_text]
    rows = (0, profile.inexact_one_pass_rows, profile.inexact_two_passes_rows)[passes]
    if not rows or target.payload.float_text is FloatText.EXACT:
        return []
    detail = (
        f"{target.engine} stores a float of {counted(rows, 'record')} one unit in the last place off; which ones and "
        "what they become is predicted bit for bit and checked, and the archive keeps the originals"
    )
    return [Decision("payload floats", Outcome.ENCODED, detail, Filterable.CHANGED, rows)]
