"""A shop of customers and their orders in tables that exist, with keys of one type: its rows, its graph, and an endpoint by hand.

Tables are made and filled past the gateway, as somebody else's would be, with the plain drivers: the rows of all shops are the same but
for their keys.
"""

from __future__ import annotations

import hashlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

import aiosqlite
import asyncpg
import orjson
import strawberry
from sqlalchemy import make_url
from strawberry.schema.config import StrawberryConfig

from gateway.graph import SCALARS, Connection, Graph, Node, column, filter_of, many, order_of
from gateway.stores.base import Collection, Column, Type

PAGE, ORDERS_EACH = 20, 3
QUERY = f"{{ customers(first: {PAGE}) {{ nodes {{ id name orders(first: {ORDERS_EACH}) {{ nodes {{ id amount }} }} }} }} }}"
PRIME = 7_919  # customers of consecutive orders lie far apart

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one type: what the n-th is, and which types columns have."""

    name: str
    type: Type
    of: Callable[[int], Any]
    postgresql: str
    sqlite: str


def _uuid(number: int) -> UUID:
    return UUID(bytes=hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest())


KEYS = (
    Keys("text", Type.TEXT, lambda number: f"k{number:011}", 'text COLLATE "C"', "TEXT"),
    Keys("bigint", Type.INT, lambda number: number, "bigint", "INTEGER"),
    Keys("uuid", Type.UUID, _uuid, "uuid", "TEXT"),
)


def customers(keys: Keys, count: int) -> Iterator[Row]:
    return ((keys.of(number), f"Customer {number}") for number in range(1, count + 1))


def orders(keys: Keys, count: int, of_customers: int) -> Iterator[Row]:
    """Give the orders of customers, of which each has as many as the others, or one more."""
    return ((keys.of(number), keys.of(number * PRIME % of_customers + 1), number % 1_000) for number in range(1, count + 1))


def graph_of(keys: Keys) -> Graph:
    customers = Collection(
        "customers",
        "shop",
        (Column("customer_id", keys.type, refers="Customer"), Column("name")),
        key=("customer_id",),
        table=f"customers_{keys.name}",
    )
    orders = Collection(
        "orders",
        "shop",
        (
            Column("order_id", keys.type, refers="Order"),
            Column("customer_id", keys.type, refers="Customer"),
            Column("amount", Type.INT, bits=32),
        ),
        key=("order_id",),
        table=f"orders_{keys.name}",
    )
    order_type = _node("Order", {"amount": (int, column())})
    below = many(orders, by="customer_id", where=filter_of(orders), order=order_of(orders))
    customer_type = _node("Customer", {"name": (str, column()), "orders": (Connection[order_type] | None, below)})  # type: ignore[valid-type]
    found = many(customers, where=filter_of(customers), order=order_of(customers))
    query = type("Query", (), {"customers": found, "__annotations__": {"customers": Connection[customer_type] | None}})  # type: ignore[valid-type]
    schema = strawberry.Schema(query=strawberry.type(query), config=StrawberryConfig(scalar_map=SCALARS))
    return Graph(schema=schema, collections=(customers, orders))


def _node(name: str, fields: dict[str, tuple[Any, Any]]) -> Any:
    annotations = {field: annotation for field, (annotation, _) in fields.items()}
    return strawberry.type(type(name, (Node,), {**{field: made for field, (_, made) in fields.items()}, "__annotations__": annotations}))


class Shop(ABC):
    """A database with the tables, and the endpoint by hand over it: two statements, dictionaries, orjson."""

    page_sql: ClassVar[str]
    orders_sql: ClassVar[str]

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def fill(self, keys: Keys, customers_count: int, orders_count: int) -> None: ...

    @abstractmethod
    async def rows(self, keys: Keys, sql: str, parameter: Any) -> Sequence[Sequence[Any]]: ...

    @abstractmethod
    def bound(self, found: Sequence[Any]) -> Any:
        """Return keys as the one parameter of ``orders_sql``."""

    async def by_hand(self, keys: Keys) -> bytes:
        page = await self.rows(keys, self.page_sql, PAGE)
        below: dict[Any, list[dict[str, Any]]] = {row[0]: [] for row in page}
        for customer, order, amount in await self.rows(keys, self.orders_sql, self.bound(list(below))):
            below[customer].append({"id": f"Order:{order}", "amount": amount})
        nodes = [{"id": f"Customer:{key}", "name": name, "orders": {"nodes": below[key]}} for key, name in page]
        return orjson.dumps({"data": {"customers": {"nodes": nodes}}})


class PostgresqlShop(Shop):
    page_sql = "SELECT customer_id, name FROM customers_{name} ORDER BY customer_id LIMIT $1"
    orders_sql = (
        "SELECT k.customer_id, o.order_id, o.amount FROM unnest($1::{type}[]) AS k(customer_id) CROSS JOIN LATERAL (SELECT order_id, amount"
        f" FROM orders_{{name}} WHERE customer_id = k.customer_id ORDER BY order_id LIMIT {ORDERS_EACH}) AS o"
    )
    _pool: asyncpg.Pool[Any]

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False))

    async def close(self) -> None:
        await self._pool.close()

    async def fill(self, keys: Keys, customers_count: int, orders_count: int) -> None:
        name, type_ = keys.name, keys.postgresql
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(f"CREATE TABLE customers_{name} (customer_id {type_} PRIMARY KEY, name text NOT NULL)")
            await connection.execute(
                f"CREATE TABLE orders_{name} (order_id {type_} PRIMARY KEY, customer_id {type_} NOT NULL, amount integer NOT NULL)"
            )
            await connection.copy_records_to_table(f"customers_{name}", records=customers(keys, customers_count))
            await connection.copy_records_to_table(f"orders_{name}", records=orders(keys, orders_count, customers_count))
            await connection.execute(f"CREATE INDEX ON orders_{name} (customer_id, order_id)")
        await self._pool.execute(f"VACUUM ANALYZE customers_{name}")
        await self._pool.execute(f"VACUUM ANALYZE orders_{name}")

    async def rows(self, keys: Keys, sql: str, parameter: Any) -> Sequence[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = await self._pool.fetch(
            sql.format(name=keys.name, type=keys.postgresql.partition(" ")[0]), parameter
        )
        return found

    def bound(self, found: Sequence[Any]) -> Any:
        return found


class SqliteShop(Shop):
    page_sql = "SELECT customer_id, name FROM customers_{name} ORDER BY customer_id LIMIT ?"
    orders_sql = (
        "SELECT customer_id, order_id, amount FROM (SELECT customer_id, order_id, amount, row_number() OVER (PARTITION BY customer_id"
        " ORDER BY order_id) AS place FROM orders_{name} WHERE customer_id IN (SELECT value FROM json_each(?)))"
        f" WHERE place <= {ORDERS_EACH} ORDER BY customer_id, order_id"
    )
    _connection: aiosqlite.Connection

    async def open(self) -> None:
        self._connection = await aiosqlite.connect(str(make_url(self.url).database))

    async def close(self) -> None:
        await self._connection.close()

    async def fill(self, keys: Keys, customers_count: int, orders_count: int) -> None:
        name, type_ = keys.name, keys.sqlite

        def sent(rows: Iterator[Row]) -> Iterator[Row]:
            return (tuple([str(value) if isinstance(value, UUID) else value for value in row]) for row in rows)

        connection = sqlite3.connect(str(make_url(self.url).database))
        try:
            with connection:
                connection.execute(f"CREATE TABLE customers_{name} (customer_id {type_} PRIMARY KEY NOT NULL, name TEXT NOT NULL)")
                connection.execute(
                    f"CREATE TABLE orders_{name} (order_id {type_} PRIMARY KEY NOT NULL, customer_id {type_} NOT NULL,"
                    " amount INTEGER NOT NULL)"
                )
                connection.executemany(f"INSERT INTO customers_{name} VALUES (?, ?)", sent(customers(keys, customers_count)))
                connection.executemany(f"INSERT INTO orders_{name} VALUES (?, ?, ?)", sent(orders(keys, orders_count, customers_count)))
                connection.execute(f"CREATE INDEX orders_{name}_by_customer ON orders_{name} (customer_id, order_id)")
            connection.execute("ANALYZE")
            connection.commit()
        finally:
            connection.close()

    async def rows(self, keys: Keys, sql: str, parameter: Any) -> Sequence[Sequence[Any]]:
        async with self._connection.execute(sql.format(name=keys.name), (parameter,)) as cursor:
            return list(await cursor.fetchall())

    def bound(self, found: Sequence[Any]) -> Any:
        return orjson.dumps(found).decode()


SHOPS: dict[str, type[Shop]] = {"sqlite": SqliteShop, "postgresql": PostgresqlShop}
