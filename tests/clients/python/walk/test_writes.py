"""Writes every property of every entity that can be created or updated, and reads it back."""

import pytest
from coverage_page import is_shut
from exceptions import NOT_SENT, UNSET
from facts import BY_PEOPLE, OF_ONE_VALUE, REFUSES_OTHERS
from sample import other, unset
from sdk import differences, lost_names
from subjects import SUBJECTS


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
async def test_every_property_is_written_and_read(subject):
    exchange = subject.written
    assert exchange.status in (200, 201), exchange.received
    assert lost_names(exchange.sent, subject.writable) <= set(NOT_SENT), "what the SDK cannot send"
    expected = subject.shown(subject.writable) | subject.text(subject.entity.derived)
    # By the names of the properties of the entity, within which something was not sent.
    lost = {line.split("/")[1].partition(":")[0] for line in differences(exchange.sent, subject.writable)}
    for shown in (exchange.received, subject.first_read):
        assert {name: shown[name] for name in expected if name in shown and name not in lost} == {
            name: value for name, value in expected.items() if name in shown and name not in lost
        }
    read = subject.read()
    assert {name: read[name] for name in expected} == expected
    if exchange.typed is not None:
        assert lost_names(exchange.typed, exchange.received) <= set(NOT_SENT)


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
async def test_every_property_has_a_value_that_is_written(subject):
    lacking = set(unset(subject.contract, subject.type, subject.writable))
    # What the service sets is the subject of another test.
    own = {(type, name) for type, name in lacking if type == subject.contract.actual(subject.type)}
    assert lacking - own <= set(UNSET.get(subject.type, ()))


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
async def test_what_the_service_sets_is_not_written(subject):
    read = subject.read()
    wrong = {}
    for name, declared in subject.contract.properties(subject.type).items():
        if name in subject.writable or declared.get("navigation"):
            continue
        exchange = subject.http("update", {name: other(subject.contract, declared, read[name])})
        if exchange.status == 400:
            error = exchange.received["error"]
            refuses = subject.path in REFUSES_OTHERS or name in OF_ONE_VALUE | subject.created_only
            is_right = refuses and error["target"].startswith(name)
        else:
            is_right = exchange.status in (200, 204) and subject.read()[name] == read[name]
        if not is_right:
            wrong[name] = exchange.status, exchange.received
    assert not [f"{name}: {answer}" for name, answer in wrong.items()]


@pytest.mark.parametrize("subject", [own for own in SUBJECTS if own.values[0][1] in BY_PEOPLE], indirect=True)
async def test_what_people_write_is_refused_to_applications(subject):
    for name, value in BY_PEOPLE[subject.path].items():
        refused = subject.http("update", {name: value})
        assert (refused.status, refused.received["error"]["target"]) == (403, name)
        for written in (value, None):
            exchange = subject.http("update", {name: written}, is_person=True)
            assert exchange.status == 200, exchange.received
            assert (exchange.received[name], subject.read()[name]) == (written, written)


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
async def test_an_entity_is_updated_and_deleted(subject):
    values = {name: value for name, value in subject.writable.items() if name not in subject.created_only}
    exchange = await subject.call("update", values)
    assert exchange.status in (200, 204), exchange.received
    if differences(exchange.sent, values):
        subject.restore()
    expected = subject.shown(values)
    read = subject.read()
    assert {name: read[name] for name in expected} == expected
    if subject.is_singleton:
        if subject.operation("create"):
            exchange = await subject.call("create", values)
            assert exchange.status in (200, 201), exchange.received
    elif not is_shut(subject.operation("delete")):
        deleted = await subject.call("delete")
        assert deleted.status == 204, deleted.received
        gone = subject.http("get")
        assert gone.status == 404, gone.received
        # Other tests use it.
        again = subject.http("create", subject.writable)
        assert again.status == 201, again.received
        subject.id = again.received["id"]
