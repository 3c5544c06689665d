"""What a store is asked, as data: a file for each thing to ask, and what they are made of. ``stores/base.py`` has it for others."""

from gateway.stores.requests.aggregates import Aggregate, Bucket, Interval, Measure
from gateway.stores.requests.answers import EMPTY, Groups, Rows, Slice, Slices, slice_of
from gateway.stores.requests.changes import Changed, Insert, Lock, Remove, Together, Update, Within
from gateway.stores.requests.conditions import And, Compare, Not, Op, Or, Where, both
from gateway.stores.requests.keys import KEYS_PER_CALL, PAIRS_PER_CALL, UniqueKeys
from gateway.stores.requests.log import Advance, Bump, Claim
from gateway.stores.requests.native import Narrowing, Native, NativeCall, Tables, frozen
from gateway.stores.requests.orders import Order, rank, ranker, total_order
from gateway.stores.requests.reads import Ends, Fetch, Get, Joins, Match, Page, Pairs
from gateway.stores.requests.request import ABILITIES, A, Ability, Request
from gateway.stores.requests.writes import Delete, Upsert

__all__ = [
    "ABILITIES",
    "EMPTY",
    "KEYS_PER_CALL",
    "PAIRS_PER_CALL",
    "A",
    "Ability",
    "Advance",
    "Aggregate",
    "And",
    "Bucket",
    "Bump",
    "Changed",
    "Claim",
    "Compare",
    "Delete",
    "Ends",
    "Fetch",
    "Get",
    "Groups",
    "Insert",
    "Interval",
    "Joins",
    "Lock",
    "Match",
    "Measure",
    "Narrowing",
    "Native",
    "NativeCall",
    "Not",
    "Op",
    "Or",
    "Order",
    "Page",
    "Pairs",
    "Remove",
    "Request",
    "Rows",
    "Slice",
    "Slices",
    "Tables",
    "Together",
    "UniqueKeys",
    "Update",
    "Upsert",
    "Where",
    "Within",
    "both",
    "frozen",
    "rank",
    "ranker",
    "slice_of",
    "total_order",
]
