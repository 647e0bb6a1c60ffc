"""Several requests on their way at once, their answers in the order of the requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

Request = TypeVar("Request")
Answer = TypeVar("Answer")


def in_order(
    ask: Callable[[Request], Answer], requests: Iterable[Request], at_once: int
) -> Generator[Answer, None, None]:
    """`ask` of each request. Up to `at_once` are asked while the caller works on an answer; 0: none is.

    The first error is raised in its turn, and no later request begins.
    """
    if not at_once:
        yield from map(ask, requests)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="chroma-page") as pool:
        waiting: deque[Future[Answer]] = deque()
        try:
            for request in requests:
                waiting.append(pool.submit(ask, request))
                if len(waiting) > at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for unwanted in waiting:
                unwanted.cancel()
