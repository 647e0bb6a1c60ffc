"""The file that says what serves a route, and how places are held against the ledger."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vecferry.errors import ConfigError, NotFound, Stopped, UnsafeRoute
from vecferry.ledger import Pause, Serving, State
from vecferry.routing import observing, route_file
from vecferry.routing.observing import Observation, answered, differences

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
OLD, NEW = "numpy:///data/old", "qdrant://host:6334/new"
OPEN = Serving("docs", None, OLD, OLD, 1, NOW, None)
PAUSE = Pause("docs", None, 7, "m-1", None, State.READY, NOW, NOW + timedelta(seconds=60))
PAUSED = replace(OPEN, pause=PAUSE)


def test_the_file_says_what_the_ledger_says(tmp_path: Path) -> None:
    """Route, both URLs, whether writes wait and for how long, epoch, time; each workspace served apart by its key."""
    file = tmp_path / "new" / "docs.json"
    acme = replace(PAUSED, workspace='"acme"', url=NEW, reads_url=NEW, epoch=3)
    assert route_file.write(file, route_file.content(OPEN, [acme]))
    assert json.loads(file.read_text()) == {
        "version": 1,
        "route": "docs",
        "changed_at": "2026-11-21T03:00:00+00:00",
        "url": OLD,
        "reads": OLD,
        "writes": "open",
        "epoch": 1,
        "ttl_s": None,
        "paused_until": None,
        "workspaces": {
            '"acme"': {
                "url": NEW,
                "reads": NEW,
                "writes": "paused",
                "epoch": 3,
                "ttl_s": 60.0,
                "paused_until": "2026-11-21T03:01:00+00:00",
            }
        },
    }
    assert [one.name for one in file.parent.iterdir()] == ["docs.json"]


def test_a_file_that_says_it_already_is_not_written_again(tmp_path: Path) -> None:
    """Time alone is no change: whoever watches the file is not woken for nothing."""
    file = tmp_path / "docs.json"
    assert route_file.write(file, route_file.content(PAUSED))
    written = file.stat()
    assert not route_file.write(file, route_file.content(replace(PAUSED, at=NOW + timedelta(seconds=5))))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert route_file.write(file, route_file.content(OPEN))


def test_a_reader_sees_the_old_content_or_the_new_one(tmp_path: Path) -> None:
    """While the file is replaced again and again, every read of it is whole and epochs never go back."""
    file = tmp_path / "docs.json"
    route_file.write(file, route_file.content(OPEN))
    stop, seen, broken = threading.Event(), list[int](), list[str]()

    def watch() -> None:
        while not stop.is_set():
            try:
                seen.append(json.loads(file.read_text())["epoch"])
            except (OSError, ValueError) as error:
                broken.append(repr(error))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for epoch in range(2, 60):
        route_file.write(file, route_file.content(replace(OPEN, epoch=epoch)))
    stop.set()
    watcher.join()
    assert broken == []
    assert seen == sorted(seen)


def test_a_new_file_can_be_read_by_others_and_an_old_one_keeps_its_rights(tmp_path: Path) -> None:
    """The application runs as somebody else."""
    file = tmp_path / "docs.json"
    route_file.write(file, route_file.content(OPEN))
    assert file.stat().st_mode & 0o777 == 0o644
    file.chmod(0o640)
    route_file.write(file, route_file.content(PAUSED))
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it leads to is replaced."""
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    route_file.write(real, route_file.content(OPEN))
    link.symlink_to(real)
    route_file.write(link, route_file.content(PAUSED))
    assert link.is_symlink()
    assert json.loads(real.read_text())["writes"] == "paused"


def test_an_older_epoch_never_replaces_a_later_one(tmp_path: Path) -> None:
    """A run that was overtaken, or another ledger, does not send applications back; per workspace as well."""
    file = tmp_path / "docs.json"
    acme = replace(OPEN, workspace='"acme"', epoch=5)
    route_file.write(file, route_file.content(replace(OPEN, epoch=2), [acme]))
    text = file.read_text()
    for stale in (
        route_file.content(OPEN, [acme]),
        route_file.content(replace(OPEN, epoch=2), [replace(acme, epoch=4)]),
    ):
        with pytest.raises(UnsafeRoute, match="has epoch"):
            route_file.write(file, stale)
    assert file.read_text() == text


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"version": 2, "epoch": 1, "workspaces": {}}', '{"version": 1, "epoch": 1}']
)
def test_a_file_that_is_no_route_file_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    """A slip of the pen in the configuration overwrites nobody's file."""
    file = tmp_path / "settings.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match="no route file"):
        route_file.write(file, route_file.content(OPEN))
    assert file.read_text() == text


def test_the_file_of_another_route_is_refused(tmp_path: Path) -> None:
    """Two routes in one file would each hide the other."""
    file = tmp_path / "docs.json"
    route_file.write(file, route_file.content(OPEN))
    with pytest.raises(UnsafeRoute, match="that of route docs"):
        route_file.write(file, route_file.content(replace(OPEN, name="images")))


def test_a_folder_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    """The error names the file; nothing is left beside it."""
    (tmp_path / "wall").write_text("")
    with pytest.raises(Stopped, match="cannot be"):
        route_file.write(tmp_path / "wall" / "docs.json", route_file.content(OPEN))
    folder = tmp_path / "taken.json"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(Stopped):
        route_file.write(folder, route_file.content(OPEN))
    assert sorted(found.name for found in tmp_path.iterdir()) == ["taken.json", "wall"]


def test_reading_tells_missing_from_foreign(tmp_path: Path) -> None:
    """Each is an error of its own, and an observation says it in words."""
    with pytest.raises(NotFound):
        route_file.read(tmp_path / "none.json")
    assert "there is no route file" in route_file.observe(tmp_path / "none.json", NOW).error


def test_an_observation_of_the_file_is_what_the_ledger_said(tmp_path: Path) -> None:
    """A workspace that is served apart is looked up by its key, any other one is served as the whole."""
    file = tmp_path / "docs.json"
    acme = replace(PAUSED, workspace='"acme"', url=NEW, reads_url=NEW, epoch=3)
    route_file.write(file, route_file.content(OPEN, [acme]))
    assert differences(OPEN, route_file.observe(file, NOW)) == ()
    assert differences(acme, route_file.observe(file, NOW, '"acme"')) == ()
    assert differences(OPEN, route_file.observe(file, NOW, '"other"')) == ()


def test_every_point_in_which_a_place_differs_is_named() -> None:
    """URL, reads, epoch and writes are compared; what a place does not say is no difference."""
    found = Observation("hook", NOW, url=NEW, reads_url=NEW, epoch=2, writes="open")
    assert differences(PAUSED, found) == (
        f"hook serves {NEW}, recorded is {OLD}",
        f"hook reads from {NEW}, recorded is {OLD}",
        "hook has epoch 2, recorded is 1",
        "hook has writes open, recorded is paused",
    )
    assert differences(PAUSED, Observation("alias", NOW, url=OLD)) == ()


def test_one_collection_in_two_spellings_is_no_difference() -> None:
    """URLs are compared as places; a text that is no URL is compared as it is."""
    new = replace(OPEN, url=NEW, reads_url=NEW)
    assert differences(new, answered("hook", NOW, {"url": "QDRANT://Host:6334/new", "writes": "open"})) == ()
    assert len(differences(new, answered("hook", NOW, {"url": "the new one", "writes": "open"}))) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"url": "", "writes": "open"},
        {"url": 5, "writes": "open"},
        {"url": OLD},
        {"url": OLD, "writes": "maybe"},
        {"url": OLD, "writes": "open", "epoch": "1"},
        {"url": OLD, "writes": "open", "epoch": True},
    ],
)
def test_an_answer_that_says_too_little_is_an_error(answer: dict[str, object]) -> None:
    """Never taken for an agreement."""
    found = observing.answered("hook", NOW, answer)
    assert found.error
    assert differences(OPEN, found) == (f"hook: {found.error}",)
