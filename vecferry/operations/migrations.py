"""Start, run, resume and approve migrations."""

from __future__ import annotations

from vecferry.address import Address
from vecferry.config import MigrationConfig
from vecferry.errors import BadOption, UnsafeRoute
from vecferry.ledger import ENDED, LIVE, Answer, Entry, Ledger, Migration, State
from vecferry.model import Verdict
from vecferry.stores import registry
from vecferry.strategies.backup import backup_archive
from vecferry.strategies.blue_green import blue_green, copy_and_validate
from vecferry.strategies.export import export_archive
from vecferry.strategies.rolling import rolling
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.snapshot_restore import snapshot_restore

__all__ = ["STRATEGIES", "approve", "asks_in", "entry_of", "logical_name", "run", "start"]

_FILE_SUFFIXES = (".npy", ".npz", ".jsonl", ".json", ".index", ".faiss")

_PROVEN = frozenset({State.READY, State.READS_NEW})
_BEFORE_SWITCH = frozenset({State.PLANNED, State.COPYING, State.CATCHING_UP, State.VERIFYING, State.READY})

STRATEGIES = ("blue-green", "rolling", "snapshot-restore", "load", "export", "backup")
"""The first three end with a switch, `load` with a verdict, `export` with an archive, `backup` with a sealed one."""


def start(ledger: Ledger, config: MigrationConfig, strategy: str = "blue-green") -> Ref:
    """Register a migration in the ledger: state PLANNED. Nothing is opened or moved yet.

    Raises BadOption for a URL that no store takes, or source and target being the same place.
    """
    entry = entry_of(config, strategy)
    migration = ledger.create_migration(**{name: getattr(entry, name) for name in Entry.__slots__})
    return Ref(ledger.url, migration.id)


def entry_of(config: MigrationConfig, strategy: str) -> Entry:
    """What the ledger keeps of a migration from its start. Raises BadOption as `start` does."""
    source, target = config.source.public(), config.target.public()
    _refuse_misfit(config, strategy)
    for address in (source, target):
        registry.entry(address.scheme)
    if str(source) == str(target):
        raise BadOption(f"source and target are the same: {source}", advice="give the target another collection name")
    name = logical_name(source)
    return Entry(
        name=f"{name}-to-{target.scheme.partition('+')[0]}",
        strategy=strategy,
        source_url=str(source),
        target_url=str(target),
        route=config.route or name,
        archive=str(config.archive.absolute() if config.archive else ""),
        config=_placed(config).model_dump(mode="json"),
        limit=config.limit,
    )


def _refuse_misfit(config: MigrationConfig, strategy: str) -> None:
    """Raise BadOption for what a strategy does not do."""
    if strategy == "rolling":
        if config.limit is not None:
            raise BadOption("a trial switches nothing, so there is nothing to roll", advice="leave --strategy out")
        if config.cutover != "one-step":
            raise BadOption("each workspace switches in one step", advice="leave --cutover out, or take blue-green")
    elif config.rolling is not None:
        raise BadOption("workspaces are for a rolling migration", advice="add --strategy rolling")
    if strategy != "snapshot-restore":
        if config.snapshot_folder is not None:
            raise BadOption("snapshot_folder is for a snapshot-restore", advice="add --strategy snapshot-restore")
        return
    if config.limit is not None:
        raise BadOption("a trial pauses nobody and switches nothing", advice="leave --strategy out")
    if config.cutover != "one-step":
        raise BadOption("a snapshot-restore switches in one step", advice="leave --cutover out, or take blue-green")


def logical_name(source: Address) -> str:
    """The source collection's name; a file's without its ending."""
    for suffix in _FILE_SUFFIXES:
        if source.name.endswith(suffix):
            return source.name.removesuffix(suffix) or "collection"
    return source.name


def _placed(config: MigrationConfig) -> MigrationConfig:
    """The configuration with every place absolute, so that it means the same from any folder, for good."""
    source = config.source.model_copy(update={"url": str(config.source.public())})
    target = config.target.model_copy(update={"url": str(config.target.public())})
    archive = config.archive.absolute() if config.archive else None
    folder = config.snapshot_folder.absolute() if config.snapshot_folder else None
    placed = {"source": source, "target": target, "archive": archive, "snapshot_folder": folder}
    return config.model_copy(update=placed | {"hooks": config.hooks.placed()})


_WAY_BACK = frozenset({State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING, State.ROLLED_BACK_UNMERGED})


def run(runner: Runner, ref: Ref) -> Verdict | None:
    """Run a migration's strategy from wherever it stopped. An export has no verdict of its own.

    Raises UnsafeRoute for one that has ended, or whose way back began: then nothing is done.
    """
    migration = Ledger.open(ref.ledger).migration(ref.migration)
    if migration.state in ENDED:
        raise UnsafeRoute(
            f"migration {migration.id} is {migration.state}; it cannot go on",
            advice=_instead(migration),
        )
    if migration.state in _WAY_BACK and migration.strategy != "rolling":
        verb = "merge" if migration.state is State.ROLLED_BACK_UNMERGED else "rollback"
        raise UnsafeRoute(
            f"migration {migration.id} is {migration.state}: its way back began",
            advice=f"nothing was done; vecferry {verb} {migration.id} finishes it",
        )
    if migration.parent is not None:
        raise UnsafeRoute(
            f"{migration.id} moves one workspace of {migration.parent}, which goes on with it in its turn",
            advice=f"vecferry resume {migration.parent}",
        )
    if migration.strategy == "blue-green":
        return blue_green(runner, ref)
    if migration.strategy == "rolling":
        rolling(runner, ref)
        return None
    if migration.strategy == "snapshot-restore":
        return snapshot_restore(runner, ref)
    if migration.strategy == "load":
        return copy_and_validate(runner, ref)
    (backup_archive if migration.strategy == "backup" else export_archive)(runner, ref)
    return None


def _instead(migration: Migration) -> str:
    new = "start a new one with vecferry migrate"
    if migration.state is not State.ROLLED_BACK:
        return new
    return f"vecferry forward {migration.owner} leads it forward again without another copy; or {new}"


def asks_in(strategy: str) -> frozenset[State]:
    """The states in which a migration may wait for its approval: a snapshot-restore asks before it copies.

    The state of a rolling migration says of no single workspace whether it waits.
    """
    if strategy == "rolling":
        return LIVE
    return _BEFORE_SWITCH if strategy == "snapshot-restore" else _PROVEN


def approve(ledger: Ledger, migration_id: str, *, yes: bool, by: str) -> int:
    """Answer the open question of a migration that waits for it; its run goes on, or `resume` does.

    Raises UnsafeRoute when it does not wait for an approval.
    """
    migration = ledger.migration(migration_id)
    question = ledger.approval(migration.id)
    if migration.state not in asks_in(migration.strategy) or question is None:
        raise UnsafeRoute(
            f"migration {migration.id} is {migration.state} and waits for no approval",
            advice=f"vecferry status {migration.id}",
        )
    ledger.answer_approval(migration.id, question.number, Answer.APPROVED if yes else Answer.REJECTED, by=by)
    return question.number
