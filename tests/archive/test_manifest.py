from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.archive.support import SCHEMA, TYPES, commit, filled, path_of, rows
from vecferry import canonical
from vecferry.archive import Archive, Changes, Manifest
from vecferry.errors import ArchiveDamaged, TargetNotEmpty
from vecferry.model import Digest, Receipt


def part(number: int, digest: str = "1-" + "0" * 31 + "5", sha256: str = "ab") -> Receipt:
    return Receipt(number, f"parts/{number:05d}.parquet", 1, 100, sha256, digest, "a", "b")


def edited(manifest: Manifest, change: dict[str, Any]) -> bytes:
    """The manifest's text with other fields and the checksum that belongs to them."""
    raw = {**manifest.raw, **change}
    del raw["checksum"]
    raw["checksum"] = hashlib.sha256(canonical.encode(raw)).hexdigest()
    return json.dumps(raw).encode()


FIRST = Manifest.first("docs", "00", Changes(schema=SCHEMA, parts=(part(0), part(2)), fingerprint="f"))


def test_a_commit_changes_what_it_names_and_counts_the_generation() -> None:
    """Fields that a commit does not set stay; parts are kept by number, ascending; the digest is their sum."""
    second = FIRST.changed(Changes(parts=(part(1), part(2, "3-" + "0" * 31 + "1")), complete=True))
    assert (FIRST.generation, FIRST.complete, FIRST.digest) == (1, False, Digest(2, 10))
    assert (second.generation, second.complete, second.digest) == (2, True, Digest(5, 11))
    assert [entry.rows.number for entry in second.parts] == [0, 1, 2]
    assert (second.schema, second.fingerprint, second.collection, second.rows) == (SCHEMA, "f", "docs", 5)
    assert Manifest.parse(second.to_bytes(), "x") == second


def test_unknown_fields_are_kept_at_every_depth() -> None:
    """What a newer minor version wrote survives a commit, unless the part that it stood in was replaced."""
    raw = json.loads(FIRST.to_bytes())
    raw["parts"][0]["colour"] = "blue"
    raw["parts"][1]["colour"] = "red"
    raw["schema"]["vectors"][0]["quantised"] = {"bits": 8}
    newer = {"format_version": "1.7", "later": [1, {"x": 2**70}], "parts": raw["parts"], "schema": raw["schema"]}
    text = edited(FIRST, newer)
    found = Manifest.parse(text, "x")
    assert json.loads(found.to_bytes()) == json.loads(text)
    changed = json.loads(found.changed(Changes(schema=SCHEMA, parts=(part(0), part(2, sha256="cd")))).to_bytes())
    assert (changed["format_version"], changed["later"]) == ("1.7", [1, {"x": 2**70}])
    assert changed["schema"]["vectors"][0]["quantised"] == {"bits": 8}
    assert changed["parts"][0]["colour"] == "blue"
    assert "colour" not in changed["parts"][1]


def test_any_json_comes_back_from_mapping_and_more() -> None:
    """The caller's own values are kept as they are; fields of the format cannot be set that way."""
    manifest = FIRST.changed(Changes(mapping=[{"a": None}], more={"verified": {"rows": 2}}))
    back = Manifest.parse(manifest.to_bytes(), "x")
    assert back.mapping == [{"a": None}]
    assert back.raw["verified"] == {"rows": 2}
    with pytest.raises(ValueError, match="'digest' cannot be set"):
        FIRST.changed(Changes(more={"digest": "0-0"}))


def test_a_newer_major_version_is_refused_with_advice() -> None:
    """A format that this vecferry cannot know is not guessed at."""
    with pytest.raises(ArchiveDamaged, match=r"format version 2\.0") as caught:
        Manifest.parse(edited(FIRST, {"format_version": "2.0"}), "x")
    assert "newer vecferry" in caught.value.advice


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "tar"}, "does not belong to a vecferry archive"),
        ({"format_version": "one"}, "no format version"),
        ({"format_version": None}, "no format version"),
        ({"rows": 3}, "not the sum"),
        ({"digest": "2-" + "0" * 32}, "not the sum"),
        ({"digest": "many"}, "not a manifest"),
        ({"generation": "1"}, "not a manifest"),
        ({"schema": {"name": "x"}}, "vectors"),
        ({"parts": None}, "not a manifest"),
        ({"plan": {}}, "it lacks 'sha256'"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_damage(change: dict[str, Any], said: str) -> None:
    """Each field is looked at, and the message says which one is wrong."""
    with pytest.raises(ArchiveDamaged, match=said):
        Manifest.parse(edited(FIRST, change), "x")


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "parts/00001.parquet", "hashes/00000.parquet"])
def test_a_manifest_cannot_send_a_reader_elsewhere(path: str) -> None:
    """A part's path is the one that its number gives, or the manifest is refused."""
    parts = [{**entry, "path": path} for entry in json.loads(FIRST.to_bytes())["parts"][:1]]
    with pytest.raises(ArchiveDamaged, match="names the file"):
        Manifest.parse(edited(FIRST, {"parts": parts, "rows": 1, "digest": parts[0]["digest"]}), "x")


def test_a_part_that_stands_twice_is_damage() -> None:
    """Two entries of one number would count its records twice."""
    parts = json.loads(FIRST.to_bytes())["parts"][:1] * 2
    with pytest.raises(ArchiveDamaged, match="each once"):
        Manifest.parse(edited(FIRST, {"parts": parts}), "x")


def test_a_flipped_byte_anywhere_in_a_manifest_is_seen_or_changes_nothing() -> None:
    """The manifest's own checksum covers every value."""
    whole = FIRST.to_bytes()
    for position in range(len(whole)):
        flipped = whole[:position] + bytes([whole[position] ^ 0x01]) + whole[position + 1 :]
        try:
            found = Manifest.parse(flipped, "x")
        except ArchiveDamaged:
            continue
        assert found == FIRST


def test_a_cut_manifest_is_damage() -> None:
    """A manifest without its end is not JSON."""
    with pytest.raises(ArchiveDamaged, match="not JSON"):
        Manifest.parse(FIRST.to_bytes()[:-10], "x")


def test_a_key_that_stands_twice_is_damage() -> None:
    """Plain coders would take the second value in silence."""
    with pytest.raises(ArchiveDamaged, match="twice"):
        Manifest.parse(b'{"rows": 1, ' + FIRST.to_bytes().lstrip(b"{"), "x")


def test_the_first_commit_needs_a_schema(tmp_path: Path) -> None:
    """A manifest without a schema would not say what it holds."""
    archive = Archive.create(tmp_path, "docs", {})
    with pytest.raises(ValueError, match="schema"):
        archive.commit(Changes())


def test_a_commit_of_a_part_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The manifest never lists what the archive does not have."""
    archive = Archive.create(tmp_path, "docs", {})
    receipt = archive.write_part(0, TYPES, [rows(0, 3)])
    path_of(archive, receipt.path).unlink()
    with pytest.raises(ArchiveDamaged, match="not there"):
        commit(archive, [receipt], [])
    assert not archive.has_manifest()
    with pytest.raises(ArchiveDamaged, match="its export did not finish"):
        archive.manifest()


def test_completing_an_archive_looks_at_every_part(tmp_path: Path) -> None:
    """A part that was lost since it was committed is found before the archive counts as whole."""
    archive = filled(tmp_path, [rows(0, 3), rows(3, 6)], complete=False)
    path_of(archive, "parts/00000.parquet").unlink()
    with pytest.raises(ArchiveDamaged, match="00000"):
        archive.commit(Changes(complete=True))
    assert not archive.manifest().complete


def test_the_manifest_of_another_collection_is_refused(tmp_path: Path) -> None:
    """A folder that was renamed is not taken for the collection of its new name."""
    archive = filled(tmp_path, [rows(0, 3)])
    Path(archive.place).rename(tmp_path / "other")
    with pytest.raises(ArchiveDamaged, match="of the collection 'docs', not 'other'"):
        Archive.open(tmp_path, "other").manifest()


def test_starting_the_same_plan_again_goes_on_and_another_plan_is_refused(tmp_path: Path) -> None:
    """An archive belongs to one plan from its first part on."""
    Archive.create(tmp_path, "docs", {"slices": 1})
    archive = Archive.create(tmp_path, "docs", {"slices": 2, "a": 1})
    assert archive.plan() == {"slices": 2, "a": 1}
    archive.write_part(0, TYPES, [rows(0, 3)])
    assert Archive.create(tmp_path, "docs", {"a": 1, "slices": 2}).plan() == archive.plan()
    with pytest.raises(TargetNotEmpty, match="another run"):
        Archive.create(tmp_path, "docs", {"slices": 3})


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path) -> None:
    """An archive never mixes with what somebody else put there."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "thesis.txt").write_text("mine")
    with pytest.raises(TargetNotEmpty):
        Archive.create(tmp_path, "docs", {})
