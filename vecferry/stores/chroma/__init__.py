"""Chroma: a folder read directly (`folder`), and folders and servers through its client."""
