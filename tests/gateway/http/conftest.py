from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.gateway.http.fakes import FakeService, make_app


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in development, with a body limit of 2,000 bytes."""
    transport = httpx.ASGITransport(make_app(service, body_limit_bytes=2_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
