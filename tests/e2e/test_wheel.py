"""The wheel, installed beside a distribution that has a module ``schema``: the example is served, and so is a graph of one's own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.graphs import ROOT, ask, environment, run, serving

pytestmark = [pytest.mark.long, pytest.mark.wheel]

NOT_OURS = "raise RuntimeError('a module of another distribution was imported')\n"
GRAPH = """
import strawberry
from gateway.graph.fields import Graph
from schema.product import Product, products
from schema.query import Query

graph = Graph(schema=strawberry.Schema(query=Query), collections=(products,), demo=lambda users, seed: [(products, [("1", "tea")])])
"""
PRODUCT = """
import strawberry
from gateway.graph.fields import Node, column
from gateway.stores.base import Collection, Column

products = Collection(name="products", store="shelf", columns=(Column("id", refers="Product"), Column("name")), managed=True)

@strawberry.type
class Product(Node):
    id: strawberry.ID = column()
    name: str = column()
"""
QUERY = """
import strawberry
from gateway.graph.fields import lookup
from schema.product import Product, products

@strawberry.type
class Query:
    product: Product | None = lookup(products, by={"id": "id"})
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def gateway(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The installed command. Its environment has our dependencies, two modules of somebody else, and nothing of the checkout."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], capture_output=True, timeout=120, check=True)
    python = home / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, capture_output=True, text=True, timeout=120, check=True)
    (site,) = home.glob("lib/python*/site-packages")
    # What lies behind a .pth file is not read for others: the checkout, which one may lead to, stays out.
    (site / "dependencies.pth").write_text("\n".join(sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})))
    for name in ("schema", "resolvers"):
        (site / f"{name}.py").write_text(NOT_OURS)
    return str(home / "bin" / "gateway")


def files_of(*packages: str) -> set[str]:
    found = (path for package in packages for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(ROOT)) for path in found}


def test_the_wheel_has_one_package_and_all_of_the_example_below_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"gateway"}
    example = {name.removeprefix("gateway/example/") for name in names if name.startswith("gateway/example/")}
    assert example == files_of("schema", "resolvers")
    assert {"schema/schema.graphql", "schema/first_query.graphql", "resolvers/migrations/users/0001_create_users.py"} <= example
    assert {name for name in names if name.startswith("gateway/") and not name.startswith("gateway/example/")} == files_of("gateway")


def test_the_installed_example_is_printed_beside_a_distribution_with_a_module_schema(gateway: str, tmp_path: Path) -> None:
    printed = run([gateway, "schema", "print"], tmp_path, environment(checkout=False))
    assert printed.stdout == (ROOT / "schema" / "schema.graphql").read_text(), printed.stderr
    assert run([gateway, "schema", "check"], tmp_path, environment(checkout=False)).returncode == 0


def test_the_installed_example_is_migrated_filled_and_served(gateway: str, tmp_path: Path) -> None:
    with serving([gateway, "serve", "--port", "0"], tmp_path, environment(checkout=False)) as (address, said):
        answer = ask(address, "{ users(first: 1) { nodes { id posts(first: 1) { totalCount } } } }")
    assert "users: 0001 create users" in said
    assert "The stores are empty: filling them with demo data, 50 users and what they do." in said
    assert answer["data"]["users"]["nodes"][0]["id"] == "User:1"


@pytest.mark.parametrize(("path", "name"), [("shop.py", "shop:graph"), ("shop/graph.py", "shop.graph:graph")])
def test_a_graph_of_ones_own_has_its_own_package_schema(gateway: str, tmp_path: Path, path: str, name: str) -> None:
    for file, text in ((path, GRAPH), ("schema/__init__.py", ""), ("schema/product.py", PRODUCT), ("schema/query.py", QUERY)):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    variables = environment(checkout=False, GATEWAY_GRAPH=name)
    assert "type Product implements Node {" in run([gateway, "schema", "print"], tmp_path, variables).stdout
    with serving([gateway, "serve", "--port", "0"], tmp_path, variables) as (address, said):
        answer = ask(address, '{ product(id: "1") { id name } }')
    assert answer == {"data": {"product": {"id": "Product:1", "name": "tea"}}}
    assert said[0] == "shelf: created table products"
    assert (tmp_path / "data" / "shelf.db").exists()
