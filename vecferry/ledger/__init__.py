"""The ledger: migrations, plans, receipts, routes, pauses, leases, approvals and the audit trail in one database.

Every change is one transaction together with its entry in the audit trail.
"""

from __future__ import annotations

from vecferry.ledger.again import FORWARD_FACT, Again
from vecferry.ledger.approvals import Approvals
from vecferry.ledger.audit import Audit
from vecferry.ledger.deltas import Deltas
from vecferry.ledger.groups import Groups
from vecferry.ledger.holder import Holder
from vecferry.ledger.hooks import Hooks
from vecferry.ledger.leases import Leases, migration_resource
from vecferry.ledger.migrations import Migrations
from vecferry.ledger.outbox import Outbox
from vecferry.ledger.passes import Passes, settled
from vecferry.ledger.pauses import Pauses
from vecferry.ledger.restoring import Restored, RestoredWhole, RestoredWorkspace, Restoring
from vecferry.ledger.routes import Routes
from vecferry.ledger.rows import (
    DEFAULT_WORKSPACE,
    MISSING_WORKSPACE,
    Answer,
    Approval,
    AuditEntry,
    Delta,
    Direction,
    Entry,
    Event,
    Group,
    Hold,
    Hook,
    Kind,
    Lease,
    Migration,
    Pass,
    Pause,
    Route,
    Serving,
    SliceRow,
    Workspace,
)
from vecferry.ledger.slices import Slices
from vecferry.ledger.states import ENDED, LIVE, State
from vecferry.ledger.workspaces import Workspaces, key_of, workspace_key, workspace_value

__all__ = [
    "DEFAULT_WORKSPACE",
    "ENDED",
    "FORWARD_FACT",
    "LIVE",
    "MISSING_WORKSPACE",
    "Answer",
    "Approval",
    "AuditEntry",
    "Delta",
    "Direction",
    "Entry",
    "Event",
    "Group",
    "Hold",
    "Holder",
    "Hook",
    "Kind",
    "Lease",
    "Ledger",
    "Migration",
    "Pass",
    "Pause",
    "Restored",
    "RestoredWhole",
    "RestoredWorkspace",
    "Route",
    "Serving",
    "SliceRow",
    "State",
    "Workspace",
    "key_of",
    "migration_resource",
    "settled",
    "workspace_key",
    "workspace_value",
]


class Ledger(
    Migrations,
    Groups,
    Slices,
    Deltas,
    Passes,
    Workspaces,
    Routes,
    Pauses,
    Hooks,
    Leases,
    Approvals,
    Outbox,
    Again,
    Restoring,
    Audit,
):
    """One ledger; `Ledger.open()` gives it. Usable from threads, and from several processes at once."""
