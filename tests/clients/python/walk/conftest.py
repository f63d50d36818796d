"""The service of the walk and its callers."""

from contextlib import AsyncExitStack

import pytest
from contract import ROOTS
from fleet import Fleet
from sdk import sdk
from subject import Subject
from walk import Walk

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


@pytest.fixture(scope="session")
def written():
    """The entities that were written so far, by version and path."""
    return {}


@pytest.fixture
async def subject(walk, written, request):
    """The entity of a version and a path, with every property that can be written."""
    if request.param not in written:
        subject = written[request.param] = Subject(walk, *request.param)
        subject.written = await subject.call("update" if subject.is_singleton else "create", subject.writable)
        if subject.written.status in (200, 201):
            subject.id = subject.written.received["id"]
            subject.first_read = subject.read()
            # What the SDK has not sent.
            subject.restore()
    return written[request.param]
