"""Secrets by reference."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from vecferry import config
from vecferry.config import SecretRef, block_variable
from vecferry.errors import BadOption


@pytest.fixture(autouse=True)
def no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the command line: nobody has said how blocks are read."""
    monkeypatch.setattr(config, "_block_readers", [])


def test_a_file_gives_its_text_without_the_last_newline(tmp_path: Path) -> None:
    """A secret in a file is the file's text."""
    (tmp_path / "key").write_text("abc\n")
    assert SecretRef(file=tmp_path / "key").resolve() == "abc"


def test_a_block_s_secret_comes_from_its_variable_where_there_is_no_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error names the variable, so that a rollback by hand needs no Prefect."""
    reference = SecretRef(block="new-store/api_key")
    with pytest.raises(BadOption, match="only flows read") as refused:
        reference.resolve()
    assert "export VECFERRY_BLOCK_NEW_STORE__API_KEY=" in refused.value.advice
    monkeypatch.setenv("VECFERRY_BLOCK_NEW_STORE__API_KEY", "abc")
    assert reference.resolve() == "abc"


def test_flows_say_how_blocks_are_read() -> None:
    """The reader is asked anew for each store that is opened."""
    asked = []
    config.read_blocks_with(lambda name, field: asked.append((name, field)) or f"{len(asked)}")
    reference = SecretRef(block="new-store/api_key")
    assert [reference.resolve(), reference.resolve()] == ["1", "2"]
    assert asked == [("new-store", "api_key")] * 2


def test_no_two_references_share_a_variable() -> None:
    """Where a block's name ends can be told from the variable."""
    assert len({block_variable(one) for one in ("a-b/c", "a/b_c", "a-b/c_d", "a/b_c_d")}) == 4


@pytest.mark.parametrize("text", ["new-store", "/api_key", "New/api_key", "a/b/c", "a_b/c"])
def test_a_reference_that_names_no_field_of_a_block_is_refused(text: str) -> None:
    """It reads NAME/FIELD, as Prefect allows names."""
    with pytest.raises(ValidationError):
        SecretRef(block=text)
