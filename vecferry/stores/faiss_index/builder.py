"""FAISS building an index that is searched quickly: a graph, or inverted lists trained on the records."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from vecferry.stores.faiss_index.options import Kind, Options
from vecferry.stores.faiss_index.vectors import Ids, Numbers

__all__ = ["build"]

_BLOCK_ROWS = 10_000
_TRAINING_ROWS = 256
"""FAISS trains a list on at most so many rows (`ClusteringParameters.max_points_per_centroid`)."""


def build(path: Path, floats: Numbers, ids: Ids, metric: int, options: Options) -> None:
    """Replace the file at `path`, in which `floats` `(n, dim) float32` are mapped, by an index of them.

    `ids` `(n,) int64` are FAISS's. The index is built in memory.
    """
    make = _graph if options.kind is Kind.HNSW else _lists
    index = make(floats, ids, metric, options)
    for start in range(0, len(floats), _BLOCK_ROWS):
        block = np.ascontiguousarray(floats[start : start + _BLOCK_ROWS])
        if isinstance(index, faiss.IndexIDMap | faiss.IndexIVF):
            index.add_with_ids(block, ids[start : start + _BLOCK_ROWS])
        else:
            index.add(block)
    aside = path.with_name(f".{path.name}.built")
    _write(index, aside)
    aside.replace(path)


def _graph(floats: Numbers, ids: Ids, metric: int, options: Options) -> Any:
    index = faiss.IndexHNSWFlat(floats.shape[1], options.m, metric)
    index.hnsw.efConstruction = options.ef_construct
    return index if np.array_equal(ids, np.arange(len(ids))) else faiss.IndexIDMap2(index)


def _lists(floats: Numbers, ids: Ids, metric: int, options: Options) -> Any:
    """Lists keep ids themselves, so that no IDMap2 is needed. There are at most as many lists as records."""
    rows, dimension = floats.shape
    wanted = round(4 * rows**0.5) if options.nlist is None else options.nlist
    nlist = max(1, min(wanted, rows))
    index = faiss.IndexIVFFlat(faiss.IndexFlat(dimension, metric), dimension, nlist, metric)
    index.nprobe = options.nprobe
    index.cp.min_points_per_centroid = 1
    index.train(_sample(floats, nlist) if rows else np.zeros((1, dimension), dtype=np.float32))
    return index


def _sample(floats: Numbers, nlist: int) -> Numbers:
    """Rows from everywhere, as many as FAISS uses."""
    wanted = min(len(floats), nlist * _TRAINING_ROWS)
    rows = np.random.default_rng(0).choice(len(floats), wanted, replace=False, shuffle=False)
    return np.ascontiguousarray(floats[np.sort(rows)])


def _write(index: Any, path: Path) -> None:
    """Write an index; a full disk is the OSError that it is everywhere else."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number)) from error
        raise
