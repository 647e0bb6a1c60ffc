"""The limits of strict mode that refuse a request before it is run."""

import threading
import time
from collections.abc import Collection as Names
from typing import Any

from qdrant_client.http import models as m

from .engine_filters import conditions
from .errors import ApiError, Failure, bad_request


def enabled(config: m.CollectionConfig) -> m.StrictModeConfigOutput | None:
    strict = config.strict_mode_config
    return strict if strict is not None and strict.enabled else None


def check_limit(value: int, most: int | None, name: str) -> None:
    if most is not None and value > most:
        raise bad_request(
            f'Limit exceeded {value} > {most} for "{name}". Help: Reduce the "{name}" parameter to or below {most}.'
        )


def check_params(strict: m.StrictModeConfigOutput, params: m.SearchParams | None) -> None:
    if params is None:
        return
    if params.exact and strict.search_allow_exact is False:
        raise bad_request("Exact search disabled!. Help: Set exact=false.")
    check_limit(params.hnsw_ef or 0, strict.search_max_hnsw_ef, "hnsw_ef")


def check_filter(strict: m.StrictModeConfigOutput, where: m.Filter | None, indexed: Names[str], write: bool) -> None:
    """Too many conditions, too large ones, and keys that no index covers."""
    found = [condition for _, condition in conditions(where)]
    most = strict.filter_max_conditions
    if most is not None and len(found) > most:
        raise bad_request(
            f"Filter condition limit reached ({len(found)} > {most}). "
            "Help: Reduce the amount of conditions of your filter."
        )
    largest = max((condition_size(condition) for condition in found), default=0)
    if strict.condition_max_size is not None and largest > strict.condition_max_size:
        raise bad_request(
            f"Condition size limit reached ({largest} > {strict.condition_max_size}). "
            "Help: Reduce the size of your condition."
        )
    if (strict.unindexed_filtering_update if write else strict.unindexed_filtering_retrieve) is False:
        check_indexed(found, indexed)


def check_indexed(found: list[Any], indexed: Names[str]) -> None:
    for condition in found:
        if isinstance(condition, m.FieldCondition) and condition.key not in indexed:
            raise bad_request(
                f'Index required but not found for "{condition.key}" of one of the following types: '
                f"[{wanted_index(condition)}]. Help: Create an index for this key or use a different filter."
            )


def condition_size(condition: Any) -> int:
    if isinstance(condition, m.HasIdCondition):
        return len(condition.has_id)
    match = getattr(condition, "match", None)
    if isinstance(match, m.MatchAny):
        return len(match.any)
    return len(match.except_) if isinstance(match, m.MatchExcept) else 0


def wanted_index(condition: m.FieldCondition) -> str:
    if isinstance(condition.range, m.DatetimeRange):
        return "datetime"
    value = getattr(condition.match, "value", None)
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "keyword"
    return "integer" if isinstance(value, int) else "float"


class RateLimit:
    """Tokens for requests, refilled steadily; it starts with those of one second, as the server does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[float, float]] = {}

    def spend(self, kind: str, per_minute: int | None, cost: int = 1) -> None:
        """Take `cost` tokens of `kind` (Read or Write), or refuse with the seconds to wait."""
        if per_minute is None:
            return
        with self._lock:
            now_s = time.monotonic()
            left, then_s = self._tokens.get(kind, (per_minute / 60, now_s))
            left = min(float(per_minute), left + (now_s - then_s) * per_minute / 60)
            self._tokens[kind] = (left - cost if cost <= left else left, now_s)
        if cost > left:
            wait_s = int((cost - left) * 60 / per_minute) + 1
            raise ApiError(
                Failure.RATE_LIMIT,
                f"Rate limiting exceeded: {kind} rate limit exceeded: Operation requires {cost} tokens "
                f"but only {left} were available. Retry after {wait_s}s",
                retry_after_s=wait_s,
            )
