"""A real PgBouncer in transaction mode before the PostgreSQL of the tests: by hand, as it is no package of Python's.

    python -m tests.gateway.stores.sql.pooler /usr/sbin/pgbouncer

More calls at once than it has connections to the server, which it hands out for a transaction at a time: a migration, writes, pages, a
timeout. Prints a line for each; ends with 1 where an answer is another than without it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from gateway.errors import StoreTimeout
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Compare, Fetch, Index, Native, NativeCall, Order, Page, Type, Upsert
from tests.benchmarks.processes import free_port
from tests.kinds import url_of

THINGS = Collection(
    "things",
    "pooled",
    (Column("id"), Column("made", Type.TIME), Column("size", Type.INT)),
    indexes=(Index(("made", "id")),),
    managed=True,
)
SLOW = Native("slow", "pooled", (Column("n", Type.INT),), {"postgresql": "SELECT k, 1 FROM unnest(:keys) AS k, pg_sleep(30)"})
CONNECTIONS, AT_ONCE = 2, 200


def configuration(url: Any, port: int) -> str:
    return f"""[databases]
* = host={url.host} port={url.port or 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = plain
auth_file = users.txt
pool_mode = transaction
default_pool_size = {CONNECTIONS}
max_client_conn = 100
unix_socket_dir =
"""


async def tried(url: str) -> None:
    stores = Stores.connect({"pooled": url}, timeout_s=3, pool_sizes={"pooled": 20})
    await stores.open()
    try:
        for line in await stores.migrate("pooled", [THINGS], None):
            sys.stdout.write(f"migrated: {line}\n")
        rows = [(f"k{n:03}", f"2024-01-01T00:{n % 60:02}:00.000Z", n) for n in range(500)]
        await asyncio.gather(*(stores.ask(Upsert(THINGS, rows[start : start + 50])) for start in range(0, 500, 50)))

        async def page(number: int) -> bool:
            where = Compare("size", "gte", number)
            found = await stores.ask(Fetch(THINGS, ("id", "size"), None, where, (Order("size"),), Page(2), count=True))
            return ([row[1] for row in found[None].rows], found[None].total) == ([number, number + 1], 500 - number)

        right = await asyncio.gather(*(page(number) for number in range(AT_ONCE)))
        sys.stdout.write(f"{sum(right)} of {AT_ONCE} pages at once are right\n")
        late = await asyncio.gather(*(stores.ask(NativeCall(SLOW, ["a"], {}), timeout_s=0.5) for _ in range(4)), return_exceptions=True)
        sys.stdout.write(f"{sum(isinstance(error, StoreTimeout) for error in late)} of 4 slow calls are timeouts\n")
        again = await asyncio.gather(*(page(number) for number in range(AT_ONCE)))
        sys.stdout.write(f"{sum(again)} of {AT_ONCE} pages after them are right\n")
        if not all([*right, *again]) or not all(isinstance(error, StoreTimeout) for error in late):
            raise SystemExit(1)
    finally:
        await stores.close()


async def main(program: str) -> None:
    async with url_of("postgresql") as direct:
        url, port = make_url(direct), free_port()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "pgbouncer.ini").write_text(configuration(url, port), encoding="utf-8")
            (Path(folder) / "users.txt").write_text(f'"{url.username}" "{url.password or ""}"\n', encoding="utf-8")
            os.chmod(folder, 0o755)
            user = ["-u", "nobody"] if os.geteuid() == 0 else []
            process = await asyncio.create_subprocess_exec(program, "-q", *user, "pgbouncer.ini", cwd=folder)
            try:
                await listening(port)
                pooled = url.set(host="127.0.0.1", port=port).update_query_dict({"prepared": "off"})
                await tried(pooled.render_as_string(hide_password=False))
            finally:
                process.terminate()
                await process.wait()


async def listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
