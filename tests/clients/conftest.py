"""Fixtures that all Python suites share, and what a failed test shows of its services."""

import json

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds to a failed test what its services recorded last."""
    report = yield
    if report.when == "call" and report.failed:
        for name, service in item.funcargs.items():
            if isinstance(service, Service):
                events = service.last_audit_events()
                text = "\n".join(json.dumps(event) for event in events)
                report.sections.append((f"Last audit events of {name}", text))
    return report
