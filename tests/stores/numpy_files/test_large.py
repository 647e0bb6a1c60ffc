"""Arrays larger than memory, and number types that a target may not have."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from vecferry import batch as batches
from vecferry.address import parse
from vecferry.config import MigrationConfig
from vecferry.model import Decision, IdKind, Outcome, RecordId
from vecferry.operations import look
from vecferry.stores import registry

ROWS, DIMENSION = 524_288, 1536
GRANTED_BYTES = 64 << 20


def sparse_array(path: Path, *, fortran: bool) -> None:
    """An array of 3.2 GB with a few numbers in it; the file system keeps no zeros."""
    array = np.lib.format.open_memmap(path, "w+", np.float32, (ROWS, DIMENSION), fortran_order=fortran)
    array[0, 0], array[ROWS // 2, 7], array[ROWS - 1, DIMENSION - 1] = 1.5, 2.5, 3.5
    array.flush()


def peak_bytes() -> int:
    """The most that this process had in memory since it was last asked to forget, in bytes."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def forget_peak() -> int:
    """Start measuring anew: what the process has in memory now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


@pytest.mark.parametrize("fortran", [False, True], ids=["rows", "columns"])
def test_an_array_larger_than_memory_is_read_by_place(tmp_path: Path, *, fortran: bool) -> None:
    """3.2 GB are opened, cut into slices and read from their start, middle and end within 64 MB."""
    sparse_array(tmp_path / "v.npy", fortran=fortran)
    before = forget_peak()
    with registry.open_source(parse(f"numpy://{tmp_path}/v.npy")) as source:
        assert source.count() == ROWS
        slices = source.slices(64)
        found = []
        for number in (0, 32, 63):
            for batch in itertools.islice(source.read(slices[number], batch_rows=500), 2):
                found.append(float(batches.dense_column(batch).values.max()))
        assert found == [1.5, 0.0, 2.5, 0.0, 0.0, 0.0]
        last = source.fetch(batches.ids_batch([RecordId(IdKind.UINT64, str(ROWS - 1))]))
        assert batches.dense_column(last).values[0, -1] == 3.5
    assert peak_bytes() - before < GRANTED_BYTES


def decisions(folder: Path, values: np.ndarray, target: str) -> dict[str, Decision]:
    """What a plan says of this array on its way to a target."""
    np.save(folder / "v.npy", values)
    config = MigrationConfig(source=f"numpy://{folder}/v.npy", target=target, metric="dot")
    return {decision.feature: decision for decision in look.preview(config).mapping.decisions}


def test_a_cast_is_a_decision(tmp_path: Path) -> None:
    """float16 goes into float32 and comes back; float64 does where every number fits, and else needs consent."""
    values = np.random.default_rng(3).standard_normal((20, 4))
    target = f"chroma+path://{tmp_path}/chroma/docs"
    found = decisions(tmp_path, values.astype(np.float16), target)["vector numbers"]
    assert (found.outcome, found.consent) == (Outcome.ENCODED, "")
    assert "comes back as float16" in found.detail
    found = decisions(tmp_path, values.astype(np.float32).astype(np.float64), target)["vector numbers"]
    assert (found.outcome, found.consent) == (Outcome.ENCODED, "")
    assert "every number was looked at" in found.detail
    found = decisions(tmp_path, values, target)["vector numbers"]
    assert (found.outcome, found.consent, found.rows) == (Outcome.LOSSY, "vector_dtype", 20)


def test_no_cast_is_made_where_none_is_needed(tmp_path: Path) -> None:
    """A target that holds the type gets it: float16 in Qdrant, float64 in files."""
    values = np.random.default_rng(3).standard_normal((20, 4))
    found = decisions(tmp_path, values.astype(np.float16), f"qdrant+edge://{tmp_path}/new/docs")
    assert "vector numbers" not in found
    assert found["vector"].outcome is Outcome.EXACT
    found = decisions(tmp_path, values, f"jsonl://{tmp_path}/docs.jsonl")
    assert "vector numbers" not in found
    found = decisions(tmp_path, values, f"jsonl://{tmp_path}/docs.json?dialect=chroma")
    assert found["vector numbers"].consent == "vector_dtype"
