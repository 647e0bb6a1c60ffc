"""The compose file and what goes with it, read as data."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from tests.installation.compose import EXAMPLE, FILE, PROJECT, content, references, variables

SERVICES: dict[str, dict[str, Any]] = content()["services"]
PUBLISHED = {"prefect": {4200}, "qdrant": {6333, 6334}, "chroma": {8000}, "milvus": {19530}}
KEYS = {
    "build", "command", "depends_on", "environment", "healthcheck", "image", "ports", "restart", "security_opt",
    "stop_grace_period", "volumes",
}  # fmt: skip
ENDS = "install"
"""The one service that does its work and ends."""

TIMEOUT_S = 60.0


def test_every_port_is_loopback_s_alone() -> None:
    """Nothing is published to the network, and what is published are the doors of four services."""
    found = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    for name, ports in found.items():
        matched = [re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", port) for port in ports]
        assert all(matched), name
        assert {int(one[1]) for one in matched if one} == PUBLISHED[name]
    assert found.keys() == PUBLISHED.keys()


def test_every_variable_is_in_the_example_and_the_other_way_round() -> None:
    """Whoever fills in the example has filled in all; nothing of it is unused."""
    assert {name for name, _ in references(FILE.read_text())} == variables().keys()


def test_no_secret_is_committed() -> None:
    """Secrets have no value in the example and no default in the file, which refuses to start without them."""
    secret = {name for name in variables() if name != "VECFERRY_DATA"}
    assert {name for name, value in variables().items() if not value} == secret
    demanded = {name for name, rest in references(FILE.read_text()) if rest.startswith(":?")}
    assert demanded == secret
    assert not [name for name, rest in references(FILE.read_text()) if name in secret and rest.startswith((":-", "-"))]
    ignored = ["git", "check-ignore", "deployments/.env"]
    assert subprocess.run(ignored, cwd=PROJECT, capture_output=True, timeout=TIMEOUT_S, check=False).returncode == 0
    assert EXAMPLE.name == ".env.example"


def test_stores_that_know_keys_ask_for_them() -> None:
    """Qdrant, Milvus and Prefect are started with the keys of the environment, and the worker has the same ones."""
    told = {name: service.get("environment", {}) for name, service in SERVICES.items()}
    assert told["qdrant"]["QDRANT__SERVICE__API_KEY"].startswith("${QDRANT_API_KEY")
    assert told["milvus"]["COMMON_SECURITY_AUTHORIZATIONENABLED"] == "true"
    assert told["milvus"]["COMMON_SECURITY_DEFAULTROOTPASSWORD"].startswith("${MILVUS_ROOT_PASSWORD")
    assert told["prefect"]["PREFECT_SERVER_API_AUTH_STRING"] == "${PREFECT_AUTH}"
    for name in ("worker", "install"):
        assert told[name]["PREFECT_API_AUTH_STRING"].startswith("${PREFECT_AUTH")
    assert told["worker"]["QDRANT_API_KEY"] == "${QDRANT_API_KEY}"
    assert told["worker"]["MILVUS_TOKEN"] == "root:${MILVUS_ROOT_PASSWORD}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_service_is_pinned_and_watched(name: str) -> None:
    """A version, known keys, a health check where it stays, and a wait for the health of what it needs."""
    service = SERVICES[name]
    assert set(service) <= KEYS
    image, _, version = service["image"].rpartition(":")
    assert image
    assert version == "local" or re.search(r"\d+\.\d+|RELEASE\.\d{4}", version)
    assert ("build" in service) == (version == "local")
    assert ("healthcheck" in service) == (name != ENDS)
    assert service["restart"] == ("no" if name == ENDS else "unless-stopped")
    for needed, wait in service.get("depends_on", {}).items():
        assert wait["condition"] == ("service_completed_successfully" if needed == ENDS else "service_healthy")
        assert needed in SERVICES


def test_what_is_kept_is_in_named_volumes() -> None:
    """Every store and database keeps its data in a volume of its own; the old store's folder cannot be written."""
    named = set(content()["volumes"])
    used: dict[str, list[str]] = {}
    for service, entry in SERVICES.items():
        for volume in entry.get("volumes", []):
            used.setdefault(volume.partition(":")[0], []).append(service)
            assert volume.startswith("${VECFERRY_DATA") is volume.endswith(":/data:ro")
    assert {name for name in used if not name.startswith("$")} == named
    assert all(len(services) == 1 for services in used.values())


def test_the_image_holds_what_a_worker_needs() -> None:
    """What the build copies exists, and the context leaves out nothing of it."""
    dockerfile = (PROJECT / "deployments" / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for word in line.split()}
    assert all((PROJECT / name).exists() for name in copied)
    ignore = (PROJECT / "deployments" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied
    assert "deployments/.env" in ignore
    assert copied >= {"requirements.lock", "prefect.yaml", "prefect.toml", "vecferry", "tasks", "flows", "deployments"}
    assert "--require-hashes" in dockerfile
