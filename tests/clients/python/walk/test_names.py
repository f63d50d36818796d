"""Sends properties that no type has, values of other types, and null."""

import copy

import pytest
from facts import OLDER_NAMES, OPTIONAL, WRITTEN_DEFAULTS
from sample import complex_places, holder, places, put, wrong
from subjects import SUBJECTS


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
async def test_an_unknown_property_is_named(subject):
    bodies = [{"colour": "red"}]
    for steps in complex_places(subject.contract, subject.type, subject.writable):
        value = copy.deepcopy(subject.writable)
        put(value, (*steps, "colour"), "red")
        bodies.append({steps[0]: value[steps[0]]})
    for body in bodies:
        for kind in ["update"] if subject.is_singleton else ["update", "create"]:
            exchange = subject.http(kind, body)
            assert exchange.status == 400, (kind, body, exchange.received)
            assert "'colour'" in exchange.received["error"]["message"], exchange.received


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
async def test_a_value_of_another_type_is_named(subject):
    failures = []
    for steps, declared in places(subject.contract, subject.type, subject.writable):
        value = copy.deepcopy(subject.writable)
        put(value, steps, wrong(subject.contract, declared))
        exchange = subject.http("update", {steps[0]: value[steps[0]]})
        name = next(step for step in reversed(steps) if isinstance(step, str))
        if exchange.status != 400 or name not in exchange.received["error"].get("target", ""):
            failures.append((steps, exchange.status, exchange.received))
    assert not failures, "\n".join(str(failure) for failure in failures)


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
async def test_null_clears_a_property_or_is_refused(subject):
    failures = []
    for steps, _ in places(subject.contract, subject.type, subject.writable):
        value = copy.deepcopy(subject.writable)
        put(value, steps, None)
        exchange = subject.http("update", {steps[0]: value[steps[0]]})
        name = next(step for step in reversed(steps) if isinstance(step, str))
        if exchange.status == 400:
            error = exchange.received["error"]
            named = steps[0] if steps[0] in subject.created_only else name
            is_right = named in error.get("target", "") + error["message"] and not is_optional(subject, steps)
        elif exchange.status in (200, 204):
            is_right = name in subject.entity.secret or is_cleared(subject, steps)
        else:
            is_right = False
        if not is_right:
            failures.append((steps, exchange.status, exchange.received))
        subject.restore()
    assert not failures, "\n".join(str(failure) for failure in failures)


def is_optional(subject, steps):
    """Whether the facts say that the property at a place can be cleared."""
    is_own = len(steps) == 1 and steps[0] not in subject.created_only
    return is_own and (steps[0] in subject.entity.changed or steps[0] in OPTIONAL.get(subject.path, {}))


def is_cleared(subject, steps):
    """Whether a property has the value that null gives it."""
    name = steps[0]
    read = subject.read()[name]
    if len(steps) > 1:
        return is_cleared_within(subject, steps, read)
    if (name == "id" or name in subject.created_only) and read == subject.writable[name]:
        return True
    resets = subject.text(subject.entity.defaults | OPTIONAL.get(subject.path, {}))
    if name in resets:
        return read == resets[name]
    # What the engine or the service fills in has another value each time.
    return name in subject.entity.engine and read is not None


def is_cleared_within(subject, steps, read):
    """The same within a complex value, which keeps a value that it has by another name too."""
    was = subject.writable[steps[0]]
    for step in steps[1:]:
        read, was = read[step], was[step]
    _, type = holder(subject.contract, subject.type, subject.writable, steps)
    has_another_name = any(own == type and steps[-1] in names for own, *names in OLDER_NAMES)
    return read != was or has_another_name or (type, steps[-1]) in WRITTEN_DEFAULTS
