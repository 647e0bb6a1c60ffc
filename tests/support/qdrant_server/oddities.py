"""What a busy real server says of a collection and this one never would by itself: a test orders it."""

from dataclasses import dataclass

from qdrant_client.http import models as m


@dataclass
class Oddities:
    """Of one collection.

    `deferred_points`: hidden until they are optimised (`prevent_unoptimized`). `points_count_off`: by so much the
    approximate count is off. `wait_timeouts`: so many next writes answer `wait_timeout`, applied or not.
    """

    deferred_points: int = 0
    points_count_off: int = 0
    wait_timeouts: int = 0

    def shown(self, info: m.CollectionInfo) -> m.CollectionInfo:
        """The description with what was ordered."""
        queue = m.UpdateQueueInfo(length=self.deferred_points, deferred_points=self.deferred_points or None)
        count = (info.points_count or 0) + self.points_count_off
        return info.model_copy(update={"update_queue": queue, "points_count": count})

    def told(self, result: m.UpdateResult, wait: bool) -> m.UpdateResult:
        """The answer to a write with what was ordered."""
        if not wait or not self.wait_timeouts:
            return result
        self.wait_timeouts -= 1
        return m.UpdateResult(operation_id=result.operation_id, status=m.UpdateStatus.WAIT_TIMEOUT)
