"""What commands do, on top of `vecferry.operations`: each gives the same answer as JSON and as text."""
