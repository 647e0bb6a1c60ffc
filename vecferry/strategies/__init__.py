"""Strategies: the order of a migration's phases, written once, run by any `Runner`."""
