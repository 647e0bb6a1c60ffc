"""The installation for those who need servers first: what can be told of it without a Docker engine."""
