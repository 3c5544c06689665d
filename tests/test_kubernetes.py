"""docs/kubernetes is what Kubernetes takes, names settings that there are, and its times and connections fit each other.

The schemas are ours (``data/kubernetes.json``): of each kind the fields that these files use, with nothing beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from gateway.config import Settings, load_settings
from gateway.config.variables import SUFFIX
from gateway.http.draining import ENDING_S
from schema import schema as graph

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "kubernetes"
SCHEMAS: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "kubernetes.json").read_text())
DOCUMENTS: dict[str, dict[str, Any]] = {
    path.name: document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
}
BY_KIND = {document["kind"]: document for document in DOCUMENTS.values()}
DEPLOYMENT = BY_KIND["Deployment"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
GATEWAY = POD["containers"][0]
JOB = BY_KIND["Job"]["spec"]["template"]["spec"]
DATA: dict[str, str] = BY_KIND["ConfigMap"]["data"]
MAX_CONNECTIONS = 100  # of a PostgreSQL as it comes
KEPT_FOR_SUPERUSERS = 3
SHARE_MAX = 0.8


def mistakes(document: dict[str, Any]) -> list[str]:
    schema = {"$defs": SCHEMAS["$defs"], **SCHEMAS["kinds"][document["kind"]]}
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in Draft7Validator(schema).iter_errors(document)]


@pytest.mark.parametrize("file", DOCUMENTS)
def test_each_file_is_valid_by_the_schema_of_its_kind(file: str) -> None:
    assert mistakes(DOCUMENTS[file]) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "place"),
    [
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriod"), 30, "spec.template.spec"),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "livenessProbe", "periodSeconds"), "5", "periodSeconds"),
        ("Service", ("spec", "ports", 0, "port"), 70_000, "spec.ports.0.port"),
        ("HorizontalPodAutoscaler", ("apiVersion",), "autoscaling/v1", "apiVersion"),
        ("PodDisruptionBudget", ("spec", "selector"), {}, "spec.selector"),
        ("ConfigMap", ("data", "GATEWAY_PORT"), 8_000, "data.GATEWAY_PORT"),
    ],
)
def test_the_schemas_refuse_what_kubernetes_would(kind: str, path: tuple[Any, ...], value: Any, place: str) -> None:
    broken = deepcopy(BY_KIND[kind])
    *above, last = path
    inner: Any = broken
    for step in above:
        inner = inner[step]
    inner[last] = value
    [mistake] = mistakes(broken)
    assert place in mistake.partition(": ")[0]


def test_all_files_are_part_of_the_base_and_all_parts_are_files() -> None:
    assert sorted(BY_KIND["Kustomization"]["resources"]) == sorted(set(DOCUMENTS) - {"kustomization.yaml"})


def containers() -> Iterator[dict[str, Any]]:
    yield GATEWAY
    yield JOB["containers"][0]


def test_every_setting_is_one_and_has_a_value_that_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each container's variables are read as its gateway would read them, from files with URLs in place of the secret's."""
    for container in containers():
        with monkeypatch.context() as patch:
            for name in [*DATA, *(variable["name"] for variable in container["env"])]:
                assert name.startswith("GATEWAY_")
            for name, value in DATA.items():
                patch.setenv(name, value)
            for variable in container["env"]:
                file = tmp_path / Path(variable["value"]).name
                file.write_text("memory://" if file.name.endswith("-url") else "0123456789abcdef\n")
                patch.setenv(variable["name"], str(file))
            patch.chdir(tmp_path)
            settings = load_settings(graph.store_names, graph.plain_urls)
        assert settings.environment == "production"
        assert set(settings.urls) == set(graph.store_names)
        assert settings.allowed_hosts


def test_a_setting_that_there_is_not_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DRAIN_DELAYS", "5")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="GATEWAY_DRAIN_DELAYS"):
        load_settings(graph.store_names, graph.plain_urls)


def test_secrets_are_files_of_the_secret_and_of_nothing_else() -> None:
    for spec in (POD, JOB):
        [container] = spec["containers"]
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        [volume] = [volume for volume in spec["volumes"] if "secret" in volume]
        assert mounts[volume["name"]]["readOnly"] is True
        for variable in container["env"]:
            assert variable["name"].endswith(SUFFIX)
            assert variable["value"].startswith(mounts[volume["name"]]["mountPath"] + "/")
    assert not any("URL" in name or "TOKEN" in name or "KEY" in name.split("_")[-1:] for name in DATA)


def test_the_command_for_the_secret_has_each_of_its_files() -> None:
    text = (FOLDER / "README.md").read_text()
    names = {Path(variable["value"]).name for container in containers() for variable in container["env"]}
    assert {name for name in names if f"--from-file={name}" not in text} == set()


def test_the_end_of_a_pod_is_longer_than_that_of_the_gateway() -> None:
    waits = GATEWAY.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert POD["terminationGracePeriodSeconds"] >= waits + float(DATA["GATEWAY_DRAIN_DELAY_S"]) + float(DATA["GATEWAY_DRAIN_S"]) + ENDING_S


def test_readiness_is_heard_while_connections_are_taken() -> None:
    probe = GATEWAY["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < float(DATA["GATEWAY_DRAIN_DELAY_S"])
    assert (probe["httpGet"]["path"], GATEWAY["livenessProbe"]["httpGet"]["path"]) == ("/health/ready", "/health/live")


def test_the_port_is_one_and_the_same() -> None:
    [port] = GATEWAY["ports"]
    assert str(port["containerPort"]) == DATA["GATEWAY_PORT"]
    probes = [GATEWAY[name]["httpGet"]["port"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert {*probes, BY_KIND["Service"]["spec"]["ports"][0]["targetPort"]} == {port["name"]}


def test_whoever_selects_pods_selects_those_of_the_gateway_and_not_the_jobs() -> None:
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    selected = [
        DEPLOYMENT["selector"]["matchLabels"],
        BY_KIND["Service"]["spec"]["selector"],
        BY_KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        POD["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selected)
    assert BY_KIND["Job"]["spec"]["template"]["metadata"]["labels"] != labels
    scaler = BY_KIND["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert scaler == {"apiVersion": "apps/v1", "kind": "Deployment", "name": BY_KIND["Deployment"]["metadata"]["name"]}


def test_all_pods_there_may_be_at_once_have_connections_to_a_postgresql_as_it_comes() -> None:
    pods = BY_KIND["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] + DEPLOYMENT["strategy"]["rollingUpdate"]["maxSurge"]
    each = int(DATA["GATEWAY_STORES__USERS__POOL_SIZE"]) + 1  # users and posts have one URL, and so one pool; and one that listens
    assert pods * each * int(DATA["GATEWAY_WORKERS"]) <= SHARE_MAX * (MAX_CONNECTIONS - KEPT_FOR_SUPERUSERS)


def test_a_budget_lets_a_node_be_emptied() -> None:
    assert BY_KIND["PodDisruptionBudget"]["spec"]["maxUnavailable"] < BY_KIND["HorizontalPodAutoscaler"]["spec"]["minReplicas"]


def test_the_user_is_that_of_the_image() -> None:
    dockerfile = (ROOT / ".ci" / "Dockerfile").read_text()
    assert {POD["securityContext"]["runAsUser"], JOB["securityContext"]["runAsUser"]} == {10_001}
    assert "--uid 10001" in dockerfile


def test_the_defaults_that_the_pages_name_are_those_of_the_settings() -> None:
    production = Settings.model_validate({"environment": "production"})
    assert (production.drain_delay_s, production.drain_s) == (float(DATA["GATEWAY_DRAIN_DELAY_S"]), float(DATA["GATEWAY_DRAIN_S"]))
