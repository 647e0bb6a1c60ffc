"""Indexing off while a collection is loaded, and on again until the server has caught up."""

from __future__ import annotations

import time
from collections.abc import Iterator

from qdrant_client import models
from qdrant_client.qdrant_remote import QdrantRemote

from vecferry.errors import RetryLater, StoreRefused
from vecferry.stores.qdrant.carrying import pending
from vecferry.stores.qdrant.connection import server_errors
from vecferry.stores.qdrant.server_schema import THRESHOLD

__all__ = ["switch_indexing_off", "switch_indexing_on"]

_DEFAULT_THRESHOLD_KB = 10_000  # of Qdrant 1.19
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


def switch_indexing_off(client: QdrantRemote, collection: str, url: str) -> None:
    """Set the threshold to 0 and keep the old one in the metadata, in one call. Does nothing when it is off."""
    with server_errors(url):
        threshold = client.get_collection(collection).config.optimizer_config.indexing_threshold
        if threshold == 0:
            return
        client.update_collection(
            collection,
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
            metadata={THRESHOLD: _DEFAULT_THRESHOLD_KB if threshold is None else threshold},
        )


def switch_indexing_on(client: QdrantRemote, collection: str, url: str, timeout_s: float) -> None:
    """Restore the threshold and wait until the server was twice seen with nothing left to do.

    Raises RetryLater after `timeout_s`, StoreRefused for a collection that the server calls red.
    """
    _restore_threshold(client, collection, url)
    deadline = time.monotonic() + timeout_s
    seen = 0
    for pause_s in _pauses():
        with server_errors(url):
            info = client.get_collection(collection)
        _refuse_red(info, url)
        seen = seen + 1 if _is_ready(info) else 0
        if seen == 2:
            return
        if info.status is models.CollectionStatus.GREY:
            _restore_threshold(client, collection, url)  # optimisations of a grey collection wait for an update
        if time.monotonic() > deadline:
            raise RetryLater(
                f"{url} is still {info.status.value} after {timeout_s:g} s of optimising",
                advice="the records are stored; `vecferry resume ID` waits on (or raise ?ready_timeout_s=)",
            )
        time.sleep(pause_s)


def _restore_threshold(client: QdrantRemote, collection: str, url: str) -> None:
    with server_errors(url):
        info = client.get_collection(collection)
        config, hides = info.config, pending(info).get("prevent_unoptimized")
        current = config.optimizer_config.indexing_threshold
        kept = (config.metadata or {}).get(THRESHOLD)
        wanted = current or _DEFAULT_THRESHOLD_KB if kept is None else int(kept)
        change = models.OptimizersConfigDiff(indexing_threshold=wanted, prevent_unoptimized=hides)
        client.update_collection(collection, optimizers_config=change)


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _is_ready(info: models.CollectionInfo) -> bool:
    queue = info.update_queue
    idle = queue is None or (queue.length == 0 and not queue.deferred_points)
    return (
        info.status is models.CollectionStatus.GREEN
        and info.optimizer_status == models.OptimizersStatusOneOf.OK
        and idle
    )


def _refuse_red(info: models.CollectionInfo, url: str) -> None:
    if info.status is models.CollectionStatus.RED:
        error = getattr(info.optimizer_status, "error", info.optimizer_status)
        raise StoreRefused(f"{url} is red: {error}", advice="look into the server's log")
