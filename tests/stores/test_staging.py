"""How file targets take writes: whole or not at all, whenever the process dies."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vecferry import batch as batches
from vecferry.address import Address, parse
from vecferry.errors import Stopped
from vecferry.model import CollectionSchema, IdKind, VectorField
from vecferry.stores import registry
from vecferry.stores.staging import writing
from vecferry.testing.rows import read_all

FORMS = ["jsonl://{}/made.jsonl", "numpy://{}/made.npy", "numpy://{}/made"]
POINTS = [
    "staging.segment_written@1",
    "staging.segment_written@3",
    "staging.merged",
    "staging.ready",
    "staging.moved@1",
    "staging.moved@2",
]
SHORT = {(FORMS[0], "staging.merged"), (FORMS[1], "staging.moved@1"), (FORMS[2], "staging.ready")}
"""What the short run kills."""

SCHEMA = CollectionSchema("made", (VectorField(dimension=3),), frozenset({IdKind.STRING}))

ZYGOTE = """
import os, sys
from tests.stores.test_staging import load
from vecferry import failpoints
for line in sys.stdin:
    url, name, number = line.split()
    child = os.fork()
    if not child:
        failpoints.arm(f"{name}=kill@{number}")
        load(url)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def zygote() -> Iterator[subprocess.Popen[str]]:
    """A process that has imported everything and forks one child for each load that shall die."""
    command = [sys.executable, "-c", ZYGOTE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def die_at(zygote: subprocess.Popen[str], url: str, point: str) -> None:
    """Run a load in a child that is killed at a point."""
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    name, _, number = point.partition("@")
    zygote.stdin.write(f"{url} {name} {number or 1}\n")
    zygote.stdin.flush()
    assert os.WTERMSIG(int(zygote.stdout.readline())) == signal.SIGKILL


def batch_of(start: int, stop: int, value: float) -> object:
    """Records of which each number of the vector is `value`."""
    count = stop - start
    return batches.make(
        [f"id {number}" for number in range(start, stop)],
        IdKind.STRING,
        vectors={"": batches.dense_array(np.full((count, 3), value, dtype=np.float32))},
        documents=[None] * count,
        payloads=[b'{"value":%d}' % value] * count,
    )


def load(url: str) -> None:
    """A load as a run does it: begin, five writes and a delete, finish; safe to do again from the start."""
    with registry.open_target(parse(url)) as target:
        target.begin_load()
        for number in range(5):
            target.write(batch_of(number * 10, number * 10 + 15, 2))
        target.delete(batches.ids_batch(batches.record_ids(batch_of(50, 55, 0))))
        target.finish_load()


def state_of(address: Address) -> dict[str, float] | None:
    """The value of each record, or None where a run died while it put the files in place."""
    try:
        with registry.open_source(address) as source:
            rows = read_all(source)
    except Stopped:
        return None
    return {key.text: float(np.frombuffer(row.vectors[""][2], dtype=np.float32)[0]) for key, row in rows.items()}


@pytest.mark.parametrize(
    ("form", "point"),
    [
        pytest.param(form, point, marks=() if (form, point) in SHORT else pytest.mark.slow)
        for form in FORMS
        for point in POINTS
    ],
)
def test_a_killed_load_is_whole_or_absent_and_can_be_done_again(
    tmp_path: Path, zygote: subprocess.Popen[str], form: str, point: str
) -> None:
    """After a kill at any point readers see the old records or an error, never a part; the load done again is whole."""
    url = form.format(tmp_path)
    address = parse(url)
    with registry.open_target(address) as target:
        target.create(SCHEMA, {"migration": "m-1"})
        target.write(batch_of(0, 20, 1))
    before = {f"id {number}": 1.0 for number in range(20)}
    after = {f"id {number}": 2.0 for number in range(50)}

    die_at(zygote, url, point)
    assert state_of(address) in (before, None)
    load(url)
    assert state_of(address) == after
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("form", FORMS)
def test_nothing_half_written_lies_beside_a_finished_load(tmp_path: Path, form: str) -> None:
    """After a load only the files and their mark are there."""
    address = parse(form.format(tmp_path))
    with registry.open_target(address) as target:
        target.create(SCHEMA, {})
        with target.bulk_load():
            target.write(batch_of(0, 5, 1))
    names = {path.name for path in tmp_path.iterdir()}
    assert names - {"made.jsonl"} <= {address.file.name, f"{address.file.name}.vecferry.json"}


@pytest.mark.parametrize("form", FORMS)
def test_records_of_an_unfinished_load_are_not_seen(tmp_path: Path, form: str) -> None:
    """Until the load is finished readers see what was there before."""
    address = parse(form.format(tmp_path))
    with registry.open_target(address) as target:
        target.create(SCHEMA, {})
        target.begin_load()
        target.write(batch_of(0, 5, 1))
        assert target.count() == 0
        target.finish_load()
        assert target.count() == 5


def test_a_full_disk_says_what_to_do() -> None:
    """No space left stops the run, with advice; it is not a crash."""
    with pytest.raises(Stopped, match="no space left") as caught, writing("jsonl:///made.jsonl"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "free some space" in caught.value.advice


def test_a_disk_that_is_full_for_real_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A write beyond the process's file size limit raises Stopped and leaves no segment behind."""
    script = """
import resource, signal, sys
from tests.stores.test_staging import batch_of, parse, registry, SCHEMA, Stopped
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with registry.open_target(parse(sys.argv[1])) as target:
    target.create(SCHEMA, {})
    target.begin_load()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    try:
        target.write(batch_of(0, 5000, 1))
    except Stopped:
        sys.exit(7)
"""
    address = parse(f"jsonl://{tmp_path}/made.jsonl")
    done = subprocess.run([sys.executable, "-c", script, str(address)], check=False, timeout=60)
    assert done.returncode == 7
    assert list((tmp_path / ".made.jsonl.vecferry-staging" / "segments").iterdir()) == []
    with registry.open_target(address) as target:
        target.finish_load()
        assert target.count() == 0
