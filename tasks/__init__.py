"""Prefect tasks: one for each step of `vecferry.strategies.steps`. They add retries, names and tags, nothing else."""
