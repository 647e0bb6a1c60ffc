"""A Prefect server and a worker on this machine, for the demo and for a look at the UI."""
