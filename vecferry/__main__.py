"""`python -m vecferry`: the command line."""

import sys

from vecferry.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
