"""The official Python clients of today, over TLS against a real service."""

import msgraph
import msgraph.graph_request_adapter
import msgraph_beta
import msgraph_beta.graph_request_adapter
import pytest

from graph import administrator, client
from service import REPOSITORY, SCENARIOS, Service


@pytest.fixture(scope="session")
def trouble():
    """A service over the fleet on which everything goes wrong that can."""
    with Service(REPOSITORY / "scenarios" / "faulty.toml") as service:
        yield service


@pytest.fixture(scope="session")
def roll_out():
    """A service over the fleet of `roll-out.toml`."""
    with Service(SCENARIOS / "roll-out.toml") as service:
        yield service


@pytest.fixture(scope="session")
def answered():
    """By which root each request to the office was answered, under the id that the service gave it."""
    return {}


@pytest.fixture(scope="session")
async def beta(office, answered):
    """The beta SDK of the office's administrator."""
    async with administrator(office) as credential:
        async with client(msgraph_beta, "beta", office, credential, noting(answered, "beta")) as graph:
            yield graph


@pytest.fixture(scope="session")
async def v1(office, answered):
    """The v1.0 SDK of the office's administrator."""
    async with administrator(office) as credential:
        async with client(msgraph, "v1.0", office, credential, noting(answered, "v1.0")) as graph:
            yield graph


@pytest.fixture(params=["beta", "v1"])
def either(request):
    """Each SDK of the office's administrator in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
async def trouble_beta(trouble):
    async with administrator(trouble) as credential, client(msgraph_beta, "beta", trouble, credential) as graph:
        yield graph


@pytest.fixture(scope="session")
async def roll_out_beta(roll_out):
    async with administrator(roll_out) as credential, client(msgraph_beta, "beta", roll_out, credential) as graph:
        yield graph


def noting(answered, root):
    async def note(response):
        answered[response.headers["request-id"]] = root

    return note


def pytest_collection_modifyitems(items):
    """What looks back on all that was called comes last."""
    items.sort(key=lambda item: item.path.name == "test_coverage.py")
