"""`python -m tests.protocol`: walk the model, or take guards out of it and see what goes wrong.

With all guards every scenario is walked, and nothing may be found. `--without GUARD` takes one out and prints a
shortest failure; `--without-each` does so for all, one after the other. The exit code is 0 if the model says what it
should: no failure with all guards, one without any of them.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.protocol.explore import explore
from tests.protocol.guards import ALL, Guard, without
from tests.protocol.scenarios import LONG, SHORT, SHOWS


def say(line: object) -> None:
    """One line, or several, of what was found."""
    sys.stdout.write(f"{line}\n")


def walk(long: bool) -> bool:
    """Every scenario with all guards: one line each, and the failure if there is one."""
    well = True
    say(f"{'scenario':24} {'worlds':>9} {'steps':>9} {'depth':>5} {'s':>6}")
    for scenario in (*SHORT, *LONG) if long else SHORT:
        begun = time.perf_counter()
        found = explore(scenario, ALL)
        took_s = time.perf_counter() - begun
        say(f"{scenario.name:24} {found.worlds:9,} {found.transitions:9,} {found.depth:5} {took_s:6.1f}")
        if found.failure:
            well = False
            say(found.failure)
    return well


def take_out(guard: Guard) -> bool:
    """One guard removed: a shortest way to what it keeps away."""
    scenario = SHOWS[guard]
    failure = explore(scenario, without(guard)).failure
    say(f"without {guard.name} ({guard.step}), in the scenario `{scenario.name}`: {guard.failure}")
    say(failure or "nothing goes wrong: either the guard is not needed, or the model does not see what it is for")
    say("")
    return failure is not None


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocol", description=__doc__.splitlines()[0])
    choice = parser.add_mutually_exclusive_group()
    names = [guard.name for guard in Guard]
    choice.add_argument("--without", metavar="GUARD", choices=names, help=f"one of: {', '.join(names)}")
    choice.add_argument("--without-each", action="store_true", help="take out each guard in turn")
    choice.add_argument("--long", action="store_true", help="the larger worlds as well (minutes)")
    given = parser.parse_args()
    if given.without:
        return 0 if take_out(Guard[given.without]) else 1
    if given.without_each:
        seen = [take_out(guard) for guard in Guard]
        return 0 if all(seen) else 1
    return 0 if walk(given.long) else 1


if __name__ == "__main__":
    sys.exit(main())
