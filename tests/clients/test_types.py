"""Which types clients generate: non-null ones where they handle errors and know @semanticNonNull, nullable ones else.

The generators and the compiler are run as users run them, on the SDL that is exported; npm installs them from the lock file.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from graphql import GraphQLObjectType, build_schema

from schema import schema as graph
from tests.clients.conftest import run

HERE = Path(__file__).parent
DOCUMENT = (HERE / "everything.graphql").read_text(encoding="utf-8")

# An expression per field with @semanticNonNull, which compiles where the type of that field is without null. "!" says of all that stands
# before it that it is there, so that one expression is about one field.
PROMISED = {
    "Query.users": "data.users.pageInfo",
    "Query.posts": "data.posts.nodes",
    "Query.events": "data.events.nodes",
    "Query.eventStats": "data.eventStats.length",
    "Query.recommendations": "data.recommendations.length",
    "UserConnection.totalCount": "data.users!.totalCount.toFixed()",
    "UserConnection.nodes": "data.users!.nodes.length",
    "UserConnection.edges": "data.users!.edges.length",
    "UserEdge.node": "data.users!.edges![0].node.name",
    "PostConnection.totalCount": "data.posts!.totalCount.toFixed()",
    "PostConnection.nodes": "data.posts!.nodes.length",
    "PostConnection.edges": "data.posts!.edges.length",
    "PostEdge.node": "data.posts!.edges![0].node.title",
    "EventConnection.totalCount": "data.events!.totalCount.toFixed()",
    "EventConnection.nodes": "data.events!.nodes.length",
    "EventConnection.edges": "data.events!.edges.length",
    "EventEdge.node": "data.events!.edges![0].node.type",
    "User.posts": "data.users!.nodes![0].posts.totalCount",
    "User.events": "data.users!.nodes![0].events.totalCount",
    "User.eventStats": "data.users!.nodes![0].eventStats.length",
    "User.following": "data.users!.nodes![0].following.totalCount",
    "User.followers": "data.users!.nodes![0].followers.totalCount",
    "User.recommendations": "data.users!.nodes![0].recommendations.length",
    "Post.events": "data.posts!.nodes![0].events.totalCount",
    "Post.eventStats": "data.posts!.nodes![0].eventStats.length",
    "Recommendation.post": "data.users!.nodes![0].recommendations![0].post.title",
    "Recommendation.because": "data.users!.nodes![0].recommendations![0].because.length",
}
# Fields whose null can be without an error: nullable for every client.
NULLABLE = (
    "data.user.name",
    "data.node.id",
    "data.posts!.nodes![0].author.name",
    "data.users!.nodes![0].recommendations![0].post!.author.name",
    "data.events!.nodes![0].user.name",
    "data.events!.nodes![0].post.title",
    "data.users!.pageInfo.endCursor.length",
    "data.eventStats![0].type.length",
)
# Fields that are non-null by their type: for every client.
SURE = (
    "data.users!.pageInfo",
    "data.users!.edges![0].cursor.length",
    "data.users!.edges![0].node!.name.length",
    "data.users!.nodes![0].eventStats![0].count.toFixed()",
    "data.users!.nodes![0].recommendations![0].because![0].name.length",
)

needs_node = pytest.mark.node


@pytest.fixture
def project(packages: Path, tmp_path: Path) -> Path:
    """An empty project with the packages and the exported SDL."""
    (tmp_path / "node_modules").symlink_to(packages, target_is_directory=True)
    assert graph.sdl is not None
    # What graphql-codegen uses for clients that handle errors prints the schema with graphql 16, which cannot print an object as a default.
    sdl = re.sub(r"payload: JSON! = {\s*}", "payload: JSON", graph.sdl.read_text(encoding="utf-8"))
    (tmp_path / "schema.graphql").write_text(sdl, encoding="utf-8")
    return tmp_path


def graphql_codegen(project: Path, *, handles_errors: bool) -> str:
    """Generate with the client preset; return the TypeScript import of the answer's type."""
    shutil.copy(HERE / "codegen.mjs", project)
    (project / "everything.graphql").write_text(DOCUMENT, encoding="utf-8")
    config = {"nullability": {"errorHandlingClient": True}} if handles_errors else {}
    _check(["node", "codegen.mjs", "schema.graphql", "everything.graphql", "generated", json.dumps(config)], project)
    return "import type { EverythingQuery as Data } from './generated/graphql';"


def relay_compiler(project: Path, *, handles_errors: bool) -> str:
    """Compile a query with Relay, one that throws on the error of a field or one that does not."""
    text = DOCUMENT.replace("query Everything", "query EverythingQuery" + (" @throwOnFieldError" if handles_errors else ""))
    (project / "src").mkdir()
    (project / "src" / "Everything.ts").write_text(f"graphql`{text}`;\n", encoding="utf-8")
    (project / "generated").mkdir()
    config = {"src": "./src", "schema": "./schema.graphql", "language": "typescript", "artifactDirectory": "./generated"}
    (project / "relay.config.json").write_text(json.dumps(config), encoding="utf-8")
    _check(["node", "node_modules/relay-compiler/cli.js", "relay.config.json"], project)
    return "import type { EverythingQuery$data as Data } from './generated/EverythingQuery.graphql';"


GENERATORS = [graphql_codegen, relay_compiler]
Generator = Callable[..., str]


def test_every_field_with_the_directive_is_looked_at() -> None:
    """But those of mutations, which are of another operation than the document that is compiled here."""
    assert graph.sdl is not None
    exported = build_schema(graph.sdl.read_text(encoding="utf-8"))
    assert set(PROMISED) == {
        f"{type_.name}.{name}"
        for type_ in exported.type_map.values()
        if isinstance(type_, GraphQLObjectType) and type_ is not exported.mutation_type
        for name, field in type_.fields.items()
        if field.ast_node is not None and any(d.name.value == "semanticNonNull" for d in field.ast_node.directives or ())
    }


@needs_node
@pytest.mark.parametrize("generate", GENERATORS)
def test_a_client_that_handles_errors_has_non_null_types(project: Path, generate: Generator) -> None:
    refused = _refused(project, generate(project, handles_errors=True))
    assert refused == set(NULLABLE)


@needs_node
@pytest.mark.parametrize("generate", GENERATORS)
def test_any_other_client_has_nullable_types(project: Path, generate: Generator) -> None:
    refused = _refused(project, generate(project, handles_errors=False))
    assert refused == {*NULLABLE, *PROMISED.values()}


def _refused(project: Path, data: str) -> set[str]:
    """Return the expressions of which the TypeScript compiler says that something in them may be null."""
    expressions = [*PROMISED.values(), *NULLABLE, *SURE]
    lines = [data, "declare const data: Data;", *(f"{expression};" for expression in expressions)]
    (project / "client.ts").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler", "--pretty", "false"]
    done = run(["node", "node_modules/typescript/bin/tsc", *options, "client.ts"], project)
    refused: set[str] = set()
    for line in done.stdout.splitlines():
        found = re.match(r"client\.ts\((\d+),\d+\): error (TS\d+): ", line)
        assert found, f"not about the client: {line}"
        assert found[2] in ("TS18047", "TS18048", "TS18049", "TS2531", "TS2532", "TS2533"), f"not about null: {line}"
        refused.add(expressions[int(found[1]) - 3])
    return refused


def _check(command: Sequence[str], folder: Path) -> None:
    done = run(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
