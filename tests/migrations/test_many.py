"""Many collections as one group: each on its own, none twice, all of them counted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings

from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness
from tests.support.qdrant_server import QdrantServer
from vecferry import failpoints
from vecferry.config import make_config, make_selection
from vecferry.errors import BadOption, DataDiffer, DataError, NotFound, PlanRefused, Stopped, UnsafeRoute, VecferryError
from vecferry.ledger import Holder, State, migration_resource
from vecferry.operations import ending, many, migrations
from vecferry.operations.many import Opened, Request
from vecferry.operations.members import Member, Outcome, most_serious
from vecferry.strategies.runner import Ref

KILLED = -9
DIMENSION = 4


def write(folder: Path, *names: str, rows: int = 20) -> str:
    """A folder of arrays with a line for each row; its URL."""
    folder.mkdir(exist_ok=True)
    for name in names:
        numbers = np.random.default_rng(len(name)).normal(size=(rows, DIMENSION)).astype(np.float32)
        np.save(folder / f"{name}.npy", numbers)
        lines = (f'{{"id": "{name}-{row}", "n": {row}}}\n' for row in range(rows))
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return f"numpy://{folder}"


def spoil(folder: Path, name: str) -> None:
    """Put a number into an array that no target takes."""
    numbers = np.load(folder / f"{name}.npy")
    numbers[3, 1] = np.nan
    np.save(folder / f"{name}.npy", numbers)


def request(source: str, target: str, strategy: str = "blue-green", **options: Any) -> Request:
    """What `vecferry migrate --all` asks for; options of the selection among the others."""
    names = ("collections", "exclude", "target_name")
    selection = {name: options.pop(name) for name in names if name in options}
    defaults = {"metric": "cosine", "approve": "auto", "retry_budget_s": 0}
    config = make_config({"source": source, "target": target, **defaults, **options})
    return Request(config, make_selection(selection), strategy)


def attempt_with(harness: Harness) -> Callable[[Ref], VecferryError | None]:
    """Runs one migration as the command line does."""

    def attempt(ref: Ref) -> VecferryError | None:
        try:
            migrations.run(harness.runner, ref)
        except VecferryError as error:
            return error
        return None

    return attempt


def run(harness: Harness, asked: Request | Opened) -> tuple[Opened, dict[str, Member]]:
    """Open (or take) a group and run it; the members by the name of their file."""
    opened = many.open_group(harness.ledger, asked) if isinstance(asked, Request) else asked
    many.run(harness.ledger, opened, attempt_with(harness), told=lambda member: None)
    return opened, {one.label.removesuffix(".npy"): one for one in many.members_of(harness.ledger, opened)}


def outcomes(members: dict[str, Member]) -> dict[str, Outcome]:
    """How each ended."""
    return {name: one.outcome for name, one in members.items()}


def shortfall(harness: Harness, opened: Opened) -> VecferryError | None:
    """Why not all is done."""
    members = many.members_of(harness.ledger, opened)
    return many.shortfall(members, many.count(harness.ledger, opened, members), opened.group)


@pytest.fixture
def target(tmp_path: Path) -> str:
    """A folder for embedded collections."""
    return f"qdrant+edge://{tmp_path}/edge"


def test_each_collection_has_its_own_migration_plan_and_verdict(harness: Harness, target: str) -> None:
    """All are moved and switched, each with a route of its own, and both stores count as many."""
    source = write(harness.folder / "old", "a", "b", "c")
    opened, members = run(harness, request(source, target))
    assert outcomes(members) == dict.fromkeys("abc", Outcome.DONE)
    for name, member in members.items():
        assert (member.rows, member.verified) == (20, True)
        assert member.verdict is not None
        route = harness.ledger.route(name)
        assert route is not None
        assert route.url == f"{target}/{name}"
        assert harness.records(route.url).keys() == harness.records(f"{source}/{name}.npy").keys()
    assert shortfall(harness, opened) is None
    harness.ledger.verify_audit()


@pytest.mark.slow
def test_the_same_command_again_does_nothing_again(harness: Harness, target: str) -> None:
    """It finds the group, and leaves every migration as it is."""
    asked = request(write(harness.folder / "old", "a", "b"), target)
    opened, _ = run(harness, asked)
    before = harness.ledger.members(opened.group.id)
    again, members = run(harness, asked)
    assert again.group.id == opened.group.id
    assert harness.ledger.members(opened.group.id) == before
    assert outcomes(members) == dict.fromkeys("ab", Outcome.DONE)


@pytest.mark.slow
def test_one_that_fails_does_not_stop_the_others(harness: Harness, target: str) -> None:
    """What holds a NaN is refused by its plan; the others arrive, and the end is the exit code of the refusal."""
    source = write(harness.folder / "old", "a", "b", "c")
    spoil(harness.folder / "old", "b")
    opened, members = run(harness, request(source, target))
    assert outcomes(members) == {"a": Outcome.DONE, "b": Outcome.FAILED, "c": Outcome.DONE}
    assert members["b"].error is not None
    assert "NaN" in members["b"].error["message"]
    error = shortfall(harness, opened)
    assert isinstance(error, PlanRefused)
    assert "2 of 3" in str(error)


@pytest.mark.slow
def test_what_failed_is_looked_at_anew(harness: Harness, target: str) -> None:
    """Once the source is mended, the same command moves it under the same id, from a new inventory."""
    source = write(harness.folder / "old", "a", "b")
    spoil(harness.folder / "old", "b")
    asked = request(source, target)
    _, before = run(harness, asked)
    write(harness.folder / "old", "b", rows=30)
    opened, members = run(harness, asked)
    assert outcomes(members) == dict.fromkeys("ab", Outcome.DONE)
    assert members["b"].migration.id == before["b"].migration.id
    assert members["b"].rows == 30
    assert shortfall(harness, opened) is None


def test_what_failed_takes_the_options_of_the_next_command(harness: Harness, target: str) -> None:
    """Without a metric no plan can be made; the command with one finds the group, and plans."""
    source = write(harness.folder / "old", "a")
    _, members = run(harness, request(source, target, metric=None))
    assert outcomes(members) == {"a": Outcome.FAILED}
    _, members = run(harness, request(source, target))
    assert outcomes(members) == {"a": Outcome.DONE}


def kill(harness: Harness, asked: Request, points: str) -> int:
    """Run in a process of its own that dies at a failpoint; its exit code."""
    return harness._in_process(_run_armed, asked, points)  # type: ignore[arg-type]


def _run_armed(folder: str, home: str, asked: Request, points: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    failpoints.arm(points)
    run(Harness(Path(folder)), asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        pytest.param("many.opened", marks=pytest.mark.slow),
        pytest.param("many.recorded", marks=pytest.mark.slow),
        "validate.concluded=kill@2",
        pytest.param("ledger.switched=kill@2", marks=pytest.mark.slow),
        pytest.param("load.batch_written=kill@2", marks=pytest.mark.slow),
    ],
)
def test_after_a_kill_the_same_command_goes_on(harness: Harness, target: str, point: str) -> None:
    """There is one group, every collection arrives, and those that were done before stay as they were."""
    asked = request(write(harness.folder / "old", "a", "b", "c"), target)
    assert kill(harness, asked, point if "=" in point else f"{point}=kill") == KILLED
    [group] = harness.ledger.groups()
    done = [one for one in harness.ledger.members(group.id) if one.state is State.SWITCHED]
    opened, members = run(harness, asked)
    assert [one.id for one in harness.ledger.groups()] == [opened.group.id]
    assert len(harness.ledger.migrations()) == 3
    assert outcomes(members) == dict.fromkeys("abc", Outcome.DONE)
    assert all(harness.ledger.migration(one.id) == one for one in done)
    assert shortfall(harness, opened) is None


@pytest.mark.slow
def test_a_group_is_resumed_by_its_id(harness: Harness, target: str) -> None:
    """`vecferry resume GROUP` knows stores, options and members from the ledger."""
    asked = request(write(harness.folder / "old", "a", "b"), target)
    opened = many.open_group(harness.ledger, asked)
    resumed, members = run(harness, many.reopen(harness.ledger, opened.group.id))
    assert resumed.request == asked
    assert outcomes(members) == dict.fromkeys("ab", Outcome.DONE)


@pytest.mark.slow
def test_approvals_are_given_one_by_one(harness: Harness, target: str) -> None:
    """Without an answer each stops before its switch; the one that is approved switches, the other waits."""
    harness.answer = False
    asked = request(write(harness.folder / "old", "a", "b"), target, approve="ask")
    opened, members = run(harness, asked)
    assert outcomes(members) == dict.fromkeys("ab", Outcome.WAITING)
    assert isinstance(shortfall(harness, opened), Stopped)
    harness.answer = True
    only = replace(opened, members=(members["a"].migration.id,))
    run(harness, only)
    assert [one.state for one in harness.ledger.members(opened.group.id)] == [State.SWITCHED, State.READY]


@pytest.mark.slow
def test_a_later_command_may_approve_by_option(harness: Harness, target: str) -> None:
    """--approve auto is an option of a run and not of the plan, so that it counts for what is planned already."""
    harness.answer = False
    source = write(harness.folder / "old", "a", "b")
    run(harness, request(source, target, approve="ask"))
    _, members = run(harness, request(source, target, approve="auto"))
    assert outcomes(members) == dict.fromkeys("ab", Outcome.DONE)


def test_what_a_person_ended_is_not_begun_again(harness: Harness, target: str) -> None:
    """An aborted member stays so; the command says that a person must decide, unless it leaves that one out."""
    source = write(harness.folder / "old", "a", "b")
    asked = request(source, target)
    opened = many.open_group(harness.ledger, asked)
    ending.abort(harness.ledger, opened.members[1])
    opened, members = run(harness, asked)
    assert outcomes(members) == {"a": Outcome.DONE, "b": Outcome.ENDED}
    assert isinstance(shortfall(harness, opened), UnsafeRoute)
    opened, members = run(harness, request(source, target, exclude=["b"]))
    assert outcomes(members) == {"a": Outcome.DONE}
    assert shortfall(harness, opened) is None


@pytest.mark.slow
def test_patterns_say_which_are_meant(harness: Harness, target: str) -> None:
    """A wider pattern later adds to the same group; what is left out is not moved."""
    source = write(harness.folder / "old", "docs-a", "docs-b", "images")
    first, members = run(harness, request(source, target, collections=["docs-*"], exclude=["*-b"]))
    assert outcomes(members) == {"docs-a": Outcome.DONE}
    assert shortfall(harness, first) is None
    second, members = run(harness, request(source, target))
    assert second.group.id == first.group.id
    assert outcomes(members) == dict.fromkeys(("docs-a", "docs-b", "images"), Outcome.DONE)


def test_no_collection_is_no_success(harness: Harness, target: str) -> None:
    """A pattern that means nothing, and a store that holds nothing, are errors that name what is there."""
    source = write(harness.folder / "old", "a")
    with pytest.raises(NotFound) as caught:
        many.open_group(harness.ledger, request(source, target, collections=["docs*"]))
    assert "it has a" in caught.value.advice
    (harness.folder / "empty").mkdir()
    with pytest.raises(NotFound, match="holds no collection"):
        many.open_group(harness.ledger, request(f"numpy://{harness.folder}/empty", target))
    assert harness.ledger.migrations() == []


@pytest.mark.slow
def test_what_appears_or_vanishes_meanwhile_is_told(harness: Harness, target: str) -> None:
    """Both stores are counted at the end; the same command takes along what has appeared."""
    asked = request(write(harness.folder / "old", "a", "b"), target)
    opened, members = run(harness, asked)
    write(harness.folder / "old", "late")
    (harness.folder / "old" / "b.npy").rename(harness.folder / "b.npy")
    found = many.count(harness.ledger, opened, tuple(members.values()))
    assert [url.rpartition("/")[2] for url in found.appeared] == ["late.npy"]
    assert [url.rpartition("/")[2] for url in found.vanished] == ["b.npy"]
    assert isinstance(shortfall(harness, opened), Stopped)
    opened, members = run(harness, asked)
    assert outcomes(members) == dict.fromkeys(("a", "b", "late"), Outcome.DONE)
    assert shortfall(harness, opened) is None


@pytest.mark.slow
def test_a_verified_target_that_is_not_listed_is_told(harness: Harness, target: str) -> None:
    """A target that somebody dropped after its verdict is missing in the count."""
    opened, members = run(harness, request(write(harness.folder / "old", "a", "b"), target))
    (harness.folder / "edge" / "a").rename(harness.folder / "elsewhere")
    found = many.count(harness.ledger, opened, tuple(members.values()))
    assert found.missing == (f"{target}/a",)
    assert isinstance(shortfall(harness, opened), DataDiffer)


def test_a_store_that_cannot_be_counted_again_is_no_success(harness: Harness, target: str) -> None:
    """What was not checked is not taken for good."""
    opened, _ = run(harness, request(write(harness.folder / "old", "a"), target))
    (harness.folder / "old").rename(harness.folder / "gone")
    error = shortfall(harness, opened)
    assert isinstance(error, Stopped)
    assert "could not be counted" in str(error)


@pytest.mark.slow
def test_within_one_store_new_names_are_not_taken_for_old_ones(harness: Harness, target: str) -> None:
    """A template gives the new names; run again, the command does not move what it has made."""
    run(harness, request(write(harness.folder / "old", "a", "b"), target))
    asked = request(target, target, target_name="{name}_v2", route="new-{name}")
    opened, members = run(harness, asked)
    assert outcomes(members) == dict.fromkeys("ab", Outcome.DONE)
    assert [one.target_url for one in harness.ledger.members(opened.group.id)] == [f"{target}/a_v2", f"{target}/b_v2"]
    opened, members = run(harness, asked)
    assert outcomes(members) == dict.fromkeys("ab", Outcome.DONE)
    assert shortfall(harness, opened) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "become"),
        ({"target_name": "same"}, "become"),
        ({"target_name": "{database}_{name}"}, "share the route"),
        ({"target_name": "{database}_{name}", "route": "{database}-{name}", "reads_alias": "r"}, "share the alias"),
        ({"target_name": "{database}_{name}", "route": "{database}-{name}", "archive": "/x"}, "share the archive"),
        ({"target_name": "{where}_{name}"}, "has a place {where}"),
    ],
)
def test_collections_that_would_meet_are_refused_before_anything_starts(
    harness: Harness, target: str, two_databases: str, options: dict[str, Any], words: str
) -> None:
    """Two databases have a collection of one name: the clash is listed, and the ledger stays empty."""
    with pytest.raises(BadOption, match=words):
        many.open_group(harness.ledger, request(two_databases, target, **options))
    assert harness.ledger.migrations() == []


@pytest.mark.slow
def test_templates_keep_databases_apart(harness: Harness, target: str, two_databases: str) -> None:
    """With names, routes and archives by database each of the two is moved."""
    asked = request(
        two_databases,
        target,
        target_name="{database}_{name}",
        route="{database}.{name}",
        archive=str(harness.folder / "{database}"),
    )
    opened, members = run(harness, asked)
    assert outcomes(members) == {"docs": Outcome.DONE, "second/docs": Outcome.DONE}
    assert harness.ledger.route("second.docs") is not None
    assert (harness.folder / "second" / "docs" / "manifest.json").exists()
    assert shortfall(harness, opened) is None


def test_a_folder_of_many_collections_is_copied_once(harness: Harness, two_databases: str) -> None:
    """The collections of an engine's folder are in the same files: one backup is made, and it is that of each."""
    asked = request(two_databases, f"jsonl://{harness.folder}/new", "load", target_name="{database}_{name}")
    opened, members = run(harness, asked)
    assert outcomes(members) == {"docs": Outcome.DONE, "second/docs": Outcome.DONE}
    assert sorted(path.name for path in (harness.folder / "new").glob("*.jsonl")) == [
        "default_database_docs.jsonl",
        "second_docs.jsonl",
    ]
    facts = [harness.ledger.fact(one, "backup") for one in opened.members]
    assert facts[0] == facts[1]
    assert len(list((harness.folder / "home").rglob("chroma.sqlite3"))) == 1


@pytest.fixture(scope="module")
def two_databases(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a Chroma folder with a collection `docs` in each of two databases."""
    folder = tmp_path_factory.mktemp("chroma") / "folder"
    client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
    client._admin_client.create_database("second")
    for database in ("default_database", "second"):
        client.set_database(database)
        collection = client.create_collection("docs", embedding_function=None, metadata={"hnsw:space": "cosine"})
        collection.add(ids=["1", "2"], embeddings=np.eye(2, DIMENSION, dtype=np.float32), documents=["a", database])
    client.close()
    return f"chroma+path://{folder}"


@pytest.mark.slow
def test_an_export_and_a_load_of_many_go_through_one_folder(harness: Harness, target: str) -> None:
    """Each collection has its archive in the folder; loaded from there, every one has a verdict."""
    source = write(harness.folder / "old", "a", "b")
    folder = harness.folder / "archives"
    opened, members = run(harness, request(source, f"archive://{folder}", "export", archive=str(folder)))
    assert outcomes(members) == dict.fromkeys("ab", Outcome.DONE)
    assert shortfall(harness, opened) is None
    opened, members = run(harness, request(f"archive://{folder}", target, "load"))
    assert [(one.verified, one.migration.state) for one in members.values()] == [(True, State.READY)] * 2
    assert shortfall(harness, opened) is None


@pytest.mark.slow
def test_servers_and_engines_pass_many_on(harness: Harness, tmp_path: Path) -> None:
    """Two databases of a Chroma server go to a Qdrant server, from there to milvus-lite; every number agrees."""
    with ChromaServer(tmp_path / "chroma") as chroma, QdrantServer(tmp_path / "qdrant") as qdrant:
        with contextlib.closing(chroma.client()) as client:
            client._admin_client.create_database("second")  # type: ignore[attr-defined]
            for database in ("default_database", "second"):
                client.set_database(database)
                made = client.create_collection("docs", embedding_function=None)
                made.add(ids=["1", "2"], embeddings=np.eye(2, DIMENSION, dtype=np.float32), documents=["a", database])
        server = f"qdrant://127.0.0.1:{qdrant.grpc_port}?rest_port={qdrant.url.rpartition(':')[2]}"
        asked = request(chroma.url, server, target_name="{database}_{name}", route="{database}_{name}")
        first, members = run(harness, asked)
        assert outcomes(members) == {"docs": Outcome.DONE, "second/docs": Outcome.DONE}
        assert shortfall(harness, first) is None
        second, members = run(harness, request(server, f"milvus+path://{tmp_path}/milvus", route="again_{name}"))
        assert outcomes(members) == {"default_database_docs": Outcome.DONE, "second_docs": Outcome.DONE}
        assert shortfall(harness, second) is None
    texts = {row.document for row in harness.records(f"milvus+path://{tmp_path}/milvus/second_docs").values()}
    assert texts == {"a", "second"}


def test_the_most_serious_end_decides() -> None:
    """An unsafe route goes before different data, those before a refusal, a wrong option, and a mere stop."""
    assert [most_serious(codes) for codes in ([0, 3], [3, 2], [2, 4], [4, 1], [1, 5], [0])] == [
        Stopped, most_serious([2]), PlanRefused, DataError, UnsafeRoute, None
    ]  # fmt: skip


def test_another_run_at_work_on_one_does_not_stop_the_others(harness: Harness, target: str) -> None:
    """A member that is leased elsewhere is told as stopped, the others are moved."""
    asked = request(write(harness.folder / "old", "a", "b"), target)
    opened = many.open_group(harness.ledger, asked)
    elsewhere = replace(Holder.here(), host="elsewhere", boot_id="another")
    harness.ledger.acquire([migration_resource(opened.members[0])], elsewhere, 60.0)
    opened, members = run(harness, asked)
    assert outcomes(members) == {"a": Outcome.STOPPED, "b": Outcome.DONE}
