"""The validation ladder, one check a file. Each takes batches and gives a count of differences and findings."""
