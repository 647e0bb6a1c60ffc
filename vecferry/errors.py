"""Every public error, grouped by what the caller must do about it.

Each error says what happened (`str(error)`) and what to do (`error.advice`). The group
decides the exit code of the command line, so a new error belongs below exactly one group.
"""

from __future__ import annotations

__all__ = [
    "ArchiveDamaged",
    "BadOption",
    "BadRecord",
    "ConfigError",
    "DataDiffer",
    "DataError",
    "LeaseLost",
    "LockHeld",
    "LossRefused",
    "MissingExtra",
    "NotFound",
    "PlanRefused",
    "RetryLater",
    "Stopped",
    "StoreRefused",
    "TargetNotEmpty",
    "UnsafeRoute",
    "VecferryError",
]


class VecferryError(Exception):
    """Base of all errors that vecferry raises on purpose."""

    exit_code = 2

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


# Fix the command, the URL or the configuration (exit 2).


class ConfigError(VecferryError):
    """The request cannot be understood or carried out as it stands."""


class BadOption(ConfigError):
    """An option or a part of a URL is wrong, missing or not taken by this store."""


class MissingExtra(ConfigError):
    """A driver is not installed; the advice names the extra that brings it."""


class NotFound(ConfigError):
    """The named collection, file, archive or migration does not exist."""


class StoreRefused(ConfigError):
    """The store answered that it will not do this: wrong key, no rights, a limit, a bad request."""


# Change the plan or consent to it (exit 4).


class PlanRefused(VecferryError):
    """The plan holds at least one decision that would lose something, or an unsafe target."""

    exit_code = 4


class LossRefused(PlanRefused):
    """Something would be lost or changed without consent."""


class TargetNotEmpty(PlanRefused):
    """The target exists and was not made by this migration."""


# Try again; nothing is lost (exit 3).


class Stopped(VecferryError):
    """The run stopped before its end; `vecferry resume ID` goes on."""

    exit_code = 3


class RetryLater(Stopped):
    """A fault that may pass: unreachable, overloaded, timed out. The only error that is retried."""


class LockHeld(Stopped):
    """Another run holds the lease of this migration or target."""


class LeaseLost(Stopped):
    """This run's lease was taken over; it must not write any more."""


# Look at the data (exit 1).


class DataError(VecferryError):
    """The data are not what they should be."""

    exit_code = 1


class BadRecord(DataError):
    """One record cannot be read or moved; the message names the store and the id or line."""


class DataDiffer(DataError):
    """Source and target, or source and archive, do not hold the same."""


class ArchiveDamaged(DataError):
    """An archive's file is missing, cut, changed or of an unknown version."""


# Do not touch the route until a person has looked (exit 5).


class UnsafeRoute(VecferryError):
    """Switching or rolling back now could lose writes or send readers to the wrong place."""

    exit_code = 5
