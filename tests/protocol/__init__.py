"""A small model of the cutover protocol, walked breadth first: every order of steps, crashes and late writes."""
