from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.archive.test_manifest import FIRST
from tests.golden.make_archive_v1 import VECTORS, column_of
from vecferry import batch as columns
from vecferry import canonical, sealing
from vecferry.archive import Archive, layout
from vecferry.archive.hash_rows import HASHES_SCHEMA
from vecferry.archive.manifest import Manifest
from vecferry.archive.verifier import DamageKind
from vecferry.model import DType, IdKind, VectorField, VectorKind

TEXT = (Path(__file__).parents[2] / "docs" / "archive-format.md").read_text()


def run(name: str, **names: Any) -> dict[str, Any]:
    """Run the documentation's code block of this name."""
    found = re.search(rf"```python {name}\n(.*?)```", TEXT, re.DOTALL)
    assert found, name
    exec(found[1], names)
    return names


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = Archive.create(tmp_path, "docs", {})
    fields = VECTORS[:2]
    for number in (0, 1):
        batch = columns.make(
            [f"{number}-a", f"{number}-b"],
            IdKind.STRING,
            vectors={
                "": column_of(fields[0], [[1.0, -0.0, 0.1, 3.0], None]),
                "half": column_of(fields[1], [None, [1.0, 2.0, 3.0]]),
            },
            documents=["text", None],
            payloads=[b'{"city":"Berlin"}', b"{}"],
        )
        archive.write_part(number, columns.arrow_schema(fields), [batch])
    return archive


def test_pandas_reads_a_part_with_no_help(archive: Archive) -> None:
    """The documentation's lines give a data frame with text, None for what is missing, and arrays for vectors."""
    names = run("pandas", part=archive.storage.place("parts/00000.parquet"))
    frame = names["rows"]
    assert isinstance(frame, pd.DataFrame)
    assert names["first_vector"].tolist() == np.array([1.0, -0.0, 0.1, 3.0], np.float32).tolist()
    assert frame["vector"][1] is None
    assert frame["vector.half"][1].dtype == np.float16
    assert frame["id"].tolist() == ["0-a", "0-b"]
    assert frame["id_kind"].astype(str).tolist() == ["string", "string"]
    assert frame["payload"].tolist() == ['{"city":"Berlin"}', "{}"]


def test_duckdb_reads_all_parts_with_no_help(archive: Archive) -> None:
    """The documentation's lines query payload and vectors over all parts."""
    names = run("duckdb", folder=archive.place)
    assert names["found"].fetchall() == [
        ("0-a", "Berlin", 4),
        ("0-b", None, None),
        ("1-a", "Berlin", 4),
        ("1-b", None, None),
    ]


def test_the_known_answers_of_the_documentation_are_ours() -> None:
    """The hashes that the documentation computes on its own are those that records get here."""
    names = run("known-answers")
    fields = [
        VectorField("", VectorKind.DENSE, DType.FLOAT32, 2),
        VectorField("sparse", VectorKind.SPARSE),
        VectorField("tokens", VectorKind.MULTI, DType.FLOAT16, 2),
    ]
    values: list[list[Any]] = [[[1.0, -0.0], None], [([3, 7], [0.25, -1.0]), None], [[[1.0, 2.0], [3.0, 4.0]], None]]
    batch = columns.make(
        ["12", "12"],
        [IdKind.UINT64, IdKind.STRING],
        vectors={field.name: column_of(field, item) for field, item in zip(fields, values, strict=True)},
        documents=["Guten Tag", None],
        payloads=canonical.encode_many([{"n": 1, "city": "Köln"}, {}]),
    )
    hashes = sealing.hash_parts(batch)
    assert bytes(hashes[0]) == names["vectors"] + names["payload"] + names["document"]
    assert bytes(sealing.hash_ids(batch)[0]) == names["identity"]
    assert str(sealing.digest(sealing.seal(batch))) == "2-12656d1383e3e8ebcd58a8223a5b0ce6"
    assert f"2-{names['total']:032x}" == "2-12656d1383e3e8ebcd58a8223a5b0ce6"


def test_the_tagged_forms_of_the_documentation_are_ours() -> None:
    """Each form that the documentation spells out is the canonical text of a value."""
    forms = re.findall(r'`(\{"\$vecferry":\["(?:float|bytes|text|datetime|date)",[^`]*\})`', TEXT)
    assert len(forms) == 5
    for form in forms:
        assert canonical.encode(canonical.decode(form)).decode() == form


@pytest.mark.parametrize(
    "name",
    [
        *(field.name for field in columns.arrow_schema([VectorField(dimension=1)], sealed=True)),
        *HASHES_SCHEMA.names,
        layout.FOOTER_FORMAT,
        layout.FOOTER_PATH,
        layout.FOOTER_ROWS,
        layout.FOOTER_DIGEST,
        *(kind.value for kind in IdKind),
    ],
)
def test_every_column_footer_key_and_kind_is_documented(name: str) -> None:
    """Names in files are names in the documentation."""
    assert f"`{name}`" in TEXT


def test_every_field_of_a_manifest_is_documented() -> None:
    """What a manifest holds is in the table of its fields."""
    for name in FIRST.raw:
        assert f"`{name}`" in TEXT, name
    for name in Manifest.parse(FIRST.to_bytes(), "x").raw["parts"][0]:
        assert f"`{name}`" in TEXT, name


def test_every_kind_of_damage_explains_itself() -> None:
    """A kind of damage reads as words."""
    assert all(kind.value == kind.name.lower().replace("_", " ") for kind in DamageKind)


def test_the_documentation_names_the_version_that_is_written() -> None:
    """The specification is that of the format of this vecferry."""
    assert TEXT.startswith(f"# The archive format, version {layout.VERSION}\n")
