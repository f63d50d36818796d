"""Creates entities with null for everything that can be left out, and with values of what the service sets."""

import pytest
from coverage_page import is_shut
from facts import FILLED, OF_ONE_VALUE, REFUSES_OTHERS, SINGLETONS
from sample import sample
from subjects import SUBJECTS

# Without singletons, and what is within another entity and has one value only.
CREATED = [parameter for parameter in SUBJECTS if "{" not in parameter.id and parameter.values[0][1] not in SINGLETONS]


def created(subject, more):
    """Creates another entity, and returns what was answered and what can be read of it."""
    own = subject.id
    subject.another()
    exchange = subject.http("create", subject.text(subject.entity.required | subject.entity.secret) | more)
    read = None
    if exchange.status == 201:
        subject.id = exchange.received["id"]
        read = subject.read()
        if not is_shut(subject.operation("delete")):
            assert subject.http("delete").status == 204
    subject.id = own
    return exchange, read


@pytest.mark.parametrize("subject", CREATED, indirect=True)
async def test_null_counts_as_absent(subject):
    given = {*subject.entity.required, *subject.entity.secret}
    exchange, read = created(subject, {name: None for name in subject.writable if name not in given})
    assert exchange.status == 201, exchange.received
    defaults = subject.shown(subject.text(subject.entity.defaults))
    expected = {name: value for name, value in defaults.items() if name not in subject.entity.required}
    assert {name: read[name] for name in expected} == expected


@pytest.mark.parametrize("subject", CREATED, indirect=True)
async def test_what_the_service_sets_is_not_taken(subject):
    properties = subject.contract.properties(subject.type)
    own = {
        name: sample(subject.contract, declared)
        for name, declared in properties.items()
        if name not in subject.writable and name not in OF_ONE_VALUE and not declared.get("navigation")
    }
    if subject.path in REFUSES_OTHERS:
        for name, value in own.items():
            exchange, _ = created(subject, {name: value})
            assert exchange.status == 400, name
            assert exchange.received["error"]["target"].startswith(name)
        return
    exchange, read = created(subject, own)
    assert exchange.status == 201, exchange.received
    present = subject.read()
    taken = {name for name, value in own.items() if read[name] == value and present[name] != value}
    assert taken == FILLED.get(subject.path, set())
