"""The service of the walk and its callers."""

from contextlib import AsyncExitStack

import pytest
from fleet import Fleet
from sdk import sdk
from walk import Walk

from contract import ROOTS
from graph import administrator
from people import Ready
from service import SCENARIOS, Service


@pytest.fixture(scope="session")
def walked(tmp_path_factory):
    """A service of the walk's own, whose webhooks may lead to this machine."""
    config = tmp_path_factory.mktemp("walk") / "cloudpc.toml"
    config.write_text("[webhooks]\nallow_loopback = true\n")
    with Service(SCENARIOS / "office.toml", config) as service:
        yield service


@pytest.fixture(scope="session")
async def walk(walked):
    with pytest.MonkeyPatch.context() as environment:
        fleet = Fleet(walked, environment)
    async with AsyncExitStack() as open_sdks:
        application = await open_sdks.enter_async_context(administrator(walked))
        sdks = {}
        for root in ROOTS:
            for is_person, credential in [(False, application), (True, Ready(fleet.person))]:
                sdks[root, is_person] = await open_sdks.enter_async_context(sdk(root, walked, credential))
        yield Walk(walked, fleet, sdks)
