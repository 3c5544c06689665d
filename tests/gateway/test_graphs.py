"""Which graph is served: one of the user's by name, or the example; and what a name that leads to none says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.graph.fields import Graph
from gateway.graphs import EXAMPLE_PACKAGES, example_folder, load_example, load_graph
from tests.commands import ended as gateway

ROOT = Path(__file__).parent.parent.parent
SHOP = """
import strawberry
from gateway.graph.fields import Connection, Graph, Node, column, lookup
from gateway.stores.base import Collection, Column, Type

products = Collection(name="products", store="{store}", columns=(Column("id", refers="Product"), Column("name")), managed=True)

@strawberry.type
class Product(Node):
    id: strawberry.ID = column()
    name: str = column()

@strawberry.type
class Query:
    product: Product | None = lookup(products, by={{"id": "id"}})

graph = Graph(schema=strawberry.Schema(query=Query), collections=(products,){more})
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def shop(store: str = "shop", more: str = "") -> str:
    return SHOP.format(store=store, more=more)


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def script(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script ``gateway``, which unlike ``python -m`` does not put the current folder on the path."""
    command = [sys.executable, "-c", "import sys; del sys.path[0]; from gateway.cli import main; main()", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def refusal(*arguments: str) -> str:
    ended = gateway("schema", "print", *arguments)
    assert (ended.returncode, ended.stdout) == (2, ""), ended
    assert ended.stderr.count("\n") == 1
    return ended.stderr.removeprefix("gateway: ").rstrip()


# -------------------------------------------------------------------------------------------------------------- one's own


@pytest.mark.parametrize(
    ("path", "name"), [("shop.py", "shop:graph"), ("shop/graph.py", "shop.graph:graph"), ("deep/er/__init__.py", "deep.er:graph")]
)
def test_a_graph_is_looked_for_from_the_current_folder(path: str, name: str) -> None:
    write(path, shop())
    printed = script("schema", "print", "--graph", name)
    assert "type Product implements Node {" in printed.stdout, printed.stderr
    assert gateway("schema", "print", GATEWAY_GRAPH=name).stdout == printed.stdout
    write("gateway.toml", f'graph = "{name}"')
    assert gateway("schema", "print").stdout == printed.stdout


@pytest.mark.parametrize("command", [["migrate"], ["seed"], ["load", "."], ["schema", "print"], ["schema", "check"], ["plan", "q.graphql"]])
def test_every_command_takes_the_name_of_a_graph(command: list[str]) -> None:
    write("q.graphql", "{ product(id: 1) { name } }")
    ended = gateway(*command, "--graph", "nothing_here:graph")
    assert (ended.returncode, ended.stderr.partition(": expected ")[0]) == (2, "gateway: --graph = 'nothing_here:graph'")


def test_a_plan_is_of_the_graph_that_is_named() -> None:
    write("shop.py", shop())
    write("q.graphql", '{ product(id: "1") { name } }')
    assert "product: lookup shop.products(" in gateway("plan", "q.graphql", "--graph", "shop:graph").stdout


def test_a_graph_may_have_packages_with_the_names_of_the_examples() -> None:
    write("schema/__init__.py", "from schema.shop import graph as schema\n")
    write("schema/shop.py", shop())
    assert "type Product implements Node {" in script("schema", "print", "--graph", "schema:schema").stdout


def test_its_stores_are_its_own() -> None:
    write("shop.py", shop("cold-store"))
    migrated = gateway("migrate", "--graph", "shop:graph")
    assert (migrated.stdout, migrated.stderr) == ("cold-store: created table products\n", "")
    assert Path("data/cold-store.db").exists()
    wrong = gateway("migrate", "--graph", "shop:graph", GATEWAY_STORES__USERS__URL="memory://")
    assert wrong.stderr == "gateway: GATEWAY_STORES__USERS__URL: no such store; the graph shop:graph has cold-store\n"


def test_commands_say_what_a_graph_lacks_for_them() -> None:
    write("shop.py", shop())
    seeded = gateway("seed", "--graph", "shop:graph")
    assert seeded.stderr == "gateway: the graph shop:graph: expected a graph with demo data, got one whose demo is None\n"
    checked = gateway("schema", "check", "--graph", "shop:graph")
    assert checked.stderr == "gateway: the graph shop:graph: expected a graph that names its exported SDL, got one whose sdl is None\n"
    write("shop.py", shop(more=", demo=lambda users, seed: []"))
    asked = gateway("seed", "--graph", "shop:graph", "--posts-per-user", "2")
    assert asked.stderr == "gateway: --posts-per-user: expected a number that the demo data of the graph shop:graph takes\n"


# -------------------------------------------------------------------------------------------------------- names that lead nowhere


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    assert refusal("--graph", "shop:graph") == (
        f"--graph = 'shop:graph': expected a module shop in {tmp_path} or among what is installed; there is none"
    )
    write("shop/other.py", "")
    assert refusal("--graph", "shop.graph:graph").startswith("--graph = 'shop.graph:graph': expected a module shop.graph in ")


def test_an_attribute_that_is_not_there(tmp_path: Path) -> None:
    write("shop.py", shop())
    assert refusal("--graph", "shop:grpah") == (
        f"--graph = 'shop:grpah': expected an attribute grpah of the module shop ({tmp_path}/shop.py), which has none; "
        "it has the graph graph"
    )


def test_something_that_is_no_graph() -> None:
    write("shop.py", shop() + "text = 'x'\n")
    assert refusal("--graph", "shop:text") == (
        "--graph = 'shop:text': expected a Graph (gateway.graph), got an object of type str; it has the graph graph"
    )
    assert "got the class Graph itself" in refusal("--graph", "shop:Graph")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere' (shop/graph.py, line 1: import nowhere)"),
        ("\ndef f():\n    return g\nf()\n", "NameError: name 'g' is not defined (shop/graph.py, line 3: return g)"),
        ("x = (\n", "SyntaxError: '(' was never closed (shop/graph.py, line 1: x = ()"),
        ("raise SystemExit\n", "SystemExit (shop/graph.py, line 1: raise SystemExit)"),
        ("raise ValueError('one\\ntwo')\n", "ValueError: one (shop/graph.py, line 1: raise ValueError('one\\ntwo'))"),
        ("from gateway.stores.base import Column\nColumn()\n", "TypeError: Column.__init__() missing 1 required"),
    ],
)
def test_an_error_of_the_module_is_told_with_the_users_own_line(text: str, told: str) -> None:
    write("shop/graph.py", text)
    line = refusal("--graph", "shop.graph:graph")
    assert line.startswith(f"--graph = 'shop.graph:graph': expected a module that can be imported, got {told}")
    assert "(shop/graph.py, line " in line


# ----------------------------------------------------------------------------------------------------------- what cannot be served


@pytest.mark.parametrize(
    ("store", "more", "told"),
    [
        ("a__b", "", "got 'a__b'"),
        ("a/b", "", "got 'a/b'"),
        ("1a", "", "got '1a'"),
        ("shop", ", plain_urls={'SHOP_URL': ('shpo',)}", "names of stores in plain_urls, got 'shpo' for SHOP_URL; the graph has shop"),
        ("shop", ", middleware=(print,)", "entries of starlette.middleware.Middleware in middleware, got an object of type builtin"),
    ],
)
def test_a_graph_that_cannot_be_served_is_refused_as_it_is_loaded(store: str, more: str, told: str) -> None:
    write("shop.py", shop(store, more))
    line = refusal("--graph", "shop:graph")
    assert line.startswith("--graph = 'shop:graph': expected ")
    assert told in line


def test_two_stores_do_not_share_a_variable() -> None:
    other = "\nother = Collection(name='others', store='A-b', columns=products.columns, managed=True)\n"
    write("shop.py", shop("a_b") + other + "graph = Graph(schema=graph.schema, collections=(products, other))\n")
    assert "expected names of stores that differ in more than case and - or _; got 'a_b' and another one" in refusal(
        "--graph", "shop:graph"
    )


# ------------------------------------------------------------------------------------------------------------------- example


def test_the_example_is_the_default_and_its_names_lead_to_it(tmp_path: Path) -> None:
    for name in EXAMPLE_PACKAGES:
        write(f"{name}.py", "raise RuntimeError('not the example')\n")
    ended = script("schema", "print", PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert "type User implements Node {" in ended.stdout, ended.stderr


def test_the_example_leaves_the_import_system_as_it_was() -> None:
    finders, path = list(sys.meta_path), list(sys.path)
    example = load_example()
    assert isinstance(example, Graph)
    assert (sys.meta_path, sys.path) == (finders, path)
    assert example is load_graph("schema:schema")


def test_the_example_lies_where_the_code_does() -> None:
    assert example_folder() == ROOT


def test_the_example_does_not_take_another_module_for_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = type(sys)("schema")
    other.__file__ = str(tmp_path / "schema.py")
    monkeypatch.setitem(sys.modules, "schema", other)
    with pytest.raises(ConfigError, match=r"^graph: expected no other module schema in this process.*schema\.py'\. Name a graph"):
        load_example()
