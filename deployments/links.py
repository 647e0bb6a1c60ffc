"""Addresses of pages in Prefect's UI: the form of a deployment, filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from prefect.client.orchestration import SyncPrefectClient

__all__ = ["Link", "form_url"]


@dataclass(frozen=True, slots=True)
class Link:
    """What a form is opened for: a deployment (`flow/name`), and what is filled in."""

    title: str
    deployment: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


def form_url(client: SyncPrefectClient, ui_url: str, link: Link) -> str:
    """The page with the form, its fields filled in; nothing runs until somebody submits it."""
    found = client.read_deployment_by_name(link.deployment)
    filled = quote(json.dumps(dict(link.parameters)), safe="")
    return f"{ui_url}/v2/deployments/deployment/{found.id}/run?parameters={filled}"
