"""Qdrant as a store: the embedded engine, a server over gRPC, a server over REST."""
