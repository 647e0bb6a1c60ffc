"""What the target asks of a collection as a whole: its name, how many records, the payload keys that we write."""

from __future__ import annotations

from collections.abc import Iterator

from vecferry.capabilities import Capabilities
from vecferry.mapping.profile import Profile
from vecferry.mapping.rules import Rules, counted, quoted, refused
from vecferry.model import Decision

__all__ = ["decide_collection"]


def decide_collection(profile: Profile, target: Capabilities, rules: Rules, own_keys: frozenset[str]) -> list[Decision]:
    """Refusals of the whole; none where all is well. `own_keys`: payload keys that the mapping writes."""
    return [*_name(target, rules.target_name), *_records(profile, target), *_own_keys(target, own_keys)]


def _name(target: Capabilities, name: str) -> Iterator[Decision]:
    rule = target.collection_names
    if name and rule is not None and not rule.takes(name):
        detail = f"{target.engine} takes no collection named {quoted(name)}: {rule.words}"
        if rule.max_bytes is not None:
            detail += f", at most {rule.max_bytes} bytes"
        yield refused("collection name", detail, "give the target another collection name")


def _records(profile: Profile, target: Capabilities) -> Iterator[Decision]:
    if not profile.rows and not target.takes_empty:
        detail = f"the source has none, and {target.engine} is to take no empty collection"
        yield refused("records", detail, "is the source the right collection? an empty one has nothing to move")
    if target.max_records is not None and profile.rows > target.max_records:
        detail = f"the source has {counted(profile.rows, 'record')}; {target.engine} takes {target.max_records:,}"
        yield refused("records", detail, "have the limit raised, or choose another target", profile.rows)


def _own_keys(target: Capabilities, own_keys: frozenset[str]) -> Iterator[Decision]:
    limit = target.payload.max_key_bytes
    for key in sorted(own_keys):
        size_bytes = len(key.encode())
        if limit is not None and size_bytes > limit:
            detail = f"the key has {size_bytes} bytes; {target.engine} takes {limit}"
            yield refused(f"our payload key {quoted(key)}", detail, "name a shorter one (--side-field, --id-field)")
