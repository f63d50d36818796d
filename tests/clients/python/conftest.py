"""The official Python clients of today, over TLS against a real service."""

import msgraph
import msgraph.graph_request_adapter
import msgraph_beta
import msgraph_beta.graph_request_adapter
import pytest
from azure.identity.aio import ClientSecretCredential

from graph import client
from service import SCENARIOS, Service


@pytest.fixture(scope="session")
def office():
    """A service over the fleet of `office.toml`."""
    with Service(SCENARIOS / "office.toml") as service:
        yield service


@pytest.fixture(scope="session")
def answered():
    """By which root each request of an SDK was answered, under the id that the service gave it."""
    return {}


@pytest.fixture(scope="session")
async def credential(office):
    """The administrator application's own."""
    async with ClientSecretCredential(
        office.tenant_id,
        office.client_id,
        office.client_secret,
        authority=office.https,
        disable_instance_discovery=True,
        connection_verify=str(office.authority_file),
    ) as credential:
        yield credential


@pytest.fixture(scope="session")
async def beta(office, credential, answered):
    """The beta SDK."""
    async with client(msgraph_beta, "beta", office, credential, noting(answered, "beta")) as graph:
        yield graph


@pytest.fixture(scope="session")
async def v1(office, credential, answered):
    """The v1.0 SDK."""
    async with client(msgraph, "v1.0", office, credential, noting(answered, "v1.0")) as graph:
        yield graph


def noting(answered, root):
    async def note(response):
        answered[response.headers["request-id"]] = root

    return note


def pytest_collection_modifyitems(items):
    """What looks back on all that was called comes last."""
    items.sort(key=lambda item: item.path.name == "test_coverage.py")
