"""The phases of a migration as plain functions: `step(ref, ...)`. Every step has exactly one Prefect task.

A step finds in the ledger what is already done, does the rest, and records it after its effect was
seen. So it may run again at any time: after a crash, on Retry, on resume.
"""

from vecferry.strategies.steps.backup import back_up, seal_backup
from vecferry.strategies.steps.copy import copy_slice, export_slice, finish_export, finish_load, prepare
from vecferry.strategies.steps.cutover import (
    approval_form,
    approved,
    check_route,
    recheck_slice,
    record_answer,
    require_unchanged,
    switch,
)
from vecferry.strategies.steps.ending import (
    drop_new,
    drop_old,
    end_way_back,
    old_is_there,
    require_completable,
    require_discardable,
    require_droppable,
    wait_out_writes,
)
from vecferry.strategies.steps.hooks import (
    check_hooks,
    observe_route,
    pause_writes,
    read_back,
    release_writes,
    tell_switch,
    wait_for_writes,
)
from vecferry.strategies.steps.inventory import decide, inventory
from vecferry.strategies.steps.looking import begin_look, end_look, look_at_slice
from vecferry.strategies.steps.passes import (
    begin_pass,
    find_changes,
    load_delta,
    prove_delta,
    settle_deltas,
    spool_slice,
    write_delta,
)
from vecferry.strategies.steps.rollback import check_target, preflight_rollback, require_no_new_writes, switch_back
from vecferry.strategies.steps.validate import conclude, require_same, validate_slice

__all__ = [
    "approval_form",
    "approved",
    "back_up",
    "begin_look",
    "begin_pass",
    "check_hooks",
    "check_route",
    "check_target",
    "conclude",
    "copy_slice",
    "decide",
    "drop_new",
    "drop_old",
    "end_look",
    "end_way_back",
    "export_slice",
    "find_changes",
    "finish_export",
    "finish_load",
    "inventory",
    "load_delta",
    "look_at_slice",
    "observe_route",
    "old_is_there",
    "pause_writes",
    "preflight_rollback",
    "prepare",
    "prove_delta",
    "read_back",
    "recheck_slice",
    "record_answer",
    "release_writes",
    "require_completable",
    "require_discardable",
    "require_droppable",
    "require_no_new_writes",
    "require_same",
    "require_unchanged",
    "seal_backup",
    "settle_deltas",
    "spool_slice",
    "switch",
    "switch_back",
    "tell_switch",
    "validate_slice",
    "wait_for_writes",
    "wait_out_writes",
    "write_delta",
]
