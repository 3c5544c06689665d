"""The audits of GraphQL over HTTP by npm's graphql-http, on the gateway as a process."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.config import Settings
from schema import schema as graph
from tests.e2e.processes import serving

SOURCE = Path(__file__).parent / "graphql_http"
AUDITS = 61

pytestmark = [pytest.mark.long, pytest.mark.node]

# An audit looks a type up by name, and others ask by GET without a header.
PRODUCTION = {
    "GATEWAY_ENVIRONMENT": "production",
    "GATEWAY_ALLOWED_HOSTS": "127.0.0.1",
    "GATEWAY_GET": "true",
    "GATEWAY_GET_PREFLIGHT": "false",
    **({"GATEWAY_INTROSPECTION": "true"} if "introspection" in Settings.model_fields else {}),
}


@pytest.fixture(scope="module")
def audits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script, in a folder with the packages of the lock."""
    folder = tmp_path_factory.mktemp("graphql_http")
    for file in SOURCE.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=120, stdin=subprocess.DEVNULL)
    return folder / "audits.mjs"


@pytest.mark.parametrize("variables", [{}, PRODUCTION], ids=["development", "production"])
def test_every_audit_passes(audits: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    urls = {f"GATEWAY_STORES__{name.upper()}__URL": f"sqlite:///{tmp_path}/{name}.db" for name in graph.store_names}
    with serving(tmp_path, **urls, **variables) as address:
        done = subprocess.run(["node", audits, f"{address}/graphql"], capture_output=True, text=True, timeout=60, check=True)
    results = json.loads(done.stdout)
    assert [f"{r['id']} {r['name']}: {r['reason']}" for r in results if r["status"] != "ok"] == []
    assert len(results) == AUDITS


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
