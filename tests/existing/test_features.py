"""What is awkward in databases that already exist, feature by feature and kind by kind: README.md has the table, each row of it is a test.

What is expected is written down here, or read by the kind's plain driver; walks, filters and operations made at random are in the files
beside this one.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.existing.conftest import Existing

HERE = Path(__file__).parent


def nodes(found: Any) -> Any:
    [connection] = found.values()
    return connection["nodes"]


# ---------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("field", "id_", "name"),
    [
        ("track", "Track:2819", "Battlestar Galactica: The Story So Far"),
        ("listener", "Listener:7", "Astrid Gruber"),
        ("liteTrack", "LiteTrack:2819", "Battlestar Galactica: The Story So Far"),
    ],
)
async def test_integer_keys_of_other_names(existing: Existing, field: str, id_: str, name: str) -> None:
    bare = id_.partition(":")[2]
    text = f'{{ a: {field}(id: "{id_}") {{ id name }} b: {field}(id: "{bare}") {{ id }} c: {field}(id: "0{bare}") {{ id }} }}'
    assert await existing.ask(text) == {"a": {"id": id_, "name": name}, "b": {"id": id_}, "c": None}


async def test_integer_keys_stand_in_the_order_of_numbers(existing: Existing) -> None:
    text = "{ a: artists(first: 11) { nodes { id } } l: listeners(first: 11) { nodes { id } } s: liteArtists(first: 11) { nodes { id } } }"
    found = await existing.ask(text)
    assert [[node["id"].partition(":")[2] for node in part["nodes"]] for part in found.values()] == [[str(n) for n in range(1, 12)]] * 3


async def test_an_integer_of_mongodb_is_a_unique_column(existing: Existing) -> None:
    text = '{ a: customerDocument(customerId: "Customer:5") { id customerId firstName } b: customerDocument(customerId: "x") { id } }'
    assert await existing.ask(text) == {
        "a": {
            "id": (await existing.ask('{ customerDocument(customerId: "5") { id } }'))["customerDocument"]["id"],
            "customerId": "Customer:5",
            "firstName": "František",
        },
        "b": None,
    }


@pytest.mark.parametrize(
    ("field", "id_", "selected"),
    [
        ("playlistTrack", "PlaylistTrack:1,3402", {"playlistId": "Playlist:1", "trackId": "Track:3402"}),
        ("follow", "Follow:1,38", {"customerId": "Customer:1", "artistId": "Artist:38"}),
    ],
)
async def test_keys_of_several_columns(existing: Existing, field: str, id_: str, selected: dict[str, str]) -> None:
    text = f'{{ {field}(id: "{id_}") {{ id {" ".join(selected)} }} node(id: "{id_}") {{ id }} }}'
    assert await existing.ask(text) == {field: {"id": id_, **selected}, "node": {"id": id_}}
    assert await existing.ask(f'{{ {field}(id: "1,0") {{ id }} }}') == {field: None}
    assert await existing.ask(f'{{ {field}(id: "1") {{ id }} }}') == {field: None}


async def test_keys_of_several_columns_join_two_databases(existing: Existing) -> None:
    """PostgreSQL to SQLite and back."""
    text = "{ playlistTracks(first: 3) { nodes { id lite { id track { name } entry { id track { name } } } } } }"
    for entry in nodes(await existing.ask(text)):
        assert entry["lite"]["id"] == f"Lite{entry['id']}"
        assert entry["lite"]["entry"]["id"] == entry["id"]
        assert entry["lite"]["entry"]["track"] == entry["lite"]["track"]


async def test_uuid_keys_alone_and_in_a_key_of_two(existing: Existing) -> None:
    key = "c4ca4238-a0b9-2382-0dcc-509a6f75849b"
    text = f"""{{
      a: order(id: "{key}") {{ id }}
      b: order(id: "Order:{key.upper()}") {{ id }}
      c: orderLine(id: "{key},2") {{ id lineNo orderId }}
      d: order(id: "no") {{ id }}
    }}"""
    assert await existing.ask(text) == {
        "a": {"id": f"Order:{key}"},
        "b": {"id": f"Order:{key}"},
        "c": {"id": f"OrderLine:{key},2", "lineNo": 2, "orderId": f"Order:{key}"},
        "d": None,
    }


async def test_object_ids_are_keys_and_references(existing: Existing) -> None:
    key = "dea26157fa355301663174ea"
    below = "invoices(first: 1) { totalCount nodes { customerId customer { id } } }"
    text = f'{{ customerDocument(id: "{key.upper()}") {{ id firstName {below} }} }}'
    assert await existing.ask(text) == {
        "customerDocument": {
            "id": f"CustomerDocument:{key}",
            "firstName": "Luís",
            "invoices": {
                "totalCount": 7,
                "nodes": [{"customerId": f"CustomerDocument:{key}", "customer": {"id": f"CustomerDocument:{key}"}}],
            },
        }
    }


async def test_several_relationships_between_two_nodes_have_an_identity_each(existing: Existing) -> None:
    pairs: dict[tuple[int, int], list[str]] = {}
    for play in existing.rows["plays"]:
        pairs.setdefault((play["customer_id"], play["track_id"]), []).append(play["id"])
    (customer, track), keys = max(pairs.items(), key=lambda pair: len(pair[1]))
    assert len(keys) > 5
    where = f'{{customerId: {{eq: "{customer}"}}, trackId: {{eq: "{track}"}}}}'
    found = nodes(await existing.ask(f"{{ plays(first: 50, where: {where}) {{ nodes {{ id at }} }} }}"))
    assert [play["id"] for play in found] == [f"Play:{key}" for key in sorted(keys)]
    assert len({play["at"] for play in found}) == len(keys)
    assert (await existing.ask(f'{{ play(id: "Play:{keys[0]}") {{ id }} }}'))["play"] == {"id": f"Play:{keys[0]}"}


# --------------------------------------------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("stats", "paid", "collection"),
    [
        ("documentStats(groupBy: []) { paid }", "paid", "invoice_documents"),
        ("liteTrackStats(groupBy: []) { worth }", "worth", "lite_tracks"),
    ],
)
async def test_decimals_are_exact_in_sums(existing: Existing, stats: str, paid: str, collection: str) -> None:
    column = "total" if collection == "invoice_documents" else "unit_price"
    total = sum((row[column] for row in existing.rows[collection]), Decimal(0))
    [found] = (await existing.ask(f"{{ s: {stats} }}"))["s"]
    assert found == {paid: f"{total:.2f}"}


@pytest.mark.parametrize(
    ("name", "column", "written"),
    [
        ("tracks", "unitPrice", ("0.99", "0.990", "9.9e-1")),
        ("liteTracks", "unitPrice", ("0.99", "0.990", "9.9e-1")),
        ("invoiceDocuments", "total", ("1.98", "1.9800", "198e-2")),
        ("orderLines", "price", ("1.99", "1.9900", "1.99000000000")),
    ],
)
async def test_decimals_compare_as_numbers(existing: Existing, name: str, column: str, written: tuple[str, ...]) -> None:
    counts = []
    for number in written:
        found = await existing.ask(
            f'{{ c: {name}(first: 1, where: {{{column}: {{eq: "{number}"}}}}) {{ totalCount nodes {{ {column} }} }} }}'
        )
        counts.append(found["c"]["totalCount"])
        scale = 4 if name == "orderLines" else 2
        assert found["c"]["nodes"] == [{column: f"{Decimal(number):.{scale}f}"}]
    assert counts[0] > 100
    assert len(set(counts)) == 1
    above = f'{{ c: {name}(where: {{{column}: {{gt: "{written[0]}", lt: "{written[0]}0000000000000000001"}}}}) {{ totalCount }} }}'
    assert (await existing.ask(above))["c"]["totalCount"] == 0


async def test_integers_beyond_53_bits(existing: Existing) -> None:
    number = 9_007_199_254_740_993
    text = f"""{{
      a: invoiceDocuments(where: {{number: {{in: ["{number + 2}", {number + 3}]}}}}) {{ nodes {{ number }} }}
      b: invoiceDocuments(where: {{number: {{lt: "{number + 3}"}}}}) {{ nodes {{ number }} }}
    }}"""
    found = await existing.ask(text)
    assert sorted(node["number"] for node in found["a"]["nodes"]) == [str(number + 2), str(number + 3)]
    assert sorted(node["number"] for node in found["b"]["nodes"]) == [str(number + 1), str(number + 2)]


@pytest.mark.parametrize(
    ("name", "column", "first", "zone"),
    [
        ("employees", "birthDate", "1947-09-19T00:00:00.000000Z", "1947-09-19T01:00:00+01:00"),
        ("liteEmployees", "birthDate", "1947-09-19T00:00:00.000Z", "1947-09-19T01:00:00+01:00"),
        ("invoices", "invoiceDate", "2021-01-01T00:00:00.000000Z", "2020-12-31T19:00:00-05:00"),
        ("liteInvoices", "invoiceDate", "2021-01-01T00:00:00.000Z", "2020-12-31T19:00:00-05:00"),
    ],
)
async def test_times_without_a_zone_are_in_utc(existing: Existing, name: str, column: str, first: str, zone: str) -> None:
    order = re.sub(r"([A-Z])", r"_\1", column).upper()
    text = f"""{{
      a: {name}(first: 1, orderBy: {{field: {order}}}) {{ nodes {{ {column} }} }}
      b: {name}(where: {{{column}: {{eq: "{zone}"}}}}) {{ nodes {{ {column} }} }}
    }}"""
    found = await existing.ask(text)
    assert found["a"]["nodes"] == found["b"]["nodes"] == [{column: first}]


async def test_times_11_microseconds_apart(existing: Existing) -> None:
    """In their order, in cursors, and in comparisons with more and with fewer digits."""
    page = "nodes { placedAt } pageInfo { endCursor }"
    first = (await existing.ask(f"{{ o: orders(first: 3, orderBy: {{field: PLACED_AT}}) {{ {page} }} }}"))["o"]
    assert [node["placedAt"] for node in first["nodes"]] == [f"2024-01-01T10:00:00.123{456 + 11 * n}Z" for n in (1, 2, 3)]
    text = f"query ($c: String) {{ o: orders(first: 2, after: $c, orderBy: {{field: PLACED_AT}}) {{ {page} }} }}"
    second = (await existing.ask(text, c=first["pageInfo"]["endCursor"]))["o"]
    assert [node["placedAt"] for node in second["nodes"]] == [f"2024-01-01T10:00:00.123{456 + 11 * n}Z" for n in (4, 5)]
    for condition, count in (
        ('eq: "2024-01-01T10:00:00.123467Z"', 1),
        ('eq: "2024-01-01T10:00:00.123467000Z"', 1),
        ('eq: "2024-01-01T10:00:00.1234670001Z"', None),
        ('eq: "2024-01-01T10:00:00.123467001Z"', 0),
        ('lt: "2024-01-01T10:00:00.123467001Z"', 1),
        ('lte: "2024-01-01T10:00:00.123478Z"', 2),
        ('eq: "2024-01-01T10:00:00.123Z"', 0),
    ):
        answer = await existing.answer(f"{{ o: orders(where: {{placedAt: {{{condition}}}}}) {{ totalCount }} }}")
        assert (answer["data"]["o"]["totalCount"] if count is not None else answer.get("data")) == count, condition


async def test_times_of_any_offset_in_neo4j(existing: Existing) -> None:
    """Microseconds and offsets: shown, ordered, compared, counted by the hour in UTC."""
    earliest = min(row["at"] for row in existing.rows["plays"])
    text = f"""{{
      p: plays(first: 1, orderBy: {{field: AT}}) {{ nodes {{ at }} }}
      q: plays(where: {{at: {{lte: "{earliest}"}}}}) {{ totalCount }}
    }}"""
    assert await existing.ask(text) == {"p": {"nodes": [{"at": earliest}]}, "q": {"totalCount": 1}}
    offsets = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    found = nodes(await existing.ask("{ plays(first: 500) { nodes { at } } }"))
    assert all(offsets.fullmatch(play["at"]) for play in found)


async def test_dates(existing: Existing) -> None:
    rows = existing.rows["follows"]
    latest = max(row["since"] for row in rows)
    text = f"""{{
      a: follows(first: 1, orderBy: {{field: SINCE, direction: DESC}}) {{ nodes {{ since }} }}
      b: follows(where: {{since: {{gte: "{latest}"}}}}) {{ totalCount }}
    }}"""
    found = await existing.ask(text)
    assert found == {"a": {"nodes": [{"since": latest}]}, "b": {"totalCount": sum(row["since"] == latest for row in rows)}}


async def test_enums_of_the_database(existing: Existing) -> None:
    """PostgreSQL's own type: in its order, in comparisons, in groups."""
    text = """{
      stats: orderStats(groupBy: [BAND]) { band orders }
      first: orders(first: 1, orderBy: {field: BAND}) { nodes { band } }
      some: orders(where: {band: {in: ["premium", "budget"]}}) { totalCount }
    }"""
    assert await existing.ask(text) == {
        "stats": [{"band": "budget", "orders": 166}, {"band": "regular", "orders": 167}, {"band": "premium", "orders": 167}],
        "first": {"nodes": [{"band": "budget"}]},
        "some": {"totalCount": 333},
    }
    refused = await existing.answer('{ orders(where: {band: {eq: "cheap"}}) { totalCount } }')
    assert "expected one of budget, regular, premium, got 'cheap'" in refused["errors"][0]["message"]


async def test_texts_that_are_enums_here(existing: Existing) -> None:
    text = '{ s: documentStats { status invoices } w: invoiceDocuments(where: {status: {ne: "paid"}}) { totalCount } }'
    found = await existing.ask(text)
    rows = existing.rows["invoice_documents"]
    assert [group["status"] for group in found["s"]] == ["open", "paid", "refunded"]
    assert found["w"]["totalCount"] == sum(row["status"] != "paid" for row in rows)


async def test_arrays(existing: Existing) -> None:
    text = """{
      a: orders(where: {tags: {contains: "gift"}}) { totalCount }
      b: orders(where: {tags: {isEmpty: true}}) { totalCount nodes { tags } }
      c: orders(where: {tags: {containsAny: ["t1", "t2"]}}) { totalCount }
      d: orders(where: {sizes: {contains: 6}}) { totalCount }
      e: order(id: "c4ca4238-a0b9-2382-0dcc-509a6f75849b") { tags sizes }
    }"""
    found = await existing.ask(text)
    rows = existing.rows["orders"]
    assert found["a"]["totalCount"] == sum("gift" in row["tags"] for row in rows) == 375
    assert found["b"]["totalCount"] == 125
    assert found["b"]["nodes"][0] == {"tags": []}
    assert found["c"]["totalCount"] == sum(bool({"t1", "t2"} & set(row["tags"])) for row in rows)
    assert found["d"]["totalCount"] == sum(6 in row["sizes"] for row in rows)
    assert found["e"] == {"tags": ["t1", "gift"], "sizes": [1, 1]}


async def test_json_is_objects(existing: Existing) -> None:
    text = '{ order(id: "c4ca4238-a0b9-2382-0dcc-509a6f75849b") { meta { n k } } orders(where: {meta: {isNull: true}}) { totalCount } }'
    assert await existing.ask(text) == {"order": {"meta": {"n": 1, "k": 1}}, "orders": {"totalCount": 0}}


async def test_texts_without_regard_to_case(existing: Existing) -> None:
    text = """{
      a: orders(where: {note: {eq: "NOTE 10"}}) { nodes { note } }
      b: orders(where: {note: {startsWith: "nOtE 1"}}) { totalCount }
      c: tracks(where: {name: {eq: "balls to the wall"}}) { totalCount }
      d: tracks(where: {name: {eq: "Balls to the Wall"}}) { totalCount }
    }"""
    found = await existing.ask(text)
    rows = existing.rows["orders"]
    assert found["a"]["nodes"] == [{"note": "Note 10"}]
    assert found["b"]["totalCount"] == sum((row["note"] or "").startswith("Note 1") for row in rows)
    assert (found["c"]["totalCount"], found["d"]["totalCount"]) == (0, 1)


@pytest.mark.parametrize("name", ["artists", "artistNodes", "liteArtists"])
async def test_texts_by_code_point(existing: Existing, name: str) -> None:
    """Whatever the locale of the database."""
    ordered = sorted(row["name"] for row in existing.rows["artists"])
    found = nodes(await existing.ask(f"{{ {name}(first: 300, orderBy: {{field: NAME}}) {{ nodes {{ name }} }} }}"))
    assert [artist["name"] for artist in found] == ordered


async def test_bytes(existing: Existing) -> None:
    text = """{
      order(id: "c4ca4238-a0b9-2382-0dcc-509a6f75849b") { receipt }
      orders(where: {receipt: {eq: "xMpCOKC5I4INzFCab3WEmw=="}}) { totalCount }
    }"""
    assert await existing.ask(text) == {"order": {"receipt": "xMpCOKC5I4INzFCab3WEmw=="}, "orders": {"totalCount": 1}}


# --------------------------------------------------------------------------------------------------- names and places


@pytest.mark.parametrize("name", ["orders", "orderLines", "tracks"])
async def test_another_schema_and_reserved_names(existing: Existing, name: str) -> None:
    collection = {"orders": "orders", "orderLines": "order_lines", "tracks": "tracks"}[name]
    found = await existing.ask(f"{{ c: {name} {{ totalCount }} }}")
    assert found["c"]["totalCount"] == len(existing.rows[collection])


@pytest.mark.parametrize(
    ("name", "argument", "count"),
    [
        ("orders", 'where: {customerId: {eq: "Customer:2"}}', 9),
        ("liteTracks", 'where: {albumId: {eq: "LiteAlbum:1"}}, orderBy: {field: MEDIA_TYPE_ID}', 10),
        ("customerDocuments", "where: {supportRepId: {eq: null}}", 8),
        ("plays", 'where: {customerId: {eq: "1"}}, orderBy: {field: CUSTOMER_ID}', None),
    ],
)
async def test_camel_case_names(existing: Existing, name: str, argument: str, count: int | None) -> None:
    found = await existing.ask(f"{{ c: {name}({argument}) {{ totalCount }} }}")
    expected = sum(row["customer_id"] == 1 for row in existing.rows["plays"]) if count is None else count
    assert found["c"]["totalCount"] == expected


async def test_a_view(existing: Existing) -> None:
    found = await existing.ask(
        "{ a: liveOrders { totalCount } b: orders { totalCount } c: orders(where: {deletedAt: {eq: null}}) { totalCount } }"
    )
    assert [part["totalCount"] for part in found.values()] == [450, 500, 450]


async def test_soft_deletes(existing: Existing) -> None:
    """What is deleted is not there, by key, below a customer, and in counts."""
    gone = next(row["id"] for row in existing.rows["orders"] if row["deleted_at"] is not None)
    text = f"""{{
      keptOrders {{ totalCount }}
      node(id: "KeptOrder:{gone}") {{ id }}
      orderLine(id: "{gone},1") {{ order {{ id }} keptOrder {{ id }} liveOrder {{ id }} }}
    }}"""
    assert await existing.ask(text) == {
        "keptOrders": {"totalCount": 450},
        "node": None,
        "orderLine": {"order": {"id": f"Order:{gone}"}, "keptOrder": None, "liveOrder": None},
    }


async def test_paths_into_documents(existing: Existing) -> None:
    """Filtered, ordered, grouped."""
    text = """{
      a: customerDocuments(where: {country: {eq: "Brazil"}}, orderBy: {field: CITY, direction: DESC}) { nodes { city country } }
      b: documentStats(where: {billingCountry: {eq: "Brazil"}}, groupBy: [CITY]) { billingCity invoices }
    }"""
    found = await existing.ask(text)
    rows = [row for row in existing.rows["customer_documents"] if row["country"] == "Brazil"]
    assert found["a"]["nodes"] == [{"city": city, "country": "Brazil"} for city in sorted((row["city"] for row in rows), reverse=True)]
    assert [group["billingCity"] for group in found["b"]] == sorted({row["city"] for row in rows})
    assert {group["invoices"] for group in found["b"]} <= {7, 14}


async def test_subdocuments(existing: Existing) -> None:
    text = '{ customerDocument(customerId: "1") { address { street city postalCode } } }'
    assert await existing.ask(text) == {
        "customerDocument": {
            "address": {"street": "Av. Brigadeiro Faria Lima, 2170", "city": "São José dos Campos", "postalCode": "12227-000"}
        }
    }


async def test_lists_of_subdocuments_lead_to_rows(existing: Existing) -> None:
    lines = "lines { trackId unitPrice quantity track { name } }"
    text = f'{{ invoiceDocuments(where: {{number: {{eq: "9007199254740994"}}}}) {{ nodes {{ total {lines} }} }} }}'
    assert nodes(await existing.ask(text)) == [
        {
            "total": "1.98",
            "lines": [
                {"trackId": "Track:2", "unitPrice": "0.99", "quantity": 1, "track": {"name": "Balls to the Wall"}},
                {"trackId": "Track:4", "unitPrice": "0.99", "quantity": 1, "track": {"name": "Restless and Wild"}},
            ],
        }
    ]


# --------------------------------------------------------------------------------------------------------------- joins


@pytest.mark.parametrize("name", ["employees", "liteEmployees"])
async def test_a_table_that_refers_to_itself(existing: Existing, name: str) -> None:
    text = f"{{ {name}(first: 3) {{ nodes {{ lastName boss {{ lastName }} team {{ nodes {{ lastName team {{ totalCount }} }} }} }} }} }}"
    first, second, _ = nodes(await existing.ask(text))
    edwards, mitchell = {"lastName": "Edwards", "team": {"totalCount": 3}}, {"lastName": "Mitchell", "team": {"totalCount": 2}}
    assert first == {"lastName": "Adams", "boss": None, "team": {"nodes": [edwards, mitchell]}}
    assert (second["boss"], [one["lastName"] for one in second["team"]["nodes"]]) == ({"lastName": "Adams"}, ["Peacock", "Park", "Johnson"])


@pytest.mark.parametrize(("name", "inner"), [("playlists", "tracks"), ("litePlaylists", "tracks"), ("listeners", "followed")])
async def test_many_to_many(existing: Existing, name: str, inner: str) -> None:
    edges = {"playlists": ("playlist_tracks", "playlist_id"), "litePlaylists": ("lite_playlist_tracks", "playlist_id")}
    collection, parent = edges.get(name, ("follows", "customer_id"))
    counts: dict[str, int] = {}
    for row in existing.rows[collection]:
        counts[str(row[parent])] = counts.get(str(row[parent]), 0) + 1
    found = nodes(await existing.ask(f"{{ {name}(first: 100) {{ nodes {{ id {inner} {{ totalCount }} }} }} }}"))
    assert {row["id"].partition(":")[2]: row[inner]["totalCount"] for row in found if row[inner]["totalCount"]} == counts


async def test_properties_of_relationships(existing: Existing) -> None:
    rows = sorted((row for row in existing.rows["plays"] if row["customer_id"] == 3), key=lambda row: -row["seconds"])
    plays = "plays(first: 2, orderBy: {field: SECONDS, direction: DESC}, where: {seconds: {gt: 1.5}})"
    text = f'{{ customer(id: "3") {{ {plays} {{ totalCount nodes {{ seconds at track {{ id }} trackNode {{ id }} }} }} }} }}'
    found = (await existing.ask(text))["customer"]["plays"]
    assert found["totalCount"] == sum(row["seconds"] > 1.5 for row in rows)
    assert found["nodes"] == [
        {
            "seconds": row["seconds"],
            "at": row["at"],
            "track": {"id": f"Track:{row['track_id']}"},
            "trackNode": {"id": f"TrackNode:{row['track_id']}"},
        }
        for row in rows[:2]
    ]


async def test_labels_are_collections_and_ends_of_relationships(existing: Existing) -> None:
    performers = "performers { nodes { name tracks(first: 1) { totalCount } } }"
    text = f'{{ node(id: "TrackNode:1") {{ ... on TrackNode {{ name {performers} listeners {{ totalCount }} }} }} }}'
    found = (await existing.ask(text))["node"]
    listeners = {row["customer_id"] for row in existing.rows["plays"] if row["track_id"] == 1}
    assert found == {
        "name": "For Those About To Rock (We Salute You)",
        "performers": {"nodes": [{"name": "AC/DC", "tracks": {"totalCount": 18}}]},
        "listeners": {"totalCount": len(listeners)},
    }


# --------------------------------------------------------------------------------------------------------------- drift


async def test_a_field_that_is_absent_is_null(existing: Existing) -> None:
    text = """{
      a: customerDocuments(where: {company: {eq: null}}) { totalCount }
      b: customerDocuments(where: {supportRepId: {eq: null}}, first: 20) { totalCount nodes { supportRepId } }
    }"""
    found = await existing.ask(text)
    rows = existing.rows["customer_documents"]
    assert found["a"]["totalCount"] == sum(row["company"] is None for row in rows) == 49
    assert found["b"] == {"totalCount": 8, "nodes": [{"supportRepId": None}] * 8}


async def test_a_value_of_another_type_is_an_error_of_its_field(existing: Existing) -> None:
    answer = await existing.answer('{ customerDocuments(where: {customerId: {in: ["13", "29"]}}) { nodes { customerId since active } } }')
    thirteen, twenty_nine = sorted(answer["data"]["customerDocuments"]["nodes"], key=lambda node: str(node["customerId"]))
    assert thirteen == {"customerId": "Customer:13", "since": "2009-02-27T09:42:44.874Z", "active": None}
    assert twenty_nine == {"customerId": "Customer:29", "since": None, "active": True}
    paths = sorted((error["path"][-1], error["extensions"]["code"]) for error in answer["errors"])
    assert paths == [("active", "INTERNAL_SERVER_ERROR"), ("since", "INTERNAL_SERVER_ERROR")]


@pytest.mark.parametrize(("column", "order", "literal"), [("active", "ACTIVE", "true"), ("since", "SINCE", '"2010-05-04T00:00:00Z"')])
async def test_a_value_of_another_type_in_filters_and_orders(existing: Existing, column: str, order: str, literal: str) -> None:
    """It equals nothing, is no null, and stands last in both directions; no page loses it or gives it twice."""
    drifted = "CustomerDocument:" + next(
        row["id"] for row in existing.rows["customer_documents"] if row["customer_id"] == {"active": 13, "since": 29}[column]
    )
    text = f"""{{
      null: customerDocuments(where: {{{column}: {{eq: null}}}}) {{ totalCount }}
      some: customerDocuments(where: {{{column}: {{ne: null}}}}) {{ totalCount }}
      equal: customerDocuments(where: {{{column}: {{eq: {literal}}}}}, first: 100) {{ nodes {{ id }} }}
      other: customerDocuments(where: {{{column}: {{ne: {literal}}}}}, first: 100) {{ nodes {{ id }} }}
      up: customerDocuments(orderBy: {{field: {order}}}, last: 1) {{ nodes {{ id }} }}
      down: customerDocuments(orderBy: {{field: {order}, direction: DESC}}, last: 1) {{ nodes {{ id }} }}
    }}"""
    found = await existing.ask(text)
    assert (found["null"]["totalCount"], found["some"]["totalCount"]) == (0, 59)
    assert {"id": drifted} not in found["equal"]["nodes"]
    assert {"id": drifted} in found["other"]["nodes"]
    assert found["up"]["nodes"] == found["down"]["nodes"] == [{"id": drifted}]


# --------------------------------------------------------------------------------------------------------------- table


def test_every_row_of_the_table_names_its_test() -> None:
    page = (HERE / "README.md").read_text(encoding="utf-8").partition("## What is awkward in them")[2]
    table = [line for line in page.splitlines() if line.startswith("|")][2:]
    assert len(table) > 30
    for row in table:
        names = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row.rstrip("| ").rpartition("|")[2])
        assert names, f"no test is named in: {row}"
        for file, test in names:
            assert re.search(rf"^(async )?def {test}\(", (HERE / file).read_text(encoding="utf-8"), re.MULTILINE), f"{file}::{test}"
