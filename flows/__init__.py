"""Strategies as Prefect flows: their parameters, the approval form, what a person sees in the UI."""
