"""Runs that die on the way back, or on the way there once the route has moved, while applications and nature go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.migrations.test_cutover import delete, end_pauses, serving, whenever, write
from tests.migrations.test_rollback import with_payload
from tests.migrations.test_rollback import write as put
from tests.support.application import Application, hooks_of
from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness, contents, fill, mixed_batch, schema
from tests.support.raw_collections import Place, generate, make_source
from vecferry import address, batch
from vecferry.archive import verify
from vecferry.archive.conflicts import read_losers
from vecferry.errors import StoreRefused, UnsafeRoute
from vecferry.ledger import Direction, State
from vecferry.model import IdKind
from vecferry.operations import ending, routes
from vecferry.stores import registry
from vecferry.strategies import steps, telling
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import open_work

QUICK: dict[str, Any] = {"sync": {"absence_wait_s": 0, "driver_timeout_s": 0}}


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 60 records that its application may write."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(60)])
    return url


def die() -> None:
    """The run ends here, and undoes nothing."""
    raise KeyboardInterrupt


def dies(harness: Harness, step: Callable[..., Any], run: Callable[[], object]) -> None:
    """Run until right before a step."""
    whenever(harness, step, die)
    with pytest.raises(KeyboardInterrupt):
        run()


def switched(harness: Harness, old: str, application: Application, **more: Any) -> Ref:
    """A switched migration whose application is told by hooks; another record is in the new store."""
    application.memory.url = old
    ref = harness.migrate(
        old, f"memory:///{Path(old).name}-new", hooks=hooks_of(application, harness.folder), **QUICK, **more
    )
    write(new_of(harness, ref), 900)
    return ref


def new_of(harness: Harness, ref: Ref) -> str:
    """The URL of the new store."""
    return harness.migration(ref).target_url


def go_on_in_new_store(harness: Harness, ref: Ref, application: Application) -> None:
    """The pause is over, and the application, which nobody told of the route's way back, writes on."""
    end_pauses(harness)
    application.memory.writes = "open"
    write(new_of(harness, ref), 901)
    delete(new_of(harness, ref), 7)


def names(harness: Harness, url: str) -> set[str]:
    """The ids of a collection."""
    return {text for _, text in harness.records(url)}


def is_back(harness: Harness, ref: Ref, application: Application, url: str) -> bool:
    """Whether all of it serves this store, with writes open."""
    told = application.memory.url, application.memory.writes
    now = serving(harness, ref)
    return (harness.migration(ref).state, now.url, now.writes, *told) == (State.ROLLED_BACK, url, "open", url, "open")


def test_s13_writes_of_an_application_that_was_never_told_of_the_way_back_are_carried_first(
    harness: Harness, docs: str, application: Application
) -> None:
    """The route moved back, the run died, its pause ended, and the new store was written: it is read once more."""
    ref = switched(harness, docs, application)
    dies(harness, steps.follow_alias_back, lambda: harness.rollback(ref))
    assert harness.migration(ref).state is State.ROLLBACK_SWITCHING
    go_on_in_new_store(harness, ref, application)
    done = harness.rollback(ref)
    assert is_back(harness, ref, application, docs)
    assert names(harness, docs) == names(harness, new_of(harness, ref))
    assert (done["new"], done["deleted"], sum(done["late"]["counts"].values() if "counts" in done["late"] else ())) == (
        1,
        1,
        0,
    )


@pytest.mark.slow
def test_s13_a_copy_of_files_is_brought_up_to_date_where_nobody_has_followed_it_yet(
    harness: Harness, tmp_path: Path, application: Application
) -> None:
    """The copy that the route leads to already gets what the new store received since; the old file stays as it is."""
    old = f"jsonl://{tmp_path}/docs.jsonl"
    fill(old, [mixed_batch(60)], schema())
    before = (tmp_path / "docs.jsonl").read_bytes()
    ref = switched(harness, old, application, metric="cosine")
    dies(harness, steps.follow_alias_back, lambda: harness.rollback(ref))
    go_on_in_new_store(harness, ref, application)
    harness.rollback(ref)
    copy = f"jsonl://{tmp_path}/docs-{ref.migration}.jsonl"
    assert is_back(harness, ref, application, copy)
    assert names(harness, copy) == names(harness, new_of(harness, ref))
    assert (tmp_path / "docs.jsonl").read_bytes() == before


@pytest.mark.slow
def test_s13_a_second_death_under_the_new_pause_does_not_spare_the_look(
    harness: Harness, docs: str, application: Application
) -> None:
    """The pause of the second run holds yet, but nothing was read under it."""
    ref = switched(harness, docs, application)
    dies(harness, steps.follow_alias_back, lambda: harness.rollback(ref))
    go_on_in_new_store(harness, ref, application)
    dies(harness, steps.begin_return, lambda: harness.rollback(ref))
    assert serving(harness, ref).writes == "paused"
    harness.rollback(ref)
    assert is_back(harness, ref, application, docs)
    assert names(harness, docs) == names(harness, new_of(harness, ref))


@pytest.mark.slow
def test_s13_a_second_death_after_the_switch_does_not_spare_the_look_either(
    harness: Harness, docs: str, application: Application
) -> None:
    """Forward alike: what the old store received between two pauses is in the new one before anybody follows."""
    application.memory.url = docs
    ref = harness.start(docs, f"{docs}-new", hooks=hooks_of(application, harness.folder), **QUICK)
    dies(harness, steps.check_route, lambda: harness.run(ref))
    end_pauses(harness)
    application.memory.writes = "open"
    write(docs, 901)
    dies(harness, steps.is_settled, lambda: harness.run(ref))
    assert serving(harness, ref).writes == "paused"
    harness.run(ref)
    assert "doc-901" in names(harness, f"{docs}-new")
    assert (harness.migration(ref).state, application.memory.url) == (State.SWITCHED, f"{docs}-new")


@pytest.mark.slow
def test_s13_where_some_may_have_followed_the_way_back_and_others_did_not_a_person_decides(
    harness: Harness, docs: str, application: Application
) -> None:
    """Told, and serving the new store all the same: it is listed, and nothing is changed."""
    ref = switched(harness, docs, application)
    dies(harness, steps.read_back, lambda: harness.rollback(ref))
    end_pauses(harness)
    application.memory.url = new_of(harness, ref)
    before = contents(docs)
    with pytest.raises(UnsafeRoute, match="what follows the route differs: hook serves"):
        harness.rollback(ref)
    assert (harness.migration(ref).state, contents(docs)) == (State.ROLLBACK_SWITCHING, before)
    application.memory.url = docs
    harness.rollback(ref)
    assert is_back(harness, ref, application, docs)


@pytest.mark.slow
def test_s17_a_way_back_that_died_is_not_resumed_as_a_way_there(
    harness: Harness, docs: str, application: Application
) -> None:
    """`resume` names the command that finishes it; the pause that holds stays, and nobody is asked anything."""
    ref = switched(harness, docs, application)
    dies(harness, steps.follow_alias_back, lambda: harness.rollback(ref))
    before = harness.ledger.audit(ref.migration)[-1].number
    with pytest.raises(UnsafeRoute, match="its way back began") as caught:
        harness.run(ref)
    assert f"vecferry rollback {ref.migration}" in caught.value.advice
    assert serving(harness, ref).writes == "paused"
    assert harness.ledger.audit(ref.migration)[-1].number == before
    harness.rollback(ref)
    assert is_back(harness, ref, application, docs)


@pytest.mark.slow
def test_s14_writes_between_the_end_of_a_pause_and_the_following_are_listed_and_not_overwritten(
    harness: Harness, docs: str, application: Application
) -> None:
    """The route moved, the run died, the pause ended: late writes of the old store stand in the list, beside writes of
    the new one, and the way back keeps both."""
    application.memory.url = docs
    ref = harness.start(docs, f"{docs}-new", hooks=hooks_of(application, harness.folder), **QUICK)
    dies(harness, steps.read_back, lambda: harness.run(ref))
    end_pauses(harness)
    put(docs, with_payload("doc-3", b'{"side":"late"}'), mixed_batch(1, first=901), delete=("doc-4",))
    put(f"{docs}-new", with_payload("doc-5", b'{"side":"new"}'))
    harness.run(ref)
    assert (harness.migration(ref).state, application.memory.writes) == (State.SWITCHED, "open")
    assert dict(harness.sheets[-1].rows)["late in the old store"].startswith("1 new")
    harness.rollback(ref)
    found = contents(docs)
    assert (found["doc-3"].payload, found["doc-5"].payload) == (b'{"side":"late"}', b'{"side":"new"}')
    assert "doc-901" in found
    assert "doc-4" not in found


@pytest.mark.slow
def test_s13_an_application_that_a_person_led_to_the_new_store_is_not_told_again(
    harness: Harness, docs: str, application: Application
) -> None:
    """The route file had moved, the hook was never called, and the pause is over: it follows, so the run goes on."""
    application.memory.url = docs
    told = hooks_of(application, harness.folder, route_file=str(harness.folder / "route.json"))
    ref = harness.start(docs, f"{docs}-new", hooks=told, **QUICK)
    dies(harness, steps.tell_switch, lambda: harness.run(ref))
    telling.publish(open_work(ref))
    end_pauses(harness)
    with pytest.raises(UnsafeRoute, match="hook serves"):
        harness.run(ref)
    application.memory.url, application.memory.epoch = f"{docs}-new", 2
    harness.run(ref)
    assert (harness.migration(ref).state, application.memory.writes) == (State.SWITCHED, "open")


# What a dead run had recorded and not written


def changed(harness: Harness, docs: str) -> Ref:
    """A switched migration: the new store changed one record, received one and lost one."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    put(f"{docs}-new", with_payload("doc-3", b'{"side":"new"}'), mixed_batch(1, first=900), delete=("doc-9",))
    return ref


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_s16_a_late_write_after_a_dead_merge_is_a_conflict_and_not_overwritten(
    harness: Harness, docs: str, again: bool
) -> None:
    """Recorded by a run that died, or by this very one a moment ago: what the old store has by now is looked at."""
    ref = changed(harness, docs)
    if again:
        whenever(harness, steps.settle_return, lambda: put(docs, with_payload("doc-3", b'{"side":"late"}')))
    else:
        dies(harness, steps.settle_return, lambda: harness.rollback(ref))
        put(docs, with_payload("doc-3", b'{"side":"late"}'))
    with pytest.raises(UnsafeRoute, match="doc-3"):
        harness.rollback(ref)
    assert contents(docs)["doc-3"].payload == b'{"side":"late"}'
    assert (harness.migration(ref).state, serving(harness, ref).writes) == (State.SWITCHED, "open")
    done = harness.rollback(ref, prefer="new")
    assert contents(docs) == contents(f"{docs}-new")
    assert done["settled"] == 1
    assert not harness.ledger.deltas(ref.migration, Direction.REVERSE, open_only=True)


@pytest.mark.slow
def test_s16_what_a_dead_merge_wrote_is_ours_and_follows_the_new_store(harness: Harness, docs: str) -> None:
    """Written and never closed; the new store moved on: no conflict, nothing kept, and both stores are the same."""
    ref = changed(harness, docs)
    dies(harness, steps.settle_return, lambda: harness.rollback(ref))
    put(docs, with_payload("doc-3", b'{"side":"new"}'), mixed_batch(1, first=900), delete=("doc-9",))  # as loaded
    put(f"{docs}-new", with_payload("doc-3", b'{"side":"newer"}'), delete=("doc-900",))
    foreseen = harness.foresee(ref).found.counts
    assert (foreseen.conflicts, foreseen.kept) == (0, 0)
    done = harness.rollback(ref)
    assert (done["kept"], done["settled"]) == (0, 0)
    assert contents(docs) == contents(f"{docs}-new")


@pytest.mark.slow
def test_s5_what_a_person_let_through_is_not_asked_for_again_after_a_death(harness: Harness, docs: str) -> None:
    """The deletes were shown and allowed; the run that recorded them died, and the same command ends it."""
    sync = QUICK["sync"] | {"max_deletes": 2, "max_delete_percent": 0}
    ref = harness.migrate(docs, f"{docs}-new", sync=sync)
    put(f"{docs}-new", delete=("doc-1", "doc-2", "doc-3", "doc-4"))
    with pytest.raises(UnsafeRoute, match="4 deletes"):
        harness.rollback(ref)
    dies(harness, steps.settle_return, lambda: harness.rollback(ref, allow_deletes=4))
    put(docs, delete=("doc-1",))  # as loaded
    harness.rollback(ref, allow_deletes=4)
    assert contents(docs) == contents(f"{docs}-new")


# Conflicts


def paid(number: int, payload: bytes) -> Any:
    """A record of the source with another payload, and all else as it was."""
    row = mixed_batch(60).slice(number, 1)
    made = batch.make(["x"], IdKind.STRING, payloads=[payload]).column(batch.PAYLOAD)
    return row.set_column(row.schema.get_field_index(batch.PAYLOAD), row.schema.field(batch.PAYLOAD), made)


def clash(harness: Harness, docs: str) -> Ref:
    """A switched migration with two records whose payload both sides changed."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    for number in (7, 8):
        put(docs, paid(number, b'{"side":"old"}'))
        put(f"{docs}-new", paid(number, b'{"side":"new"}'))
    return ref


@pytest.mark.slow
def test_s14_what_the_old_side_won_is_settled_and_not_listed_as_late(harness: Harness, docs: str) -> None:
    """Each conflict is settled once, whatever the number of passes; the look at the end finds nothing new."""
    ref = clash(harness, docs)
    done = harness.rollback(ref, prefer="old")
    assert (done["settled"], done["changed"], done["conflicts"]) == (2, 0, 0)
    assert not any(done["late"].values())
    assert contents(docs)["doc-7"].payload == b'{"side":"old"}'
    assert len(list((harness.folder / "home").rglob("conflicts/*.parquet"))) == 1


@pytest.mark.slow
def test_s14_a_record_that_one_side_deleted_and_the_old_side_won_is_not_listed_as_late_either(
    harness: Harness, docs: str
) -> None:
    """Deleted here and written there, and the other way round: settled once, kept as the old store has it."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    put(docs, paid(7, b'{"side":"old"}'), delete=("doc-8",))
    put(f"{docs}-new", paid(8, b'{"side":"new"}'), delete=("doc-7",))
    done = harness.rollback(ref, prefer="old")
    assert (done["settled"], done["new"], done["changed"], done["deleted"]) == (2, 0, 0, 0)
    assert not any(done["late"].values())
    found = contents(docs)
    assert found["doc-7"].payload == b'{"side":"old"}'
    assert "doc-8" not in found
    assert verify(open_work(ref).archive, deep=True).sound


@pytest.mark.slow
@pytest.mark.parametrize("step", [steps.settle_return, steps.check_hooks])
def test_s16_a_file_of_decisions_is_good_for_the_run_that_follows_a_dead_one(
    harness: Harness, docs: str, tmp_path: Path, step: Callable[..., Any]
) -> None:
    """Recorded, or written and closed when the run died: the same command with the same file ends it."""
    ref, file = clash(harness, docs), tmp_path / "conflicts.jsonl"
    with pytest.raises(UnsafeRoute, match="doc-7"):
        harness.rollback(ref, conflicts=file)
    head, *lines = file.read_text().splitlines()
    sides = {"doc-7": "new", "doc-8": "old"}
    decided = [json.dumps(json.loads(line) | {"decision": sides[json.loads(line)["id"]]}) for line in lines]
    file.write_text("\n".join([head, *decided]) + "\n")
    dies(harness, step, lambda: harness.rollback(ref, conflicts=file))
    harness.rollback(ref, conflicts=file)
    found = harness.records(docs)
    assert found[IdKind.STRING, "doc-7"].payload == b'{"side":"new"}'
    assert found[IdKind.STRING, "doc-8"].payload == b'{"side":"old"}'


@pytest.mark.slow
def test_s16_no_version_that_lost_is_forgotten_with_the_delta_of_a_dead_run(harness: Harness, docs: str) -> None:
    """The number of the delta that was left is given again; what lost in the first merge stays in the archive."""
    ref = clash(harness, docs)
    dies(harness, steps.settle_return, lambda: harness.rollback(ref, prefer="new"))
    put(docs, paid(7, b'{"side":"new"}'))  # as loaded: the old side's version is in the archive alone
    whenever(harness, steps.check_hooks, lambda: put(docs, paid(9, b'{"side":"old"}')))
    whenever(harness, steps.check_hooks, lambda: put(f"{docs}-new", paid(9, b'{"side":"new"}')))
    harness.rollback(ref, prefer="new")
    archive = open_work(ref).archive
    files = sorted((harness.folder / "home").rglob("conflicts/*.parquet"))
    rows = [
        row for file in files for batch in read_losers(archive.storage, int(file.stem)) for row in batch.to_pylist()
    ]
    assert {row["id"] for row in rows} == {"doc-7", "doc-8", "doc-9"}
    assert all(json.loads(row["payload"]) == {"side": "old"} for row in rows)


# Merging while the old store serves


def test_s18_a_merge_writes_only_while_its_pause_holds(harness: Harness, docs: str) -> None:
    """The pause ends between merge and write: nothing is written, and the next merge brings all of it."""
    ref = changed(harness, docs)
    routes.route_only(harness.runner, ref)
    before = contents(docs)
    whenever(harness, steps.settle_return, lambda: end_pauses(harness))
    with pytest.raises(UnsafeRoute, match="ended at"):
        harness.merge(ref)
    assert (harness.migration(ref).state, contents(docs)) == (State.ROLLED_BACK_UNMERGED, before)
    assert serving(harness, ref).writes == "open"
    put(docs, with_payload("doc-3", b'{"side":"old"}'))
    with pytest.raises(UnsafeRoute, match="doc-3"):
        harness.merge(ref)
    harness.merge(ref, prefer="new")
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert contents(docs) == contents(f"{docs}-new")


@pytest.mark.slow
def test_s17_a_store_that_refuses_the_first_write_leaves_nothing_open(harness: Harness, tmp_path: Path) -> None:
    """A Milvus collection with fields of its owner's takes no record of ours: told before any pause, and `complete`
    is not stopped by what could never be written."""
    old = make_source("milvus+path", Place(tmp_path), "docs", generate(60, 8))
    ref = harness.migrate(old, f"memory:///{tmp_path.name}-new", reverse="hold", **QUICK)
    with registry.open_target(address.parse(new_of(harness, ref))) as store:
        row = batch.drop_hashes(next(iter(store.read(store.slices(1)[0]))).slice(0, 1))
        made = batch.make(["x"], IdKind.STRING, payloads=[b'{"edited":true}']).column(batch.PAYLOAD)
        at = row.schema.get_field_index(batch.PAYLOAD)
        store.write(row.set_column(at, row.schema.field(at), made))
    with pytest.raises(StoreRefused):
        harness.rollback(ref)
    assert (harness.migration(ref).state, serving(harness, ref).writes) == (State.SWITCHED, "open")
    assert not harness.ledger.deltas(ref.migration, open_only=True)
    ending.complete(harness.runner, ref)
    assert harness.migration(ref).state is State.COMPLETED


@pytest.mark.slow
def test_s18_a_merge_into_a_server_needs_a_pause_that_outlasts_a_call(harness: Harness, tmp_path: Path) -> None:
    """A call that the driver gives up only after the pause could land over a write of the application: not made."""
    with ChromaServer(tmp_path / "chroma") as server:
        old = f"{server.url}/docs"
        fill(old, [mixed_batch(60)])
        options: dict[str, Any] = {"hooks": {"pause_ttl_s": 60}, "sync": {"absence_wait_s": 0, "driver_timeout_s": 90}}
        ref = harness.migrate(old, f"memory:///{tmp_path.name}-new", **options)
        write(new_of(harness, ref), 900)
        routes.route_only(harness.runner, ref)
        with pytest.raises(UnsafeRoute, match="90 s needed"):
            harness.merge(ref)
        assert "doc-900" not in names(harness, old)
        assert (harness.migration(ref).state, serving(harness, ref).writes) == (State.ROLLED_BACK_UNMERGED, "open")


@pytest.mark.slow
def test_s18_a_route_that_went_back_alone_is_followed_after_its_pause_is_over(
    harness: Harness, docs: str, application: Application
) -> None:
    """The run died before anybody was told, and the pause ended: the same command tells the application; then both are
    merged, with what the new store received meanwhile."""
    ref = switched(harness, docs, application)
    dies(harness, steps.follow_alias_back, lambda: routes.route_only(harness.runner, ref))
    go_on_in_new_store(harness, ref, application)
    routes.route_only(harness.runner, ref)
    assert (application.memory.url, application.memory.writes) == (docs, "open")
    harness.merge(ref)
    assert is_back(harness, ref, application, docs)
    assert names(harness, docs) == names(harness, new_of(harness, ref))
