"""Names of vectors in a target that does not take any name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vecferry.capabilities import NameRule, VectorSupport

__all__ = ["vector_names"]

_MOST_TRIES = 1000


def vector_names(names: Sequence[str], support: VectorSupport) -> dict[str, str]:
    """The name of each vector in the target, no two alike: its own where that can be, else one much like it.

    A name that no try makes fit stays, for the plan to refuse.
    """
    if not support.named:
        return dict.fromkeys(names, "")
    rule = support.names
    if rule is None:
        return {name: name for name in names}
    taken = {support.unnamed_field} if "" in names else set()
    found = {name: name for name in names if not name or (rule.takes(name) and name not in taken)}
    taken |= set(found.values())
    for name in names:
        if name not in found:
            found[name] = _similar(name, rule, taken)
            taken.add(found[name])
    return found


def _similar(name: str, rule: NameRule, taken: set[str]) -> str:
    """The name with `_` for what is strange in it, numbered where that is taken."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    for base in (plain, f"_{plain}", f"{plain}_", "vector"):
        for number in range(1, _MOST_TRIES):
            tried = base if number == 1 else f"{base}_{number}"
            if not rule.takes(tried):
                break
            if tried not in taken:
                return tried
    return name
