"""Wire values through BSON and back, and what documents of others may hold."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any

import bson
import pytest
from bson import Binary, DatetimeMS, DBRef, Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion

from gateway.errors import BadUserInput
from gateway.stores.base import Column, Type
from gateway.stores.mongo.values import decode, encode
from gateway.stores.values import found_in_place_of

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def through_bson(kind: Type, value: Any, **options: Any) -> Any:
    column = Column("value", kind, nullable=True, **options)
    stored = bson.decode(bson.encode({"r": [encode(column, value)]}), CODEC)["r"]
    return decode([column], [stored])[0][0]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Type.TIME, "0001-01-01T00:00:00.000Z"),
        (Type.TIME, "0999-02-28T01:02:03.001Z"),
        (Type.TIME, "1969-12-31T23:59:59.999Z"),
        (Type.TIME, "2024-02-29T12:00:00.120Z"),
        (Type.TIME, "9999-12-31T23:59:59.999Z"),
        (Type.TIME, None),
        (Type.DATE, "0001-01-01"),
        (Type.INT, 2**63 - 1),
        (Type.FLOAT, 1e300),
        (Type.TEXTS, ["a", "a", ""]),
        (Type.JSON, {"z": 1, "a": {"a.b": [1.0, 1, None, True], "$set": {"$x": 1}, "": {"": ""}}, "_id": 2**40}),
        (Type.JSON, {"$ref": "posts", "$id": "1", "$db": "x", "more": 2}),
        (Type.JSON, [{"$id": 1, "$ref": 5}]),
        (Type.JSON, "text"),
        (Type.JSON, None),
    ],
)
def test_values_come_back_as_they_were(kind: Type, value: Any) -> None:
    assert repr(through_bson(kind, value)) == repr(value)


def test_an_integer_of_the_drivers_own_class_becomes_an_ordinary_one() -> None:
    ((value,),) = decode([Column("n", Type.INT)], [[Int64(2**40)]])

    assert type(value) is int


@pytest.mark.parametrize("value", [{"n": 2**63}, {"$ref": {"n": 2**63}}, {1: 2}])
def test_json_that_bson_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(BadUserInput):
        through_bson_or_refuse(value)


def through_bson_or_refuse(value: Any) -> None:
    try:
        bson.encode({"v": encode(Column("payload", Type.JSON), value)})
    except (OverflowError, bson.errors.InvalidDocument) as exc:  # what the store translates when the driver encodes
        raise BadUserInput("refused by the driver") from exc


@pytest.mark.parametrize("value", ["yesterday", "2024-02-30T00:00:00.000Z", "2024-02-28T00:00:00Z", 5])
def test_a_time_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(BadUserInput, match="made_at: this is no time"):
        encode(Column("made_at", Type.TIME), value)


def test_what_only_bson_has_becomes_json() -> None:
    foreign = {
        "id": ObjectId("507f1f77bcf86cd799439011"),
        "at": datetime(2020, 1, 1, 0, 0, 0, 5000),  # noqa: DTZ001  as the driver gives it
        "price": Decimal128("1.50"),
        "raw": Binary(b"\x01\xff", 5),
        "ref": DBRef("posts", "1"),
        "list": [{"at": datetime(2020, 1, 1)}],  # noqa: DTZ001
    }

    ((value,), (neighbour,)) = decode([Column("payload", Type.JSON)], [[foreign], [{"plain": 1}]])

    assert neighbour == {"plain": 1}
    assert value == {
        "id": "507f1f77bcf86cd799439011",
        "at": "2020-01-01T00:00:00.005Z",
        "price": "1.50",
        "raw": "01ff",
        "ref": {"$ref": "posts", "$id": "1"},
        "list": [{"at": "2020-01-01T00:00:00.000Z"}],
    }


def test_times_that_others_keep_as_text_are_read_when_they_are_ours() -> None:
    assert decode([Column("at", Type.TIME)], [["2020-01-01T00:00:00.005Z"]]) == [("2020-01-01T00:00:00.005Z",)]
    assert decode([Column("at", Type.TIME)], [["2020-01-01T00:00:00Z"]]) == [("2020-01-01T00:00:00.000Z",)]


@pytest.mark.parametrize(
    ("type_", "odd", "sound", "read"),
    [
        (Type.TIME, "last year", datetime(2020, 1, 1), "2020-01-01T00:00:00.000Z"),  # noqa: DTZ001  as the driver gives it
        (Type.TIME, ObjectId(), datetime(2020, 1, 1), "2020-01-01T00:00:00.000Z"),  # noqa: DTZ001
        (Type.TIME, 5, datetime(2020, 1, 1), "2020-01-01T00:00:00.000Z"),  # noqa: DTZ001
        (Type.INT, "5", Int64(2**40), 2**40),
        (Type.INT, 1.5, 3.0, 3),
        (Type.INT, True, 3, 3),
        (Type.FLOAT, Decimal128("0.5"), Int64(2), 2.0),
        (Type.FLOAT, True, 1, 1.0),
    ],
)
def test_what_is_not_of_its_columns_type_stays_as_it_is_beside_what_is(type_: Type, odd: Any, sound: Any, read: Any) -> None:
    found = decode([Column("at", type_)], [[odd], [sound], [None]])
    assert found == [(odd,), (read,), (None,)]
    assert [type(value) for (value,) in found] == [type(odd), type(read), NoneType]


@pytest.mark.parametrize(
    ("kind", "value", "options"),
    [
        (Type.TIME, "+10000-01-01T00:00:00.000Z", {}),
        (Type.TIME, "-0043-03-15T01:02:03.004Z", {}),
        (Type.TIME, "0000-02-29T23:59:59.999Z", {}),
        (Type.TIME, "+292278994-08-17T07:12:55.807Z", {}),
        (Type.TIME, "2024-02-29T12:00:00Z", {"precision": 0}),
        (Type.TIME, "+10000-01-01T00:00:00Z", {"precision": 0}),
        (Type.DECIMAL, "1234567890123456789012345678901234", {}),
        (Type.DECIMAL, "0.00000000000000000000000000000000000001", {}),
        (Type.DECIMAL, "-13.80", {"scale": 2}),
        (Type.DECIMAL, "NaN", {}),
        (Type.DECIMAL, "-Infinity", {}),
        (Type.UUID, "123e4567-e89b-12d3-a456-426614174000", {}),
        (Type.OBJECT_ID, "507f1f77bcf86cd799439011", {}),
        (Type.BYTES, "AP8=", {}),
        (Type.CLOCK, "09:30:00.123456789", {"precision": 9}),
        (Type.TIME, ["+10000-01-01T00:00:00.000Z", "2024-02-29T12:00:00.120Z"], {"many": True}),
        (Type.DECIMAL, [], {"many": True}),
        (Type.UUID, ["123e4567-e89b-12d3-a456-426614174000"], {"many": True}),
    ],
)
def test_values_of_all_types_come_back_as_they_were(kind: Type, value: Any, options: dict[str, Any]) -> None:
    assert through_bson(kind, value, **options) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Type.DECIMAL, "12345678901234567890123456789012345"),  # of 35 digits
        (Type.DATE, "+10000-01-01"),
        (Type.DATE, "infinity"),
        (Type.TIME, "infinity"),
        (Type.UUID, "none"),
        (Type.OBJECT_ID, "none"),
        (Type.BYTES, "?"),
    ],
)
def test_what_mongodb_cannot_hold_is_refused(kind: Type, value: Any) -> None:
    with pytest.raises(BadUserInput, match=f"^value: this is no {kind} that MongoDB can hold"):
        through_bson(kind, value)


@pytest.mark.parametrize(
    ("column", "odd"),
    [
        (Column("v", Type.TIME, precision=0), datetime(2020, 1, 1, 0, 0, 0, 1000)),  # noqa: DTZ001
        (Column("v", Type.DATE), datetime(2020, 1, 1, 1)),  # noqa: DTZ001
        (Column("v", Type.DATE), DatetimeMS(2**60 + 1)),
        (Column("v", Type.DECIMAL, scale=2), Decimal128("0.001")),
        (Column("v", Type.DECIMAL, scale=2), Decimal128("NaN")),
        (Column("v", Type.DECIMAL), Decimal128("1E+6000")),
        (Column("v", Type.DECIMAL), 0.5),
        (Column("v", Type.UUID), Binary(b"0" * 16, 0)),
        (Column("v", Type.UUID), Binary(b"0" * 15, 4)),
        (Column("v", Type.OBJECT_ID), "507f1f77bcf86cd799439011"),
        (Column("v", Type.BYTES), "00ff"),
        (Column("v", Type.BYTES), Binary(b"0", 8)),
        (Column("v", Type.FLOAT), float("nan")),
        (Column("v", Type.FLOAT), float("-inf")),
        (Column("v", Type.FLOAT), Int64(2**53 + 1)),
        (Column("v", Type.INT), 1e300),
        (Column("v", Type.UUID, many=True), ["123e4567-e89b-12d3-a456-426614174000"]),
    ],
)
def test_what_is_none_of_a_columns_values_is_told_in_its_place(column: Column, odd: Any) -> None:
    ((value,), (neighbour,)) = decode([column], [[odd], [None]], ours=False)
    assert found_in_place_of(column, value) is not None
    assert neighbour is None


def test_dates_of_other_years_inside_json_are_shown_as_on_the_wire() -> None:
    assert decode([Column("v", Type.JSON)], [[{"at": DatetimeMS(253402300800000)}]]) == [({"at": "+10000-01-01T00:00:00.000Z"},)]
