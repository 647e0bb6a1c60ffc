"""A store around another one leaves nothing of the contract to the contract's own defaults."""

from __future__ import annotations

import inspect

import pytest

from vecferry.contract import Source, Target
from vecferry.forwarding import ForwardingSource, ForwardingTarget
from vecferry.grouping import SourceView, TargetView
from vecferry.testing.turbulence import TurbulentSource, TurbulentTarget
from vecferry.transfer.ruled import RuledTarget


@pytest.mark.parametrize(
    ("wrapper", "contract"),
    [
        (ForwardingSource, Source),
        (ForwardingTarget, Target),
        (TurbulentSource, Source),
        (TurbulentTarget, Target),
        (RuledTarget, Target),
        (SourceView, Source),
        (TargetView, Target),
    ],
)
def test_every_method_of_the_contract_goes_through(wrapper: type[Source], contract: type[Source]) -> None:
    """A method that the contract gains, with a default there, would else answer for the store inside."""
    public = {name for name, _ in inspect.getmembers(contract, inspect.isfunction) if not name.startswith("_")}
    contracts = {Source, Target}
    forwarded = {name for parent in wrapper.__mro__ if parent not in contracts for name in vars(parent)}
    assert public - forwarded <= {"bulk_load"}
