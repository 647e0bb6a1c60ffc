"""Workspaces: the groups of a collection's records that move one by one, each seen as a collection of its own."""

from vecferry.grouping.discovery import ByField, ByRanges, Discovery, Group, discover
from vecferry.grouping.encoded import not_carried
from vecferry.grouping.views import SourceView, TargetView, target_view, view

__all__ = [
    "ByField",
    "ByRanges",
    "Discovery",
    "Group",
    "SourceView",
    "TargetView",
    "discover",
    "not_carried",
    "target_view",
    "view",
]
