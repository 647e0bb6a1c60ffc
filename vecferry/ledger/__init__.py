"""The ledger: migrations, plans, receipts, routes, leases, approvals and the audit trail in one database.

Every change is one transaction together with its entry in the audit trail.
"""

from __future__ import annotations

from vecferry.ledger.approvals import Approvals
from vecferry.ledger.audit import Audit
from vecferry.ledger.groups import Groups
from vecferry.ledger.holder import Holder
from vecferry.ledger.leases import Leases, migration_resource
from vecferry.ledger.migrations import Migrations
from vecferry.ledger.routes import Routes
from vecferry.ledger.rows import Answer, Approval, AuditEntry, Entry, Group, Lease, Migration, Route, SliceRow
from vecferry.ledger.slices import Slices
from vecferry.ledger.states import ENDED, LIVE, State

__all__ = [
    "ENDED",
    "LIVE",
    "Answer",
    "Approval",
    "AuditEntry",
    "Entry",
    "Group",
    "Holder",
    "Lease",
    "Ledger",
    "Migration",
    "Route",
    "SliceRow",
    "State",
    "migration_resource",
]


class Ledger(Migrations, Groups, Slices, Routes, Leases, Approvals, Audit):
    """One ledger; `Ledger.open()` gives it. Usable from threads, and from several processes at once."""
