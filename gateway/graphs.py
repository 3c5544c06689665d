"""The graph that is served: the user's, imported by name, or the example. What cannot be is one sentence.

The example is the packages ``schema`` and ``resolvers``: at the top of the repository, below ``gateway/example`` in a wheel. These names
are nobody's alone, so they lead to the example while it is imported, and only then.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module, invalidate_caches
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from starlette.middleware import Middleware

from gateway.config import EXPECTED_GRAPH, is_graph_name, store_variable
from gateway.errors import ConfigError
from gateway.graph.fields import Graph

EXAMPLE = "schema:schema"
EXAMPLE_PACKAGES = ("schema", "resolvers")

_MECHANISM = Path(__file__).resolve().parent
_STORE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*").fullmatch
_STORE_NAME_MAX = 40


def load_graph(name: str, *, key: str = "graph") -> Graph:
    """Return the graph that ``module:attribute`` names; the current folder is the first where its modules are looked for.

    ConfigError where there is none; ``key`` is where the user wrote the name.
    """
    where = f"{key} = {name!r}"
    if not is_graph_name(name):
        raise ConfigError(f"{where}: expected {EXPECTED_GRAPH}")
    module_name, _, attribute = name.partition(":")
    here = os.getcwd()
    if sys.path[:1] not in ([""], [here]):
        sys.path.insert(0, here)
        invalidate_caches()
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{where}: expected a module {module_name} in {here} or among what is installed; there is none") from error
        raise ConfigError(f"{where}: expected a module that can be imported, got {_told(error)}") from error
    return _checked(_attribute(module, attribute, where), where)


def with_audit(graph: Graph, store: str, *, key: str = "audit") -> Graph:
    """Return a graph whose audit is in a store of this name, whatever the graph says of it. ConfigError for what is no such name."""
    return _checked(replace(graph, audit=store), f"{key} = {store!r}")


def load_example() -> Graph:
    """Return the example. ``schema`` and ``resolvers`` are the example's, whatever else of these names is installed."""
    folder = example_folder()
    with _finding(folder):
        module = import_module("schema")
    return _checked(module.schema, "the example")


def example_folder() -> Path:
    packed = _MECHANISM / "example"
    return packed if packed.is_dir() else _MECHANISM.parent


# -------------------------------------------------------------------------------------------------------------- imports


@contextmanager
def _finding(folder: Path) -> Iterator[None]:
    """Have the names of the example's packages lead to ``folder`` for as long as the block lasts. Below them they need no help."""
    for name in EXAMPLE_PACKAGES:
        other = sys.modules.get(name)
        if other is not None and not _is_below(str(getattr(other, "__file__", None) or ""), folder):
            raise ConfigError(
                f"graph: expected no other module {name} in this process, since the example has a package of this name; "
                f"got {getattr(other, '__file__', None) or other!r}. Name a graph of your own"
            )
    finder = _ExampleFinder(folder)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _ExampleFinder(MetaPathFinder):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if path is not None or fullname not in EXAMPLE_PACKAGES:
            return None
        return PathFinder.find_spec(fullname, [str(self._folder)], target)


def _told(error: BaseException) -> str:
    """Return an error of a user's module as part of one line, with the place in the user's own code."""
    said = str(error).strip().splitlines()
    message = f"{type(error).__name__}{f': {said[0]}' if said else ''}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({_place(error.filename, error.lineno, error.text)})"
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    theirs = [frame for frame in frames if not _is_below(frame.filename, _MECHANISM)]
    own = [frame for frame in theirs if "site-packages" not in frame.filename and _is_below(frame.filename, Path.cwd())]
    if not theirs:
        return message
    frame = (own or theirs)[-1]
    return f"{message} ({_place(frame.filename, frame.lineno, frame.line)})"


def _place(path: str, line: int | None, text: str | None) -> str:
    shown = os.path.relpath(path) if _is_below(path, Path.cwd()) else path
    return f"{shown}, line {line}{f': {text.strip()}' if text and text.strip() else ''}"


def _is_below(path: str, folder: Path) -> bool:
    return Path(path).resolve().is_relative_to(folder.resolve())


# --------------------------------------------------------------------------------------------------------------- checks


def _attribute(module: ModuleType, attribute: str, where: str) -> Graph:
    place = getattr(module, "__file__", None) or "a folder without __init__.py"
    graphs = [name for name, value in vars(module).items() if isinstance(value, Graph)]
    has = f"; it has the graph {graphs[0]}" if len(graphs) == 1 else ""
    if not hasattr(module, attribute):
        raise ConfigError(f"{where}: expected an attribute {attribute} of the module {module.__name__} ({place}), which has none{has}")
    found = getattr(module, attribute)
    if not isinstance(found, Graph):
        raise ConfigError(f"{where}: expected a Graph (gateway.graph), got {_kind(found)}{has}")
    return found


def _kind(found: object) -> str:
    return "the class Graph itself" if found is Graph else f"an object of type {type(found).__name__}"


def _checked(graph: Graph, where: str) -> Graph:
    """Return the graph, whose stores have names that settings can have too; ConfigError where it cannot be served."""
    for name in graph.store_names:
        if not _STORE_NAME(name) or len(name) > _STORE_NAME_MAX:
            raise ConfigError(
                f"{where}: expected names of stores of at most {_STORE_NAME_MAX} letters and digits, with single - or _ between them; "
                f"got {name!r}"
            )
    variables = Counter(map(store_variable, graph.store_names))
    for name in graph.store_names:
        if variables[store_variable(name)] > 1:
            raise ConfigError(f"{where}: expected names of stores that differ in more than case and - or _; got {name!r} and another one")
    for variable, names in graph.plain_urls.items():
        for name in names:
            if name not in graph.store_names:
                raise ConfigError(f"{where}: expected names of stores in plain_urls, got {name!r} for {variable}; {stores_of(graph)}")
    for entry in graph.middleware:
        if not isinstance(entry, Middleware):
            raise ConfigError(f"{where}: expected entries of starlette.middleware.Middleware in middleware, got {_kind(entry)}")
    return graph


def stores_of(graph: Graph) -> str:
    return f"the graph has {', '.join(graph.store_names) or 'no stores'}"
