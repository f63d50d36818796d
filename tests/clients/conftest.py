"""What the suites in Python share."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend():
    """One event loop for all tests, so that they can share a client and its connections."""
    return "asyncio"
