"""The current official Python clients, over TLS against a real service."""

import msgraph
import msgraph.graph_request_adapter
import msgraph_beta
import msgraph_beta.graph_request_adapter
import pytest

from graph import administrator, client
from people import Ready, device_code_token, public_client
from service import REPOSITORY, SCENARIOS, Service


@pytest.fixture(scope="session")
def trouble():
    """A service with the fleet of `faulty.toml`."""
    with Service(REPOSITORY / "scenarios" / "faulty.toml") as service:
        yield service


@pytest.fixture(scope="session")
def roll_out():
    """A service with the fleet of `roll-out.toml`."""
    with Service(SCENARIOS / "roll-out.toml") as service:
        yield service


@pytest.fixture(scope="session")
def answered():
    """The API root that answered each request to the office, by the service's request id."""
    return {}


@pytest.fixture(scope="session")
async def beta(office, answered):
    """The beta SDK, for the office's administrator."""
    async with administrator(office) as credential:
        async with client(msgraph_beta, "beta", office, credential, noting(answered, "beta")) as graph:
            yield graph


@pytest.fixture(scope="session")
async def v1(office, answered):
    """The v1.0 SDK, for the office's administrator."""
    async with administrator(office) as credential:
        async with client(msgraph, "v1.0", office, credential, noting(answered, "v1.0")) as graph:
            yield graph


@pytest.fixture(params=["beta", "v1"])
def either(request):
    """Each SDK in turn, for the office's administrator."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def ada(office):
    """The credential of a signed-in administrator of the office."""
    with pytest.MonkeyPatch.context() as environment:
        token = device_code_token(office, public_client(office, environment), "ada@contoso.test", "tests-only-ada")
    return Ready(token["access_token"])


@pytest.fixture(scope="session")
async def ada_beta(office, ada, answered):
    """The beta SDK, for a signed-in administrator."""
    async with client(msgraph_beta, "beta", office, ada, noting(answered, "beta")) as graph:
        yield graph


@pytest.fixture(scope="session")
async def ada_v1(office, ada, answered):
    """The v1.0 SDK, for a signed-in administrator."""
    async with client(msgraph, "v1.0", office, ada, noting(answered, "v1.0")) as graph:
        yield graph


@pytest.fixture(params=["beta", "v1"])
def person_and_application(request):
    """Each SDK in turn, for a signed-in administrator and for the administrator application."""
    return request.getfixturevalue(f"ada_{request.param}"), request.getfixturevalue(request.param)


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
    """Moves the tests of coverage to the end, since they check the calls of all other tests."""
    items.sort(key=lambda item: item.path.name in ("test_coverage.py", "test_record.py"))
