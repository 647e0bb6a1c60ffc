"""`python -m vecferry.cli`: the same as the script."""

import sys

from vecferry.cli.main import main

sys.exit(main())
