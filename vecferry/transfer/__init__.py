"""Moving rows: reading slices into the archive, loading parts into a target, within limits that the plan set."""
