"""kill -9 in every state of a migration and of its rollback, while an application writes; the next command ends it.

    python -m tests.migrations.kill_every_state                     # Chroma server -> Qdrant, and FAISS -> Qdrant
    python -m tests.migrations.kill_every_state --source chroma     # one of them
    python -m tests.migrations.kill_every_state --only SWITCHING    # states whose name has this in it

Both servers and every command are processes of their own. The application asks the ledger which store serves, and
writes there with the vendor's own client whenever writes are open. In the end the store that serves is read by that
client: every acknowledged write is there, none is listed as late, nothing is lost, and writes go on.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chromadb
import faiss
import yaml
from chromadb.config import Settings
from qdrant_client import QdrantClient, models

from tests.support.chroma_server import ChromaServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry.address import parse
from vecferry.ledger import Ledger, State
from vecferry.mapping.ids import NAMESPACE

ROWS, DIMENSION, IDS = 150, 8, 40
SETTLED_S, RELEASED_S, COMMAND_S = 0.5, 20.0, 180.0
BORN = 10_000
"""The application's own ids, where ids are numbers, begin here."""


Words = tuple[str, ...]
ROLLBACK: Words = ("rollback",)
ROUTE_ONLY: Words = ("rollback", "--route-only")
MERGE: Words = ("merge", "--prefer", "old")
"""Where both stores were written it is the old one that has what the application wrote last."""
FORWARD: Words = ("forward",)


@dataclass(frozen=True)
class Case:
    """Where a run is killed: the state that it must be in then, and the failpoint.

    `killed`: the command on the way back that is killed (none: `migrate` is), after those of `before`, undisturbed.
    `then`: the commands that end it (none: `resume`, or the killed one again).
    """

    state: State
    point: str
    note: str = ""
    killed: Words = ()
    before: tuple[Words, ...] = ()
    then: tuple[Words, ...] = ()

    @property
    def ends(self) -> tuple[Words, ...]:
        """The commands after the kill."""
        return self.then or (self.killed or ("resume",),)

    @property
    def wanted(self) -> State:
        """Where it ends."""
        return State.ROLLED_BACK if self.killed and self.killed != FORWARD else State.SWITCHED

    def __str__(self) -> str:
        return f"{self.state}{', ' + self.note if self.note else ''}{f' ({self.killed[0]})' if self.killed else ''}"


CASES = (
    Case(State.PLANNED, "prepare.created", note="target made"),
    Case(State.COPYING, "copy.slice_recorded"),
    Case(State.CATCHING_UP, "load.finished", note="loaded"),
    Case(State.VERIFYING, "validate.slice_recorded"),
    Case(State.READY, "ledger.pausing", note="about to pause"),
    Case(State.FROZEN, "ledger.paused", note="paused"),
    Case(State.FROZEN, "cutover.checked", note="looked for the last time"),
    Case(State.SWITCHING, "cutover.before_switch", note="route not moved"),
    Case(State.SWITCHING, "cutover.switched", note="route moved"),
    Case(State.SWITCHED, "cutover.ended", note="not released"),
    Case(State.SWITCHED, "look.ended", note="released"),
    Case(State.SWITCHED, "ledger.delta_recorded", killed=ROLLBACK, note="delta recorded"),
    Case(State.SWITCHED, "delta.batch_written", killed=ROLLBACK, note="delta half written"),
    Case(State.SWITCHED, "return.loaded", killed=ROLLBACK, note="delta written"),
    Case(State.ROLLBACK_FROZEN, "rollback.frozen", killed=ROLLBACK),
    Case(State.ROLLBACK_SWITCHING, "rollback.before_switch", killed=ROLLBACK, note="route not moved"),
    Case(State.ROLLBACK_SWITCHING, "rollback.switched", killed=ROLLBACK, note="route moved"),
    Case(State.ROLLED_BACK, "rollback.ended", killed=ROLLBACK, note="not released"),
    Case(State.ROLLED_BACK, "look.ended", killed=ROLLBACK, note="released"),
    Case(State.ROLLED_BACK_UNMERGED, "rollback.route_moved", "route alone", ROUTE_ONLY, (), (ROUTE_ONLY, MERGE)),
    Case(State.ROLLED_BACK_UNMERGED, "delta.batch_written", "half merged", MERGE, (ROUTE_ONLY,)),
    Case(State.ROLLED_BACK, "merge.ended", "merged", MERGE, (ROUTE_ONLY,)),
    Case(State.ROLLED_BACK, "look.ended", "looked at", FORWARD, (ROLLBACK,)),
    Case(State.CATCHING_UP, "forward.taken", "begun", FORWARD, (ROLLBACK,)),
    Case(State.CATCHING_UP, "delta.batch_written", "delta half written", FORWARD, (ROLLBACK,)),
    Case(State.VERIFYING, "validate.concluded", "proven", FORWARD, (ROLLBACK,)),
    Case(State.SWITCHING, "cutover.switched", "route moved", FORWARD, (ROLLBACK,)),
    Case(State.SWITCHED, "cutover.ended", "not released", FORWARD, (ROLLBACK,)),
)


@dataclass(frozen=True)
class Servers:
    """Where everything runs, and lies."""

    place: Place

    def qdrant(self) -> QdrantClient:
        """The vendor's client."""
        return QdrantClient(
            port=self.place.qdrant_rest_port, grpc_port=self.place.qdrant_port, check_compatibility=False
        )

    def chroma(self, name: str) -> Any:
        """A collection by the vendor's client."""
        settings = Settings(anonymized_telemetry=False)
        client = chromadb.HttpClient(host="127.0.0.1", port=self.place.chroma_port, settings=settings)
        return client.get_collection(name, embedding_function=None)


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Chroma's own server, and the loopback one of Qdrant's protocol, each a process."""
    command = [sys.executable, "-m", "tests.support.qdrant_server", "--folder", str(folder / "qdrant")]
    with (
        ChromaServer(folder / "chroma") as chroma,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as qdrant,
    ):
        try:
            assert qdrant.stdout is not None
            found = re.search(r"grpc=(\d+) rest=(\d+)", qdrant.stdout.readline())
            assert found is not None, "the Qdrant server did not start"
            yield Servers(Place(folder, int(found[1]), int(found[2]), chroma.port))
        finally:
            qdrant.terminate()


# The application


@dataclass
class Application:
    """Writes, updates and deletes its own records, one after the other, in the store that the ledger names."""

    servers: Servers
    ledger: Path
    route: str
    numeric: bool
    model: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._write_on, daemon=True)
        self._qdrant = self.servers.qdrant()

    def __enter__(self) -> Application:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join(30)
        self._qdrant.close()

    def wait_for_more(self, writes: int, within_s: float) -> bool:
        """Whether so many more writes are acknowledged in time: then they are open."""
        wanted, until = self.acknowledged + writes, time.monotonic() + within_s
        while self.acknowledged < wanted and time.monotonic() < until and not self.failed:
            time.sleep(0.02)
        return self.acknowledged >= wanted

    def _write_on(self) -> None:
        number = 0
        while not self._end.wait(0.03):
            try:
                number += self._write(number)
            except Exception as error:  # noqa: BLE001 - whatever a client raises is told in the table
                self.failed.append(f"{type(error).__name__}: {error}")
                return

    def _write(self, number: int) -> int:
        """One write, if writes are open; how many that were."""
        if not self.ledger.exists():
            return 0
        serving = Ledger.open(self.ledger).ask_route(self.route)
        if serving is None or serving.writes != "open" or serving.url.startswith("faiss"):
            return 0
        key, gone = f"app-{number % IDS}", number % 5 == 4
        if serving.url.startswith("chroma"):
            self._to_chroma(parse(serving.url).name, key, number, gone)
        else:
            self._to_qdrant(parse(serving.url).name, key, number, gone)
        if gone:
            self.model.pop(key, None)
        else:
            self.model[key] = number
        self.acknowledged += 1
        return 1

    def _to_chroma(self, name: str, key: str, number: int, gone: bool) -> None:
        collection = self.servers.chroma(name)
        if gone:
            collection.delete(ids=[key])
        else:
            collection.upsert(ids=[key], embeddings=[vector_of(number)], metadatas=[{"v": number}])

    def _to_qdrant(self, name: str, key: str, number: int, gone: bool) -> None:
        point = self.point_of(key)
        if gone:
            self._qdrant.delete(name, models.PointIdsList(points=[point]), wait=True)
            return
        payload = {"v": number} if self.numeric else {"v": number, "vecferry_id": key}
        self._qdrant.upsert(name, [models.PointStruct(id=point, vector=vector_of(number), payload=payload)], wait=True)

    def point_of(self, key: str) -> int | str:
        """Its id in Qdrant."""
        return BORN + int(key.removeprefix("app-")) if self.numeric else str(uuid.uuid5(NAMESPACE, key))


def vector_of(number: int) -> list[float]:
    """Some vector, never zeros."""
    return [1.0 + number % 7, *(float(number % (at + 2)) for at in range(DIMENSION - 1))]


# What a store holds, by its own client


def held(servers: Servers, application: Application, url: str) -> tuple[int, dict[str, int]]:
    """The number of records, and those of the application: value by key."""
    if url.startswith("chroma"):
        found = servers.chroma(parse(url).name).get(include=["metadatas"])
        pairs = zip(found["ids"], found["metadatas"], strict=True)
        return len(found["ids"]), {key: int(row["v"]) for key, row in pairs if key.startswith("app-")}
    if url.startswith("faiss"):
        return faiss.read_index(str(parse(url).file)).ntotal, application.model
    client = servers.qdrant()
    points, _ = client.scroll(parse(url).name, limit=100_000, with_payload=True)
    client.close()
    of_point = {str(application.point_of(f"app-{at}")): f"app-{at}" for at in range(IDS)}
    mine = [(of_point[str(one.id)], one.payload or {}) for one in points if str(one.id) in of_point]
    return len(points), {key: int(payload["v"]) for key, payload in mine}


# One case


@dataclass
class Outcome:
    """One row of the table; `problem` is `""` where all is right."""

    case: Case
    source: str
    writes: int
    seconds: float
    problem: str


class Wrong(Exception):
    """What is not as it must be."""


def run_case(servers: Servers, source: str, case: Case) -> Outcome:
    """A migration of its own, killed once."""
    begun = time.monotonic()
    name = f"docs-{uuid.uuid4().hex[:8]}"
    folder = servers.place.folder / name
    folder.mkdir()
    place = Place(folder, servers.place.qdrant_port, servers.place.qdrant_rest_port, servers.place.chroma_port)
    old = make_source(source, place, name, generate(ROWS, DIMENSION))
    application = Application(servers, folder / "ledger.db", name, numeric=source == "faiss")
    problem = ""
    with application:
        try:
            _killed_and_ended(folder, old, place, name, case, application)
        except Wrong as error:
            problem = str(error)
    if not problem:
        problem = _difference(servers, application, folder, name, case)
    return Outcome(case, source, application.acknowledged, time.monotonic() - begun, problem)


def _killed_and_ended(folder: Path, old: str, place: Place, name: str, case: Case, application: Application) -> None:
    config = folder / "migration.yaml"
    target = f"qdrant://127.0.0.1:{place.qdrant_port}/{name}-new?rest_port={place.qdrant_rest_port}"
    said = {
        "source": old,
        "target": target,
        "archive": str(folder / "archive"),
        "route": name,
        "approve": "auto",
        "batch_rows": 50,
        "metric": "cosine",
        "hooks": {"write_timeout_s": 1.0, "pause_ttl_s": 300.0},
        "sync": {"driver_timeout_s": 1.0, "absence_wait_s": 0.2, "max_deletes": 10_000, "max_changes": 10_000},
    }
    config.write_text(yaml.safe_dump(said))
    migrate = ("migrate", "--config", str(config))
    if case.killed:
        _require(_command(folder, migrate), 0, "migrate")
        _require_open(application, "after the switch")
        for words in case.before:
            _require(_command(folder, _of(folder, words)), 0, words[0])
            _require_open(application, f"after {words[0]}")
        _require(_command(folder, _of(folder, case.killed), case.point), -signal.SIGKILL, case.killed[0])
    else:
        _require(_command(folder, migrate, case.point), -signal.SIGKILL, "migrate")
    found = Ledger.open(folder / "ledger.db").migration(_id(folder)).state
    if found is not case.state:
        raise Wrong(f"killed at {case.point} it is {found}")
    time.sleep(SETTLED_S)  # for the application to go on, where its writes are open
    for words in case.ends:
        _require(_command(folder, _of(folder, words)), 0, f"{words[0]} after the kill")
        _require_open(application, f"after {words[0]}")


def _command(folder: Path, words: tuple[str, ...], point: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VECFERRY_HOME": str(folder / "home"), "VECFERRY_LEDGER": str(folder / "ledger.db")}
    environment["VECFERRY_FAILPOINTS"] = f"{point}=kill" if point else ""
    command = [sys.executable, "-m", "vecferry", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False)


def _of(folder: Path, words: Words) -> Words:
    """A command about the migration."""
    return (words[0], _id(folder), *words[1:])


def _id(folder: Path) -> str:
    return Ledger.open(folder / "ledger.db").migrations()[0].id


def _require(done: subprocess.CompletedProcess[str], code: int, what: str) -> None:
    if done.returncode != code:
        raise Wrong(f"{what} ended with {done.returncode}, not {code}: {done.stderr[-600:]}")


def _require_open(application: Application, when: str) -> None:
    serving = Ledger.open(application.ledger).ask_route(application.route)
    if serving is None or serving.writes != "open":
        raise Wrong(f"writes are not released {when}")
    if not serving.url.startswith("faiss") and not application.wait_for_more(5, RELEASED_S):
        raise Wrong(f"the application cannot write {when}: {application.failed}")


def _difference(servers: Servers, application: Application, folder: Path, name: str, case: Case) -> str:
    """What is wrong in the end; `""`: nothing."""
    ledger = Ledger.open(folder / "ledger.db")
    migration, serving = ledger.migration(_id(folder)), ledger.ask_route(name)
    if migration.state is not case.wanted or serving is None:
        return f"it is {migration.state}, not {case.wanted}"
    if (serving.url == migration.target_url) is not (case.wanted is State.SWITCHED):
        return f"the route leads to {serving.url}"
    rows, mine = held(servers, application, serving.url)
    if mine != application.model:
        apart = {key for key in mine.keys() | application.model.keys() if mine.get(key) != application.model.get(key)}
        return f"acknowledged writes are lost: {sorted(apart)[:5]}"
    if rows != ROWS + len(application.model):
        return f"it holds {rows} records, not {ROWS + len(application.model)}"
    for side in ("old", "new"):
        late = (ledger.fact(migration.id, f"late in the {side} store") or {}).get("counts", {})
        if any(late.values()):
            return f"listed as late in the {side} store: {late}"
    ledger.verify_audit()
    return "; ".join(application.failed)


def main(arguments: list[str] | None = None) -> int:
    """Run all cases and print a table; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=("chroma", "faiss"), action="append", help="only this source")
    parser.add_argument("--only", default="", help="only states whose name has this in it")
    given = parser.parse_args(arguments)
    failed = 0
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as running:
        for source in given.source or ("chroma", "faiss"):
            for case in (one for one in CASES if given.only in str(one)):
                found = run_case(running, source, case)
                failed += bool(found.problem)
                figures = f"{found.writes:5} writes {found.seconds:5.1f} s"
                print(f"{source:7} {case!s:55} {figures}  {found.problem or 'right'}", flush=True)  # noqa: T201
    print(f"{failed} wrong" if failed else "all right")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
