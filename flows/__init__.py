"""Strategies as Prefect flows: their parameters, the approval form, what a person sees in the UI."""

import logging

# Prefect hands the lines of these loggers to the run's page (`extra_loggers`), but leaves their level at WARNING.
logging.getLogger("vecferry").setLevel(logging.INFO)
