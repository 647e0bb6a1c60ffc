"""The reference store, held to the suite that holds all others to it."""

from __future__ import annotations

from urllib.parse import quote
from uuid import uuid4

import pytest

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.errors import BadOption
from vecferry.stores import memory, registry
from vecferry.testing.conformance import Place, RawRow, TargetConformance


class TestMemory(TargetConformance):
    """Every case of the suite, on collections of this process."""

    @pytest.fixture
    def place(self) -> Place:
        prefix = uuid4().hex
        return lambda name: parse(f"memory:///{quote(f'{prefix} {name}', safe='')}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        collection = memory._collections[address.collection()]
        row_of = collection.where
        written = [batch.slice(at, 1) for batch in collection.written for at in range(batch.num_rows)]
        return {
            text: RawRow(
                written[row].column("vector")[0].as_py(),
                canonical.decode(batches.payloads(written[row])[0]),
                written[row].column("document")[0].as_py(),
            )
            for (_, text), row in row_of.items()
        }


def test_options_are_refused() -> None:
    """A memory URL takes no option."""
    with pytest.raises(BadOption, match="takes no option"):
        registry.open_target(parse("memory:///x?metric=cosine"))
