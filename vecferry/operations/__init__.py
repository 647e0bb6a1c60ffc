"""Use cases, one per verb: what the command line and the tasks call."""
