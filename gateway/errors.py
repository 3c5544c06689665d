"""Which errors exist, who must act on each, and what a client may see of them.

GatewayError
├── CallerError             the client must change its request; the message is theirs to read
│   ├── BadHttp, BadJson, BadRequest, BatchingOff, RequestTooLarge, UriTooLong, HeadersTooLarge, RequestTimeout,
│   │   UnsupportedMediaType, NotAcceptable, MethodNotAllowed, HostNotAllowed, PageNotFound                      transport
│   ├── Unauthorized, Forbidden   who asks is not known, or may not
│   ├── TenantUnknown       a request is about a tenant that there is not
│   ├── OperationResolutionFailure   which operation of a document; what does not parse or validate is a DocumentRefused
│   ├── BadUserInput        a variable or an argument has a value that cannot be
│   ├── LimitExceeded       more than a limit of the settings allows
│   │   └── TextLimitExceeded    seen already while the text was read
│   ├── CursorExpired, SlowReader   of a stream of events: what came after the cursor is kept no more; they are not taken in time
│   ├── CursorTooLong       an order of columns whose values are too long for a cursor
│   ├── OutOfRange          a sum has no place in its type
│   ├── NotFound, CursorExpired, SlowReader
│   └── Conflict            another row already has a value that must be unique, or a row is not as it was expected to be
│       ├── Contended            others wrote the same at the same time
│       └── InFlight             a request of the same idempotency key runs
├── OperatorError           whoever runs the gateway must act
│   ├── ConfigError         a setting; ends the start with one line
│   ├── BadData             a file to load; ends the load with one line
│   ├── StoresNotReady      the settings require stores at the start that are not as they must be
│   ├── MigrationRefused    a history is not what it was, or cannot be gone on with
│   │   └── MigrationLocked     another process migrates, and went on for too long
│   ├── StoreUnavailable    no connection, refused, reset, shutting down
│   ├── StoreTimeout        no answer within the time given
│   ├── StoreMismatch       the store has something else than the graph declares
│   ├── TenantNotReady      the stores of a tenant are not as they must be to be served
│   ├── WrongValue          a store that enforces no types has a value that is none of its column's
│   ├── Overloaded          too many requests, or clients that do not read or send hold too much memory
│   └── DeadlineExceeded    the request as a whole took too long
└── Bug                     we must act; a client sees "Internal server error" and an id
    ├── BatchMismatch       a batch function answered with something else than it has to
    ├── ContextMismatch     the graph's context function likewise
    ├── StreamNotThere      a subscription to a collection whose writes nobody tells
    ├── NativeQueryMissing  a native query is not written for the kind of the store that it is asked of
    ├── AbilityMissing      a store is asked for what its kind cannot do
    ├── NarrowingRefused    a request cannot leave out the rows that it was told to
    └── StoreMisbehaved     a store answered with what its port does not allow, or was asked so

``http_status`` is the draft's; ``gateway/http/statuses.py`` says what is sent.
Longer than 400 lines: the errors are one tree, which is drawn at its top and read as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

SHOWN = 200  # characters of one message; a client's own text may be in it


def bounded(text: str, limit: int = SHOWN) -> str:
    """Return the text, cut where it is longer: what a client sent is not sent back, or logged, at any length."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class GatewayError(Exception):
    """An error with a code of the API and the HTTP status it has when nothing could be answered."""

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, **extensions: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extensions: dict[str, Any] = {"code": self.code, **extensions}

    @property
    def shown(self) -> dict[str, Any]:
        """The error as a client sees it, outside of any field."""
        return {"message": bounded(self.message), "extensions": self.extensions}


class CallerError(GatewayError):
    code = "BAD_REQUEST"
    http_status = 422


class BadHttp(CallerError):
    """What is no HTTP, or could be read in two ways; or a header of ours with a value that cannot be."""

    http_status = 400


class BadJson(CallerError):
    code = "BAD_JSON"
    http_status = 400


class BadRequest(CallerError):
    """JSON, but not a GraphQL request."""


class BatchingOff(CallerError):
    code = "BATCHING_OFF"
    http_status = 400


class RequestTooLarge(CallerError):
    code = "REQUEST_TOO_LARGE"
    http_status = 413


class UriTooLong(CallerError):
    code = "URI_TOO_LONG"
    http_status = 414


class HeadersTooLarge(CallerError):
    code = "HEADERS_TOO_LARGE"
    http_status = 431


class RequestTimeout(CallerError):
    """The client did not send its request in time."""

    code = "REQUEST_TIMEOUT"
    http_status = 408


class Unauthorized(CallerError):
    """Nobody knows who asks. ``challenge`` is the answer's WWW-Authenticate (RFC 9110, 11.6.1)."""

    code = "UNAUTHORIZED"
    http_status = 401

    def __init__(self, message: str, *, challenge: str = "Bearer", **extensions: Any) -> None:
        if not (challenge.isascii() and challenge.isprintable()):
            raise ValueError(f"Unauthorized: expected a challenge of printable ASCII, got {challenge!r}")
        super().__init__(message, **extensions)
        self.challenge = challenge


class Forbidden(CallerError):
    code = "FORBIDDEN"
    http_status = 403


class HostNotAllowed(CallerError):
    """The Host is none of ours: a page of somebody else, whose name was made to lead here (DNS rebinding)."""

    code = "HOST_NOT_ALLOWED"
    http_status = 421


class UnsupportedMediaType(CallerError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    http_status = 415


class NotAcceptable(CallerError):
    code = "NOT_ACCEPTABLE"
    http_status = 406


class MethodNotAllowed(CallerError):
    code = "METHOD_NOT_ALLOWED"
    http_status = 405


class PageNotFound(CallerError):
    code = "NOT_FOUND"
    http_status = 404


class TenantUnknown(CallerError):
    code = "TENANT_UNKNOWN"
    http_status = 404


class OperationResolutionFailure(CallerError):
    code = "OPERATION_RESOLUTION_FAILURE"


class BadUserInput(CallerError):
    code = "BAD_USER_INPUT"


class LimitExceeded(CallerError):
    """More than a limit allows; each limit has a code of its own. ``is_enforced`` is false where it is only to be noted."""

    def __init__(self, code: str, message: str, *, limit: int, actual: int, setting: str) -> None:
        super().__init__(message, limit=limit, actual=actual, setting=setting)
        self.extensions["code"] = code
        self.is_enforced = True


class TextLimitExceeded(LimitExceeded):
    http_status = 400


class CursorTooLong(CallerError):
    """A row has so long values in the columns of the order that its cursor would not be taken."""

    code = "CURSOR_TOO_LONG"

    def __init__(self, limit: int, actual: int) -> None:
        super().__init__(
            f"The cursor would have {actual} characters, and at most {limit} are taken: order by columns of shorter values.",
            limit=limit,
            actual=actual,
        )


class Conflict(CallerError):
    """Another row already has a value that must be unique.

    ``collection`` and ``columns`` say whose and which, by the names of the declaration where that is known; none where nobody says which.
    """

    code = "CONFLICT"
    http_status = 409
    collection: str = ""
    columns: tuple[str, ...] = ()


class Contended(Conflict):
    """Others wrote the same at the same time, and the database gave this one up: nothing has happened, and all of it may be done again."""

    def __init__(self, store: str) -> None:
        super().__init__("Others wrote the same at the same time. Nothing has happened; try again.", store=store)
        self.store = store


class InFlight(Conflict):
    """A request with the same idempotency key runs at this moment. ``retryAfter`` is in seconds, as the header's."""

    def __init__(self, seconds: int = 1) -> None:
        super().__init__("A request with the same Idempotency-Key is running: try again when it has ended.", retryAfter=seconds)
        self.retry_after_s = seconds


class NotFound(CallerError):
    """What is to be written, or what it points at, is not there."""

    code = "NOT_FOUND"
    http_status = 404


class CursorExpired(CallerError):
    """Events are kept for some days; what came after the cursor is kept no more, so that there would be a gap that nobody sees."""

    code = "CURSOR_EXPIRED"
    http_status = 410


class SlowReader(CallerError):
    """A client does not take its events in time, and is ended rather than waited for."""

    code = "SLOW_READER"


class OutOfRange(CallerError):
    """What was asked for is a number that has no place in its type: fewer rows have a smaller sum."""

    code = "OUT_OF_RANGE"


class OperatorError(GatewayError):
    http_status = 503


class ConfigError(OperatorError):
    """One line: the key, the value (secrets hidden), what was expected."""


class StoresNotReady(OperatorError):
    """One line: what is wrong with each store that must be ready at the start."""


class BadData(OperatorError):
    """One line: the file, the number of the line, the column, what was expected and what is there."""


class MigrationRefused(OperatorError):
    """One line: the store, the step, what was expected and what is there. Nothing was changed after it."""


class MigrationLocked(MigrationRefused):
    """Another process holds the lock of the store's migrations, or took it over."""


class StoreUnavailable(OperatorError):
    """The store cannot be reached. ``store`` is the name in the settings; the cause is for the log alone."""

    code = "STORE_UNAVAILABLE"

    def __init__(self, store: str, reason: str = "", told: str = "") -> None:
        super().__init__(f"The store '{store}' is unavailable.", store=store)
        self.store = store
        self.reason = reason  # a word (stores/reasons.py), where it is known
        self.told = told  # what it means

    @property
    def detail(self) -> str:
        """The message with the reason, for operators."""
        return f"{self.message.rstrip('.')}: {self.told}." if self.told else self.message


class StoreTimeout(OperatorError):
    """The store did not answer in time."""

    code = "STORE_TIMEOUT"
    http_status = 504

    def __init__(self, store: str, seconds: float) -> None:
        super().__init__(f"The store '{store}' did not answer within {seconds:g} s.", store=store)
        self.store = store
        self.seconds = seconds


class PoolExhausted(OperatorError):
    """All connections to the store are in use, and none came free in time (setting pool_wait_s)."""

    code = "POOL_EXHAUSTED"

    def __init__(self, store: str, places: int) -> None:
        super().__init__(f"The store '{store}' is busy: all {places} connections to it are in use.", store=store)
        self.store = store
        self.places = places


class StoreMismatch(OperatorError):
    """The store was found to have something else than the graph declares, when it came to be there. The log says what."""

    code = "STORE_MISMATCH"

    def __init__(self, store: str) -> None:
        super().__init__(f"The store '{store}' is not as it was declared.", store=store)
        self.store = store


class TenantNotReady(OperatorError):
    """What is against it is in the log: a client is not told of databases."""

    code = "TENANT_NOT_READY"

    def __init__(self) -> None:
        super().__init__("The tenant cannot be served now; try again later.")


class WrongValue(OperatorError):
    """A value is none of its column's type. ``where`` is its store, collection and column, which the log is told, as is what was found."""

    def __init__(self, where: str, *, expected: str, found: str) -> None:
        super().__init__("There is a value here that is not of its column's type.")
        self.where, self.expected, self.found = where, expected, found

    @property
    def detail(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}"


class Overloaded(OperatorError):
    code = "OVERLOADED"


class DeadlineExceeded(OperatorError):
    code = "DEADLINE_EXCEEDED"
    http_status = 504

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The request was not answered within {seconds:g} s.")


class Bug(GatewayError):
    """Ours. The message is for the log; clients get a masked one."""


class BatchMismatch(Bug):
    """A batch function gave something else than it has to."""

    def __init__(self, name: str, *, expected: str, got: str) -> None:
        super().__init__(f"the batch function {name}: expected {expected}, got {got}")


class MutationMismatch(Bug):
    """A mutation's function gave something else than it has to. What it wrote is written."""

    def __init__(self, name: str, *, expected: str, got: str) -> None:
        super().__init__(f"the mutation {name}: expected {expected}, got {got}")


class ContextMismatch(Bug):
    """The graph's context function gave something else than it has to."""

    def __init__(self, name: str, *, expected: str, got: str) -> None:
        super().__init__(f"the context function {name}: expected {expected}, got {got}")


class StreamNotThere(Bug):
    """Nobody tells the writes of a collection: the gateway was made without a feed."""

    def __init__(self, collection: str) -> None:
        super().__init__(f"a subscription to {collection}: expected a feed of its writes, and there is none")


class NativeQueryMissing(Bug):
    def __init__(self, query: str, *, kind: str, has: Sequence[str]) -> None:
        super().__init__(f"the native query {query} has no query for {kind}; it has {', '.join(has) or 'none at all'}")


class AbilityMissing(Bug):
    """A store's kind declares that it cannot do what it is asked for."""

    def __init__(self, asked: str, *, store: str, kind: str, needs: str) -> None:
        super().__init__(f"{asked}: expected a store that can {needs}, got {store} of kind {kind}, which cannot", store=store)


class NarrowingRefused(Bug):
    """Rows must not be seen, and a request for them cannot say so: it is not answered at all."""

    def __init__(self, request: str, collection: str, reason: str) -> None:
        super().__init__(f"{request} cannot be narrowed on {collection}: {reason}")


class StoreMisbehaved(Bug):
    pass
