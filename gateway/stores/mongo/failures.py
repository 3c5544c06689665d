"""What the driver raises, as what the gateway knows."""

from __future__ import annotations

from collections.abc import Container

import bson
from pymongo import errors

from gateway.errors import BadUserInput, Conflict, Contended, GatewayError, StoreMisbehaved, StoreTimeout
from gateway.stores.base import Collection
from gateway.stores.mongo.answers import Document
from gateway.stores.mongo.fields import field_of
from gateway.stores.reasons import Reason, unavailable
from gateway.stores.shared import conflict

_REASONS = {13: Reason.NO_RIGHT, 18: Reason.PASSWORD, 14031: Reason.DISK_FULL}
_DUPLICATE_KEY = 11000
_REFUSED = {  # what the database does not take in a document: the code, and how it is told
    28: "there is no place for a value in the document of this key",
    66: "the key of a document cannot be changed",
    121: "the database takes no such document: it has a rule of its own for them",
}


def translation(exc: Exception, store: str, seconds: float, collection: Collection | None) -> GatewayError:
    match exc:
        case errors.NetworkTimeout() | errors.ExecutionTimeout() | errors.WTimeoutError():
            return StoreTimeout(store, seconds)
        case errors.NotPrimaryError() | errors.OperationFailure(code=10107 | 13435):
            return unavailable(store, exc, Reason.READ_ONLY)
        case errors.OperationFailure() if exc.has_error_label("TransientTransactionError"):
            return Contended(store)
        case errors.ConnectionFailure() | errors.ConfigurationError() | errors.InvalidOperation():
            return unavailable(store, exc)
        case errors.OperationFailure(code=code) if code in _REASONS:
            return unavailable(store, exc, _REASONS[code])
        case errors.OperationFailure() if (duplicate := duplicate_in(exc)) is not None:
            return _conflict(duplicate, store, collection)
        case errors.OperationFailure() if (refused := _code_in(exc, _REFUSED)) is not None:
            return BadUserInput(f"{'a collection' if collection is None else collection.name}: {_REFUSED[refused]}")
        case errors.OperationFailure(code=code):
            return StoreMisbehaved(f"store {store}: MongoDB answered with error {code}: {exc}")
        case errors.DocumentTooLarge():
            return BadUserInput("what is asked for is longer than MongoDB takes, which is 16 MiB of a command or a document")
        case bson.errors.InvalidBSON():
            return StoreMisbehaved(f"store {store}: MongoDB answered with a document that cannot be read: {exc}")
        case bson.errors.BSONError() | OverflowError() | UnicodeEncodeError():
            return BadUserInput("a value is none that MongoDB can hold")
    return StoreMisbehaved(f"store {store}: {exc}")


def is_of_unknown_outcome(exc: errors.PyMongoError) -> bool:
    """Return whether a commit that failed so may have happened."""
    return exc.has_error_label("UnknownTransactionCommitResult")


def _code_in(exc: errors.OperationFailure, codes: Container[int]) -> int | None:
    found = [exc.code, *(error.get("code") for error in (exc.details or {}).get("writeErrors", ()))]
    return next((code for code in found if code in codes), None)


def duplicate_in(exc: errors.OperationFailure) -> Document | None:
    """Return what the server says about a value that is there already; None when that is not what failed."""
    details = exc.details or {}
    for error in (details, *details.get("writeErrors", ())):
        if error.get("code") == _DUPLICATE_KEY:
            return dict(error)
    return None


def _conflict(duplicate: Document, store: str, collection: Collection | None) -> Conflict:
    if collection is None:
        return conflict(store, "a collection", ())
    names = {field_of(collection, name).name: name for name in collection.names}
    return conflict(store, collection.name, [names.get(name, name) for name in duplicate.get("keyPattern", {})])
