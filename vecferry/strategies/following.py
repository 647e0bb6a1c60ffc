"""Who can have followed a route that moved, when the run that moved it has died: nobody, nobody yet, or all."""

from __future__ import annotations

from vecferry.errors import UnsafeRoute
from vecferry.routing import observing
from vecferry.strategies import telling
from vecferry.strategies.work import Work

__all__ = ["is_held_since", "is_unseen", "require_all_follow"]


def is_held_since(work: Work) -> bool:
    """Whether the very pause under which the route moved holds yet: then nobody has written since."""
    pause = telling.held_pause(work)
    return pause is not None and pause.paused_at <= work.route().changed_at


def is_unseen(work: Work) -> bool:
    """Whether nobody can have followed: writes may have gone on in the store that the route left.

    A route file that says where the route leads now is no harm while it says that writes are paused.
    """
    if telling.may_be_followed(work):
        return False
    return telling.held_pause(work) is not None or not telling.is_file_new(work)


def require_all_follow(work: Work, again: str) -> None:
    """Raise UnsafeRoute, listing what differs, unless all that follows the route serves what it leads to.

    `again`: the command that goes on once it does.
    """
    found = telling.observe(work)
    # Whoever is still paused waits for its release; that is no answer to which store it serves.
    other = [line for one in found.seen for line in observing.differences(found.recorded, one, ("writes",))]
    if other:
        raise UnsafeRoute(
            f"the route moved, the pause is over, and what follows the route differs: {'; '.join(other)}",
            advice=f"nothing was changed. Let everything serve {work.route().url} by hand, then {again}; "
            f"vecferry unpause {work.migration.id} releases the writes",
        )
