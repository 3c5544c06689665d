"""What is delivered around the code agrees with the code: the compose file, the image, the lock, the Makefile, the README."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft7Validator
from packaging.requirements import Requirement
from packaging.version import Version

from tests.servers import SERVERS

ROOT = Path(__file__).parent.parent
LOCK = ROOT / ".ci" / "requirements.lock"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / ".ci" / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL: dict[str, Any] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]


# -------------------------------------------------------------------------------------------------------------- compose


def test_compose_file_is_valid_by_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(COMPOSE)] == []


def test_the_schema_refuses_a_misspelt_key() -> None:
    schema = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text())
    broken = {"services": {"gateway": {**SERVICES["gateway"], "enviroment": {}}}}
    assert [error.validator for error in Draft7Validator(schema).iter_errors(broken)] == ["additionalProperties"]


def test_services_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_gateway_waits_for_every_server_to_be_healthy() -> None:
    servers = {name for name, service in SERVICES.items() if "healthcheck" in service}
    assert servers == set(SERVICES) - {"gateway"}
    assert SERVICES["gateway"]["depends_on"] == {name: {"condition": "service_healthy"} for name in servers}


def test_every_server_keeps_its_data_in_a_declared_volume() -> None:
    for name in set(SERVICES) - {"gateway"}:
        volumes = {volume.split(":")[0] for volume in SERVICES[name]["volumes"]}
        assert volumes
        assert volumes <= set(COMPOSE["volumes"])


@pytest.mark.parametrize(
    ("variable", "server"), [("DATABASE_URL", "TEST_POSTGRES_URL"), ("MONGO_URL", "TEST_MONGO_URL"), ("NEO4J_URL", "TEST_NEO4J_URL")]
)
def test_the_addresses_for_tests_are_those_of_the_gateway_seen_from_outside(variable: str, server: str) -> None:
    inside = urlsplit(SERVICES["gateway"]["environment"][variable])
    outside = urlsplit(next(s.compose_url for s in SERVERS if s.variable == server))
    service = SERVICES[inside.hostname or ""]
    assert (inside.scheme, inside.username, inside.password, inside.path) == (
        outside.scheme,
        outside.username,
        outside.password,
        outside.path,
    )
    assert f"{outside.hostname}:{outside.port}:{inside.port}" in service["ports"]


def test_passwords_of_the_urls_are_those_the_servers_get() -> None:
    urls = {name: urlsplit(url) for name, url in SERVICES["gateway"]["environment"].items() if name.endswith("_URL")}
    postgres = SERVICES["postgres"]["environment"]
    database = urls["DATABASE_URL"]
    assert (postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"], f"/{postgres['POSTGRES_DB']}") == (
        database.username,
        database.password,
        database.path,
    )
    assert SERVICES["neo4j"]["environment"]["NEO4J_AUTH"] == f"{urls['NEO4J_URL'].username}/{urls['NEO4J_URL'].password}"


# ---------------------------------------------------------------------------------------------------------------- image


def test_the_image_copies_what_there_is_and_all_that_the_package_is_built_from() -> None:
    copied = {path for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()}
    assert [path for path in copied if not (ROOT / path).exists()] == []
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    assert copied >= needed | set(WHEEL["only-include"])
    allowed = [line[1:] for line in (ROOT / ".ci" / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    assert {path for path in copied if not any(fnmatch.fnmatch(path, pattern) for pattern in allowed)} == set()


def test_the_image_runs_as_a_user_without_rights_and_says_whether_it_lives() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!root|0)\S+$", last_stage, re.MULTILINE)
    assert "HEALTHCHECK" in last_stage
    assert "/health/live" in last_stage


def test_compose_builds_the_gateway_from_this_dockerfile() -> None:
    build = SERVICES["gateway"]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).read_text() == DOCKERFILE


def compose_commands() -> list[list[str]]:
    """The ``gateway`` commands of the compose file, as arguments."""
    shell, option, script = SERVICES["gateway"]["command"]
    assert (shell, option) == ("sh", "-c")
    return [shlex.split(part.strip().removeprefix("exec ")) for part in script.split("&&")]


def test_compose_prepares_the_stores_before_it_serves() -> None:
    assert [command[:2] for command in compose_commands()] == [["gateway", "migrate"], ["gateway", "seed"], ["gateway", "serve"]]


# ----------------------------------------------------------------------------------------------------- lock and Makefile


def locked() -> dict[str, str]:
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    return {_normal(name): version for name, version in (line.split("==") for line in lines)}


def test_the_lock_has_exact_versions_and_no_addresses() -> None:
    assert "://" not in LOCK.read_text()
    assert all(re.fullmatch(r"[0-9][0-9a-z.+]*", version) for version in locked().values())


def test_the_lock_has_every_dependency_in_a_version_that_is_allowed() -> None:
    versions = locked()
    assert [str(r) for r in asked() if not r.specifier.contains(versions.get(_normal(r.name), "0"))] == []


# ----------------------------------------------------------------------------------------------------------- advisories


@dataclass(frozen=True, slots=True)
class Advisory:
    """A known vulnerability of a package; ``fixed`` is the first version without it."""

    package: str
    id: str
    fixed: str
    about: str

    def __str__(self) -> str:
        return f"{self.package} {self.id}"


ADVISORIES = [Advisory(**fields) for fields in tomllib.loads((ROOT / "tests" / "data" / "advisories.toml").read_text())["advisory"]]


def asked() -> list[Requirement]:
    """What pyproject.toml asks for, in all its extras."""
    project = PROJECT["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return [requirement for text in texts if (requirement := Requirement(text)).name != project["name"]]


def floor_of(requirement: Requirement) -> Version:
    """The lowest version that is allowed."""
    (floor,) = (Version(specifier.version) for specifier in requirement.specifier if specifier.operator == ">=")
    return floor


@pytest.mark.parametrize("advisory", ADVISORIES, ids=str)
def test_no_version_that_is_allowed_or_locked_has_a_known_vulnerability(advisory: Advisory) -> None:
    name, fixed = _normal(advisory.package), Version(advisory.fixed)
    low = [str(requirement) for requirement in asked() if _normal(requirement.name) == name and floor_of(requirement) < fixed]
    assert low == [], f"pyproject.toml: expected {name}>={fixed} ({advisory.id}: {advisory.about}), got {low[0]}"
    assert Version(locked()[name]) >= fixed, f"{LOCK.name}: expected {name} {fixed} or newer ({advisory.id}: {advisory.about})"


def test_advisories_are_of_packages_that_we_have_and_each_is_there_once() -> None:
    assert {_normal(advisory.package) for advisory in ADVISORIES} - locked().keys() == set()
    assert len({(advisory.package, advisory.id) for advisory in ADVISORIES}) == len(ADVISORIES) > 30
    assert {"starlette", "graphql-core", "strawberry-graphql", "orjson", "h11"} <= {advisory.package for advisory in ADVISORIES}


def test_every_dependency_has_one_floor() -> None:
    floors = {requirement.name: [s.version for s in requirement.specifier if s.operator == ">="] for requirement in asked()}
    assert {name: found for name, found in floors.items() if len(found) != 1} == {}


def test_no_dependency_brings_a_module_with_the_name_of_one_of_ours() -> None:
    ours = set(WHEEL["only-include"])  # in a checkout they all lie at the top
    versions = locked()
    installed = {_normal(found.name): found for found in distributions() if _normal(found.name) in versions}
    assert len(installed) > 40
    files = {(name, file.parts[0].removesuffix(".py")) for name, found in installed.items() for file in found.files or ()}
    assert [f"{name} brings {module}" for name, module in sorted(files) if module in ours] == []
    assert "schema" in ours
    assert "schema" not in versions


# ------------------------------------------------------------------------------------------------------------ documents


def test_every_make_command_of_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {name for path in documents for name in re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(), re.MULTILINE)}
    assert {"run", "test"} <= named
    assert named - targets == set()


def test_links_of_the_documents_lead_to_files() -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = [(path, link) for path in documents for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()) if "://" not in link]
    assert [f"{path.name}: {link}" for path, link in links if not (path.parent / link).exists()] == []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
