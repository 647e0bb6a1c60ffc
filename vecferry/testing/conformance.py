"""The conformance suite that every store's tests subclass.

What the author of a store does, in about 20 lines:

1. Subclass `TargetConformance` (or `SourceConformance` for a store that is only read) in a test module.
2. Give the fixture `place`: a function from a collection's name to a fresh `Address` (a server's fixture, a
   `tmp_path`). Names may be any text: percent-encode them into the URL.
3. Give `raw_rows(address)`: what the engine's own client, or plain Python, sees of the collection with one
   unnamed vector: `{id text: RawRow(vector, payload, document)}`. The suite closes its own handles first. It must
   use nothing of the store under test, so that writing is never proved by reading.
4. A read-only store gives the fixture `expected` instead: it makes a collection by raw means and says what is in it.

What a store does not claim in its `Capabilities` must be refused with an error, or work: never change data in silence.
Known gaps of an engine are data on the class, and are asserted as gaps, so that a stale entry fails:
`refused_ids` (string ids that it will not take) and `altered_types` (payload types that it changes in silence).

    class TestMemory(TargetConformance):
        @pytest.fixture
        def place(self) -> Place:
            folder = uuid4().hex
            return lambda name: parse(f"memory:///{folder}/{quote(name, safe='')}")

        def raw_rows(self, address: Address) -> dict[str, RawRow]:
            ...
"""

from __future__ import annotations

from vecferry.testing.rows import RawRow
from vecferry.testing.source_suite import Place, SourceConformance
from vecferry.testing.target_suite import TargetConformance

__all__ = ["Place", "RawRow", "SourceConformance", "TargetConformance"]
