"""Schema, profile, capabilities and rules become decisions; codecs, one a family, carry them out both ways."""

from vecferry.mapping.plan import Mapping, decide
from vecferry.mapping.profile import DocumentProfile, KeyProfile, PayloadProfile, Profile, VectorProfile
from vecferry.mapping.profiler import Profiler
from vecferry.mapping.rules import Rules
from vecferry.mapping.vectors import Tolerance

__all__ = [
    "DocumentProfile",
    "KeyProfile",
    "Mapping",
    "PayloadProfile",
    "Profile",
    "Profiler",
    "Rules",
    "Tolerance",
    "VectorProfile",
    "decide",
]
