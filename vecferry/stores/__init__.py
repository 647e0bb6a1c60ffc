"""One folder a store; `registry` finds them by the scheme of a URL."""
