"""Routes as applications see them, and the rules by which they move."""
