"""vecferry moves collections between vector databases and proves that they arrived."""
