"""What happens to each vector of a collection, and why."""

from __future__ import annotations

from dataclasses import replace

from vecferry.capabilities import Capabilities, VectorSupport
from vecferry.mapping.casts import nearest_dtype, widens
from vecferry.mapping.metrics import decide_metric
from vecferry.mapping.profile import Profile, VectorProfile
from vecferry.mapping.rules import Rules, counted, exact, refused, vector_label
from vecferry.mapping.vector_names import vector_names
from vecferry.mapping.vectors import EXACT, INTEGERS, NEAR, NEAR_FLOAT16, Tolerance, VectorCodec, VectorStep
from vecferry.model import CollectionSchema, Decision, DType, Filterable, Outcome, VectorField, VectorKind

__all__ = ["DTYPE_CONSENT", "MISSING_CONSENT", "decide_vectors"]

DTYPE_CONSENT = "vector_dtype"
MISSING_CONSENT = "missing_vectors"
_LARGEST_NORM = 1.8e19
"""Beyond it the square of the norm does not fit float32: Chroma's cosine index gives NaN back."""


def decide_vectors(
    schema: CollectionSchema, profile: Profile, target: Capabilities, rules: Rules
) -> tuple[VectorCodec, list[Decision]]:
    """A step and decisions for each vector."""
    moving, decisions = _choose(schema.vectors, target, rules.consent)
    names = vector_names([field.name for field in schema.vectors if field.name in moving], target.vectors)
    steps = []
    for field in schema.vectors:
        if field.name not in moving:
            steps.append(VectorStep(field, None))
            continue
        seen = profile.vectors.get(field.name, VectorProfile())
        step, found = _decide_one(field, names[field.name], seen, profile.rows, target, rules)
        steps.append(step)
        decisions += found
    drop, found = _missing(schema, profile, moving, target, rules)
    return VectorCodec(tuple(steps), target.vectors.missing, drop), [*decisions, *found]


def _choose(
    fields: tuple[VectorField, ...], target: Capabilities, consent: frozenset[str]
) -> tuple[set[str], list[Decision]]:
    """Names of the vectors that travel. What stays behind, or would have to, is a loss to be agreed to."""
    support, decisions = target.vectors, []
    held = [field for field in fields if field.kind in support.kinds]
    for field in fields:
        if field.kind not in support.kinds:
            decisions.append(_left_behind(field, f"{target.engine} has no {field.kind} vectors"))
    room = support.max_fields if support.named else 1
    if room is not None and len(held) > room:
        takes = "one vector" if room == 1 else f"{room} vectors"
        why = f"{target.engine} has {takes} a record, the source has {len(held)} that would fit"
        named = [field for field in held if _consent(field) in consent]
        decisions += [_left_behind(field, why) for field in (named or held)]
        held = [field for field in held if field not in named]
        if len(held) > room and named:
            decisions += [_left_behind(field, why) for field in held]
    if not held and fields:
        decisions.append(refused("vectors", "no vector of the source can be stored", "choose another target"))
    return {field.name for field in held[:room]}, decisions


def _consent(field: VectorField) -> str:
    return f"vector:{field.name}"


def _left_behind(field: VectorField, why: str) -> Decision:
    detail = f"{why}; this one would stay behind, in the archive alone"
    consent = _consent(field)
    advice = f"choose which stay behind: --consent {consent}"
    return Decision(vector_label(field.name), Outcome.LOSSY, detail, Filterable.LOST, consent=consent, advice=advice)


def _decide_one(
    field: VectorField, name: str, seen: VectorProfile, rows: int, target: Capabilities, rules: Rules
) -> tuple[VectorStep, list[Decision]]:
    support = target.vectors
    metric, decisions = decide_metric(field, target, rules.metric)
    dtype, typing = _dtype(field, seen, rows, support, rules)
    tolerance, lengths = _lengths(replace(field, metric=metric, dtype=dtype), seen, target)
    decisions = [
        *_limits(field, target),
        *decisions,
        *typing,
        *lengths,
        *_nonfinite(field, seen, support, target),
    ]
    if name != field.name:
        decisions.insert(0, _renamed(field.name, name, target))
    elif not any(item.feature.startswith(vector_label(field.name)) for item in decisions):
        size = f"{field.dimension} x " if field.dimension else ""
        decisions.insert(0, exact(vector_label(field.name), f"{size}{field.dtype}, bit for bit"))
    step = VectorStep(
        field,
        VectorField(name, field.kind, dtype, field.dimension, metric),
        tolerance,
        rounds=DTYPE_CONSENT in rules.consent and not widens(field.dtype, dtype),
    )
    return step, decisions


def _renamed(old: str, new: str, target: Capabilities) -> Decision:
    rule = target.vectors.names
    if not new or rule is None:
        detail = f"becomes the one vector of {target.engine}; its name comes back on the way back"
        return Decision(vector_label(old), Outcome.ENCODED, detail)
    if not rule.takes(new):
        detail = f"{target.engine} takes no vector of that name: {rule.words}"
        return refused(vector_label(old), detail, "choose another target")
    detail = f"becomes {new!r} ({target.engine} takes names of {rule.words}); its name comes back on the way back"
    return Decision(vector_label(old), Outcome.ENCODED, detail)


def _limits(field: VectorField, target: Capabilities) -> list[Decision]:
    if field.kind is VectorKind.SPARSE:
        return []
    feature, largest = vector_label(field.name), target.vectors.max_dimension
    if field.dimension is None:
        detail = "no record shows its dimension, and the target cannot be created without it"
        return [refused(feature, detail, "is the source the right collection? an empty one has nothing to move")]
    if largest is not None and field.dimension > largest:
        detail = f"it has {field.dimension:,} dimensions; {target.engine} takes {largest:,}"
        return [refused(feature, detail, "choose another target")]
    return []


def _dtype(
    field: VectorField, seen: VectorProfile, rows: int, support: VectorSupport, rules: Rules
) -> tuple[DType, list[Decision]]:
    feature = f"{vector_label(field.name)} numbers"
    new = nearest_dtype(field.dtype, support)
    if new is None:
        held = ", ".join(sorted(support.dtypes))
        detail = f"the target holds {held}, none of which can keep {field.dtype}"
        return field.dtype, [refused(feature, detail, "choose another target")]
    if new is field.dtype:
        return new, []
    if widens(field.dtype, new):
        detail = f"{field.dtype} is stored as {new}, which holds every such number; it comes back as {field.dtype}"
        return new, [Decision(feature, Outcome.ENCODED, detail)]
    looked = seen.rows >= rows > 0 and (field.dtype, new) == (DType.FLOAT64, DType.FLOAT32)
    if looked and not seen.not_float32:
        detail = f"{field.dtype} is stored as {new}; every number was looked at and fits without rounding"
        return new, [Decision(feature, Outcome.ENCODED, detail)]
    detail = f"{field.dtype} would be rounded to {new}"
    if not looked:
        detail += "; which numbers change was not looked at"
    count = seen.not_float32 if looked else None
    advice = f"agree to the rounding (the archive keeps every bit): --consent {DTYPE_CONSENT}"
    return new, [Decision(feature, Outcome.LOSSY, detail, rows=count, consent=DTYPE_CONSENT, advice=advice)]


def _lengths(field: VectorField, seen: VectorProfile, target: Capabilities) -> tuple[Tolerance, list[Decision]]:
    """What the target does to lengths. `field` has the target's metric and number type (integers stay as they are)."""
    support = target.vectors
    normalises, distorts = field.metric in support.normalises, field.metric in support.distorts
    untouched = field.metric is None or field.kind is VectorKind.SPARSE or field.dtype in INTEGERS
    if untouched or not (normalises or distorts):
        return EXACT, []
    feature = f"{vector_label(field.name)} length"
    if seen.norm_max is not None and seen.norm_max > _LARGEST_NORM:
        detail = f"the longest vector has length {seen.norm_max:.3g}, too long for {target.engine} under {field.metric}"
        return EXACT, [refused(feature, detail, "choose another metric, or scale the vectors in the source")]
    if normalises:
        detail = f"{target.engine} keeps unit vectors under {field.metric}; the archive keeps the lengths and every bit"
    else:
        detail = f"{target.engine} rebuilds vectors from direction and length under {field.metric}, off by a rounding"
    near = NEAR_FLOAT16 if field.dtype is DType.FLOAT16 else NEAR
    detail += f"; compared within {near.relative:g} relative or {near.absolute:g} absolute"
    if seen.zeros:
        detail += f"; {counted(seen.zeros, 'zero vector')} have no direction and are found by no {field.metric} search"
    return replace(near, direction=normalises), [Decision(feature, Outcome.ENCODED, detail)]


def _nonfinite(field: VectorField, seen: VectorProfile, support: VectorSupport, target: Capabilities) -> list[Decision]:
    if not seen.nonfinite or support.nonfinite:
        return []
    detail = f"{counted(seen.nonfinite, 'record')} hold NaN or infinity, the first is {seen.nonfinite_example}"
    advice = f"repair or delete them in the source; {target.engine} would refuse them, or store them as poison"
    return [refused(vector_label(field.name), detail, advice, seen.nonfinite)]


def _missing(
    schema: CollectionSchema, profile: Profile, moving: set[str], target: Capabilities, rules: Rules
) -> tuple[bool, list[Decision]]:
    """Whether records without a vector stay behind."""
    drop = MISSING_CONSENT in rules.consent
    counts = [seen.missing for name, seen in profile.vectors.items() if name in moving]
    lacking = max([schema.missing_vectors, *counts])
    if not lacking:
        return drop, []
    if target.vectors.missing:
        return drop, [exact("missing vectors", f"{counted(lacking, 'record')} lack a vector, and stay without it")]
    detail = f"{counted(lacking, 'record')} lack a vector, which {target.engine} cannot hold; they would stay behind"
    return drop, [
        Decision(
            "missing vectors",
            Outcome.LOSSY,
            detail,
            rows=lacking,
            consent=MISSING_CONSENT,
            advice=f"repair them, or leave them behind (the archive keeps them): --consent {MISSING_CONSENT}",
        )
    ]
