"""FAISS alone: what an index holds, and indexes of every kind. Nothing of vecferry is used here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "build", "build_on_disk", "numbers", "search", "vectors_by_id"]

Numbers = npt.NDArray[np.float32]


def numbers(rows: int, dimension: int = 8, seed: int = 0) -> Numbers:
    """`(rows, dimension)` seeded numbers."""
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)


def build(path: Path, words: str, vectors: Numbers, ids: Any = None, metric: int = faiss.METRIC_L2) -> Any:
    """An index of FAISS's factory, trained on the vectors and written to `path`."""
    index = faiss.index_factory(vectors.shape[1], words, metric)
    inner = faiss.downcast_index(getattr(index, "index", index))
    if isinstance(inner, faiss.IndexIVF):
        inner.cp.min_points_per_centroid = 1
    index.train(vectors)
    if ids is None:
        index.add(vectors)
    else:
        index.add_with_ids(vectors, np.asarray(ids, dtype=np.int64))
    faiss.write_index(index, str(path))
    return index


def build_on_disk(folder: Path, words: str, vectors: Numbers, ids: Any) -> Path:
    """An index whose lists lie in a file of their own, as FAISS makes them for what does not fit memory."""
    path = folder / "docs.index"
    index = build(path, words, vectors, ids)
    lists = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(folder / "lists.ivfdata"))
    for number in range(index.nlist):
        held = index.invlists
        lists.add_entries(number, held.list_size(number), held.get_ids(number), held.get_codes(number))
    index.replace_invlists(lists)
    faiss.write_index(index, str(path))
    return path


def vectors_by_id(path: Path) -> dict[int, Numbers]:
    """Every vector of a flat, HNSW or IVF index by FAISS's id."""
    whole = index = faiss.read_index(str(path))
    ids = None
    if isinstance(whole, faiss.IndexIDMap | faiss.IndexIDMap2):
        ids = faiss.vector_to_array(whole.id_map)
        index = faiss.downcast_index(whole.index)  # lives as long as the whole
    if isinstance(index, faiss.IndexIVF):
        lists = index.invlists
        held = [
            faiss.rev_swig_ptr(lists.get_ids(n), lists.list_size(n)).tolist()
            for n in range(lists.nlist)
            if lists.list_size(n)
        ]
        inner = [number for block in held for number in block]
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        return {number: index.reconstruct(number) for number in inner}
    found = index.reconstruct_n(0, index.ntotal) if index.ntotal else np.zeros((0, index.d), np.float32)
    return dict(zip(range(index.ntotal) if ids is None else ids.tolist(), found, strict=True))


def search(path: Path, queries: Numbers, k: int) -> npt.NDArray[np.int64]:
    """FAISS's ids of the `k` nearest, `(n, k)`."""
    found: npt.NDArray[np.int64] = faiss.read_index(str(path)).search(queries, k)[1]
    return found
