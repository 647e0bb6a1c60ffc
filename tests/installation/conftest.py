"""What needs Docker's own reader of compose files is collected where it is; `make test-all` says where it is not."""

from __future__ import annotations

from tests.installation.compose import compose_program

collect_ignore = [] if compose_program() else ["test_compose_program.py"]
