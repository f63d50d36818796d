"""Fixtures that all Python suites share."""

import pytest

from service import SCENARIOS, Service


@pytest.fixture(scope="session")
def anyio_backend():
    """Uses one event loop for all tests, so that they can share a client and its connections."""
    return "asyncio"


@pytest.fixture(scope="session")
def office():
    """A service with the fleet of `office.toml`."""
    with Service(SCENARIOS / "office.toml") as service:
        yield service
