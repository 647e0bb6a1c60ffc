"""Figures: run by `make bench` and by hand, never by the tests."""
