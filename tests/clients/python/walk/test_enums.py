"""Writes every member of every enum that can be written, and a text that is no member."""

import copy

import pytest
from exceptions import NEEDS_MORE
from facts import COMPANIONS, OLDER_NAMES
from sample import enum_places, holder, put
from subjects import SUBJECTS


def without_older_names(subject, value, steps):
    """Takes the other name of the same value out, so that the two do not contradict each other."""
    parent, type = holder(subject.contract, subject.type, value, steps)
    for own, older, newest in OLDER_NAMES:
        if own == type and steps[-1] in (older, newest):
            parent.pop(newest if steps[-1] == older else older, None)


def found(value, steps):
    for step in steps:
        value = value[step]
    return value


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
async def test_every_member_is_accepted_and_no_other_text(subject):
    failures = []
    for steps, declared in enum_places(subject.contract, subject.type, subject.writable):
        members = subject.contract.enums[declared["type"]]["members"]
        for member in [*members, "noSuchMember"]:
            if steps[0] in subject.created_only:
                exchange, read = created(subject, steps, member)
            else:
                exchange, read = updated(subject, steps, member, declared)
            if member in ("noSuchMember", "unknownFutureValue"):
                is_right = exchange.status == 400 and steps[-1] in exchange.received["error"]["target"]
            elif (subject.type, steps[-1], member) in NEEDS_MORE:
                is_right = exchange.status == 400
            else:
                renamed = subject.contract.renamed.get(declared["type"], {}).get(member)
                is_right = read == (renamed if renamed in members else member)
            if not is_right:
                failures.append((steps, member, exchange.status, read, exchange.received))
        subject.restore()
    assert not failures, "\n".join(str(failure) for failure in failures)


def updated(subject, steps, member, declared):
    """Writes a member at a place of the entity, and returns the exchange and what is read there."""
    value = copy.deepcopy(subject.writable)
    put(value, steps, [member] if declared.get("collection") else member)
    without_older_names(subject, value, steps)
    exchange = subject.http("update", {steps[0]: value[steps[0]]})
    if exchange.status not in (200, 204):
        return exchange, None
    read = found(subject.read(), steps)
    return exchange, read[0] if declared.get("collection") else read


def created(subject, steps, member):
    """Creates an entity with a member at a place, and returns the exchange and what was answered there."""
    subject.another()
    name = steps[0]
    own = {name: copy.deepcopy(subject.writable[name])}
    put(own, steps, member)
    exchange = subject.http("create", subject.text(subject.entity.required | COMPANIONS.get(name, {})) | own)
    return exchange, found(exchange.received, steps) if exchange.status == 201 else None
