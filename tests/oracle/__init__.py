"""The oracle: what the API must answer, computed naively from NDJSON rows. It shares no code with the gateway.

oracle = Oracle.from_folder(path)
oracle.execute("{ users { totalCount } }")            {"data": {"users": {"totalCount": 222}}}
await compare(execute_gateway, oracle, operation)     AssertionError with a diff where the gateway answers something else
await walk(execute_gateway, connection, size=7)       all nodes of a connection, page by page

Another one, ``tests.oracle.executor.Executor``, answers over any graph and its stores: what the engine is held to.
"""

from tests.oracle.comparing import Operation, compare, difference, equal_answers, normalise
from tests.oracle.oracle import NEIGHBOURS, Oracle
from tests.oracle.rows import Rows
from tests.oracle.walking import Connection, compare_walks, walk, walk_backward

__all__ = [
    "NEIGHBOURS",
    "Connection",
    "Operation",
    "Oracle",
    "Rows",
    "compare",
    "compare_walks",
    "difference",
    "equal_answers",
    "normalise",
    "walk",
    "walk_backward",
]
