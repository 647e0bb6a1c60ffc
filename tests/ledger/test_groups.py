from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.ledger.conftest import OLD, create, two_slices
from vecferry.errors import BadOption, NotFound, PlanRefused
from vecferry.ledger import Entry, Group, Ledger, State


def entry(name: str, **changed: object) -> Entry:
    given = {"config": {"batch_rows": 10, "approve": "ask"}, **changed}
    return Entry(name, "load", f"{OLD}/{name}", f"jsonl:///new/{name}", name, "", **given)  # type: ignore[arg-type]


def opened(ledger: Ledger, names: Sequence[str], identity: str = "same") -> Group:
    return ledger.open_group(
        identity=identity,
        name="many-to-jsonl",
        strategy="load",
        source_url=OLD,
        target_url="jsonl:///new",
        request={"names": list(names)},
        entries=[entry(name) for name in names],
    )


def test_a_group_and_its_members_are_entered_together(ledger: Ledger) -> None:
    """Each entry becomes a migration in its order, and everything is in the audit trail."""
    group = opened(ledger, ["a", "b"])
    members = ledger.members(group.id)
    assert [(one.name, one.group_id, one.member) for one in members] == [("a", group.id, 0), ("b", group.id, 1)]
    assert ledger.group(group.id) == group
    assert ledger.groups() == [group]
    assert group.id.startswith("many-to-jsonl-20261121-")
    assert ledger.verify_audit() == len(ledger.audit())


def test_nothing_of_a_group_is_entered_when_one_entry_is_refused(ledger: Ledger) -> None:
    """A secret in one URL leaves neither the group nor a member behind."""
    bad = Entry("b", "load", "qdrant://user:secret@h/c", "jsonl:///new/b", "b", "", {})
    with pytest.raises(BadOption):
        ledger.open_group(
            identity="x", name="n", strategy="load", source_url=OLD, target_url="jsonl:///new", request={},
            entries=[entry("a"), bad],
        )  # fmt: skip
    assert (ledger.groups(), ledger.migrations()) == ([], [])


def test_the_same_identity_finds_the_group_and_adds_what_is_new(ledger: Ledger) -> None:
    """Members that are there stay as they are; the request of the newest command is kept."""
    first = opened(ledger, ["a", "b"])
    before = ledger.members(first.id)
    second = opened(ledger, ["b", "c"])
    assert second.id == first.id
    assert ledger.members(first.id)[:2] == before
    assert [one.name for one in ledger.members(first.id)] == ["a", "b", "c"]
    assert second.request == {"names": ["b", "c"]}
    assert ledger.live_group("same") == second


def test_another_identity_and_an_ended_group_begin_anew(ledger: Ledger) -> None:
    """Only a group with a live member is gone on with."""
    first = opened(ledger, ["a"])
    assert opened(ledger, ["a"], identity="other").id != first.id
    [member] = ledger.members(first.id)
    ledger.transition(member.id, [State.PLANNED], State.ABORTED, event="aborted")
    assert ledger.live_group("same") is None
    assert opened(ledger, ["a"]).id != first.id


def test_a_group_is_named_by_the_start_of_its_id(ledger: Ledger) -> None:
    """A start that two have, or none, names no group; a migration's id is none of a group."""
    first, second = opened(ledger, ["a"]), opened(ledger, ["a"], identity="other")
    assert ledger.group(first.id[:-1]) == first or first.id[:-1] == second.id[:-1]
    for text in ("many", "", "%", ledger.members(first.id)[0].id):
        with pytest.raises(NotFound):
            ledger.group(text)


def test_a_migration_without_a_plan_is_begun_anew(ledger: Ledger) -> None:
    """It takes the new options and forgets what was found, its id and its place stay."""
    group = opened(ledger, ["a"])
    [before] = ledger.members(group.id)
    ledger.set_fact(before.id, "inventory", {"rows": 1})
    after = ledger.begin_anew(before.id, entry("a", config={"batch_rows": 20}, limit=5))
    assert (after.id, after.member, after.config, after.limit) == (before.id, 0, {"batch_rows": 20}, 5)
    assert ledger.fact(before.id, "inventory") is None


def test_a_plan_is_never_begun_anew(ledger: Ledger) -> None:
    """Only options that no plan depends on may change after it."""
    group = opened(ledger, ["a"])
    [member] = ledger.members(group.id)
    ledger.store_plan(member.id, {"rows": 10}, two_slices())
    with pytest.raises(PlanRefused):
        ledger.begin_anew(member.id, entry("a"))
    ledger.change_options(member.id, {"approve": "auto"})
    assert ledger.migration(member.id).config == {"batch_rows": 10, "approve": "auto"}


def test_a_migration_that_was_started_alone_is_in_no_group(ledger: Ledger) -> None:
    """Nothing of it names one."""
    alone = create(ledger)
    assert (alone.group_id, alone.member) == (None, None)
    assert ledger.members("") == []
