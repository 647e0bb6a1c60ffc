"""What becomes of the old store after the switch: it follows the new one, or nothing is written to it."""

from __future__ import annotations

from vecferry.config import MigrationConfig
from vecferry.stores import registry
from vecferry.strategies.work import Work

__all__ = ["does_follow", "follows", "reason_against", "reversed_words"]


def follows(config: MigrationConfig) -> bool:
    """Whether each sync after the switch carries into the old store what the new one received."""
    return config.reverse != "hold" and not reason_against(config)


def does_follow(work: Work) -> bool:
    """The same of one migration. What a workspace received goes back by a rollback alone: others share its stores."""
    return work.scope is None and follows(work.config)


def reason_against(config: MigrationConfig) -> str:
    """Why the old store cannot follow; `""` where it can."""
    old = config.source.public()
    if registry.holds_files(old.scheme):
        return f"{old} is made of files, which are never edited: a rollback makes a copy beside them"
    if registry.entry(old.scheme).only_read:
        return f"{old.scheme}:// is only read"
    return ""


def reversed_words(config: MigrationConfig, migration: str) -> tuple[str, ...]:
    """What the approval form says of it."""
    if not follows(config):
        return ("nothing is written to the old store before a rollback; it stays as it is (reverse: hold)",)
    return (
        "before the pause the old store is asked to delete a record that it has not: the first touch of it",
        f"after the switch each vecferry sync {migration} writes to the old store what the new one received, so that a "
        "way back is short (reverse: follow)",
    )
