"""The documentation names everything that the code has to offer."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, named, text_of
from vecferry import config, errors
from vecferry.cli.actions import store_table
from vecferry.errors import VecferryError
from vecferry.mapping import metrics, oversized, payload, vector_decisions
from vecferry.rule_sets import RULE_SETS, RuleSet
from vecferry.stores.faiss_index.view import RECONSTRUCTED_CONSENT
from vecferry.stores.registry import STORES, StoreEntry

DOCS = ROOT / "docs"
ERRORS = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, VecferryError)]
STORE_LIST = list(STORES.values())


def page_of(store: StoreEntry) -> Path:
    """The page of a store: schemes of one kind share one."""
    return DOCS / "stores" / f"{store.kind or store.scheme}.md"


def store_page(store: StoreEntry) -> str:
    """The text of a store's page."""
    return text_of(page_of(store))


@pytest.mark.parametrize("store", STORE_LIST, ids=lambda store: store.scheme)
def test_every_store_has_a_page_with_its_urls(store: StoreEntry) -> None:
    """Each URL form of the registry stands on the page of its store, with the extra that it needs."""
    text = store_page(store)
    for form in store.forms:
        assert f"`{form}`" in text, form
    assert store.extra is None or f"`{store.extra}`" in text


@pytest.mark.parametrize("store", STORE_LIST, ids=lambda store: store.scheme)
def test_every_option_of_a_url_is_on_the_store_page(store: StoreEntry) -> None:
    """What a store's code takes as an option of its URL, its page explains."""
    text = store_page(store)
    for option in options_of(store):
        assert f"`{option}`" in text, option


def options_of(store: StoreEntry) -> set[str]:
    """The names that the code of a store passes to `only_options`."""
    place = ROOT / (store.module.replace(".", "/"))
    files = list(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    calls = (found for file in files for found in re.findall(r"only_options\(([^)]*)\)", file.read_text()))
    return {name for call in calls for name in re.findall(r'"([^"]+)"', call)}


def test_options_of_urls_are_found_in_the_code() -> None:
    """The test above looks at something."""
    assert options_of(STORES["qdrant"]) >= {"wire", "timeout_s"}
    assert options_of(STORES["numpy"]) == {"array", "id"}


def test_no_page_describes_a_store_that_is_gone() -> None:
    """Each page of `docs/stores` belongs to a scheme of the registry."""
    assert set((DOCS / "stores").glob("*.md")) <= set(map(page_of, STORE_LIST))


@pytest.mark.parametrize(
    "error", [error for error in ERRORS if error is not VecferryError], ids=lambda error: error.__name__
)
def test_every_public_error_is_explained(error: type[VecferryError]) -> None:
    """The page of errors has a row for each class, under the heading of its exit code."""
    text = text_of(DOCS / "errors.md")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    mine = next(section for section in sections if f"exit code {error.exit_code}" in section.splitlines()[0])
    assert f"`{error.__name__}`" in mine


def test_all_errors_are_looked_at() -> None:
    """The errors that are checked are those that the module exports."""
    assert {error.__name__ for error in ERRORS} == set(errors.__all__)


def test_the_store_table_of_the_readme_is_current() -> None:
    """Between the markers stands what `vecferry stores --markdown` prints."""
    text = text_of(ROOT / "README.md")
    shown = re.search(r"<!-- stores: begin [^\n]*-->\n(.*?)\n<!-- stores: end -->", text, re.DOTALL)
    assert shown, "the markers are missing"
    assert shown[1].strip() == store_table.markdown(store_table.rows())


@pytest.mark.parametrize(
    "name",
    [
        metrics.METRIC_CONSENT,
        vector_decisions.DTYPE_CONSENT,
        vector_decisions.MISSING_CONSENT,
        oversized.OVERSIZED_CONSENT,
        payload.NULL_CONSENT,
        RECONSTRUCTED_CONSENT,
        config.PLAIN_WEBHOOK_CONSENT,
    ],
)
def test_every_consent_is_explained(name: str) -> None:
    """A loss that can be agreed to is told of where decisions are explained."""
    assert f"`{name}`" in text_of(DOCS / "concepts.md")


@pytest.mark.parametrize("one", RULE_SETS.values(), ids=lambda one: one.name)
def test_every_rule_of_every_profile_is_explained(one: RuleSet) -> None:
    """The page of profiles names each profile, the schemes that it is for, and each of its rules."""
    text = text_of(DOCS / "profiles.md")
    assert f"| `{one.name}` |" in text
    assert all(f"`{scheme}://`" in text for scheme in one.schemes)
    assert all(f"| {rule.says} " in text for rule in one.rules)


@pytest.mark.parametrize("field", config.MigrationConfig.model_fields)
def test_every_field_of_a_migration_file_is_explained(field: str) -> None:
    """The table of the migration file has a row for each field."""
    assert f"| `{field}` |" in text_of(DOCS / "getting-started.md")


def test_every_flow_and_parameter_is_on_the_page_of_prefect() -> None:
    """Deployments and the parameters of their flows are documented."""
    text = text_of(DOCS / "prefect.md")
    for name in deployments():
        assert f"`{name}`" in text, name
    for name in flow_parameters():
        assert f"`{name}`" in text, name


def deployments() -> list[str]:
    """The names of the deployments in prefect.yaml."""
    return re.findall(r"^  - name: (\S+)$", (ROOT / "prefect.yaml").read_text(), re.MULTILINE)


def flow_parameters() -> set[str]:
    """The parameters that the flows explain in their docstrings; importing them would load Prefect."""
    found = set[str]()
    for path in sorted((ROOT / "flows").glob("*.py")):
        for section in re.findall(r"Args:\n(.*?)\n    \"\"\"", path.read_text(), re.DOTALL):
            found |= set(re.findall(r"^        (\w+):", section, re.MULTILINE))
    return found


def test_flow_parameters_are_found_in_the_code() -> None:
    """The test above looks at something."""
    assert flow_parameters() >= {"source", "target", "migration_id", "allow_deletes"}
    assert "blue-green" in deployments()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_pages_speak_of_the_project_alone(page: Path) -> None:
    """No path of somebody's machine stands in the documentation."""
    assert not re.search(r"/(root|work|home/\w+)/", text_of(page))


def test_the_example_of_a_store_test_is_a_test_of_ours() -> None:
    """What CONTRIBUTING shows is a whole file that pytest runs."""
    shown = next(block.body for block in blocks(ROOT / "CONTRIBUTING.md") if block.info == "python")
    assert shown == text_of(ROOT / "tests" / "stores" / "jsonl" / "test_conformance.py")


def test_versions_are_those_of_the_lock() -> None:
    """The versions that were tested are the ones that are installed."""
    locked = dict(re.findall(r"^([a-z0-9.-]+)==([^\s\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]+?) \|", text_of(DOCS / "tested-against.md"), re.MULTILINE)
    assert len(rows) >= 8
    for name, version in rows:
        assert locked[name] == version, name
