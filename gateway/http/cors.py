"""Which pages of other origins may ask ``/graphql``: Starlette's CORSMiddleware, as the settings say."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import Settings

REQUEST_HEADERS = (
    "Authorization",
    "Apollo-Require-Preflight",
    "GraphQL-Require-Preflight",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-Apollo-Operation-Name",
    "X-Gateway-Deadline-Ms",
    "X-Gateway-Explain",
    "X-Gateway-Source",
    "X-Gateway-Written",
    "X-GraphQL-Event-Stream-Token",
    "X-Request-Id",
)
ANSWER_HEADERS = ("Retry-After", "X-Gateway-Written", "X-Request-Id")
PREFLIGHT_MAX_AGE_S = 600


class Cors:
    """The application, whose ``path`` pages of ``cors_origins`` may ask. They get no more of the others than any page does."""

    def __init__(self, app: ASGIApp, settings: Settings, path: str) -> None:
        self._app = app
        self._path = path
        self._open = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=(*REQUEST_HEADERS, *settings.cors_headers),
            allow_credentials=settings.cors_credentials,
            expose_headers=ANSWER_HEADERS,
            max_age=PREFLIGHT_MAX_AGE_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._open if scope["type"] == "http" and scope["path"] == self._path else self._app
        await app(scope, receive, send)
