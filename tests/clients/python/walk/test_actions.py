"""Calls every action with all, some and none of its parameters, with values of other types, and with every member."""

import pytest
from actions import facts
from check import report_errors, response_errors
from contract import ROOTS, contract
from coverage_page import is_shut
from exceptions import NOT_SENT, REFUSED, TAKEN_MEMBERS
from sample import enum_places, put, wrong
from sdk import differences, lost_names
from walk import filled_in

ACTIONS = [
    operation
    for root in ROOTS
    for operation in contract(root).operations
    if (operation.kind == "action" or operation.parameters) and not is_shut(operation)
]


class Actor:
    """Calls an action with the keys that its facts ask for."""

    def __init__(self, walk, operation):
        self.walk, self.operation = walk, operation
        self.contract = contract(operation.root)
        self.facts = facts(operation)
        self.parameters = {name: self.contract.widened(own) for name, own in operation.parameters.items()}
        self.refusal = REFUSED.get((operation.method, operation.path), (None,))[0]

    def values(self, keys):
        """Returns a value of every parameter that is taken."""
        values = {name: value for name, value in self.facts.values.items() if value is not None}
        for name, declared in self.parameters.items():
            members = self.contract.enums.get(declared["type"], {}).get("members")
            if members and name in ("reportName", "reportType"):
                values[name] = next(member for member in members if self.takes(name, member))
        values = {name: value for name, value in values.items() if name in self.parameters}
        return filled_in(values, self.walk.fleet.keys | keys)

    def takes(self, name, member):
        """Whether a parameter, or a property within one, takes a member of its enum."""
        taken = TAKEN_MEMBERS.get((self.operation.path.rpartition("/")[2], name), {member})
        return member in taken and member not in ("unknownFutureValue", "noSuchMember")

    def prepare(self):
        """Brings about what has to be so before a call, and returns the keys for it."""
        return self.facts.before(self.walk.fleet) if self.facts.before else {}

    def http(self, body, keys):
        exchange = self.walk.http(self.operation, body, keys)
        if exchange.status == 403:
            exchange = self.walk.http(self.operation, body, keys, is_person=True)
        self.walk.service.rest()
        return exchange

    def is_carried_out(self, exchange):
        return exchange.status == self.refusal if self.refusal else exchange.status in (200, 201, 202, 204)


@pytest.fixture
def actor(walk, request):
    return Actor(walk, request.param)


def refuses(exchange, name):
    error = exchange.received["error"] if exchange.status == 400 else {}
    return name in error.get("target", "") + error.get("message", "")


PARAMETERS = pytest.mark.parametrize("actor", ACTIONS, indirect=True, ids=lambda operation: operation.line)


@PARAMETERS
async def test_an_action_takes_all_parameters(actor):
    keys = actor.prepare()
    values = actor.values(keys)
    exchange = await actor.walk.call(actor.operation, values if actor.parameters else None, keys)
    actor.walk.service.rest()
    assert actor.is_carried_out(exchange), exchange.received
    if lost := lost_names(exchange.sent, values):
        assert lost <= set(NOT_SENT), "what the SDK cannot send"
        again = actor.http(actor.values(keys), keys)
        assert actor.is_carried_out(again), again.received
    if exchange.status == 200 and actor.operation.response["kind"] == "stream":
        assert report_errors(exchange.received) == []
    elif exchange.status == 200:
        errors, missing = response_errors(actor.contract, actor.operation, exchange.received)
        assert not errors
        assert not {pair for pair in missing if pair[0] not in ("user", "group")}
        if isinstance(exchange.typed, dict):
            assert differences(exchange.typed, exchange.received) == []


@PARAMETERS
async def test_parameters_are_needed_or_not(actor):
    needed = {name for name in actor.facts.required if name in actor.parameters}
    for name in needed:
        values = actor.values({"{skuId}": actor.walk.fleet.sku})
        del values[name]
        assert refuses(actor.http(values, {}), actor.facts.named.get(name, name)), name
    if needed != set(actor.parameters):
        keys = actor.prepare()
        values = {name: value for name, value in actor.values(keys).items() if name in needed}
        exchange = actor.http(values, keys)
        assert actor.is_carried_out(exchange), exchange.received


@PARAMETERS
async def test_wrong_and_unknown_parameters_are_named(actor):
    for name, declared in actor.parameters.items():
        values = actor.values({"{skuId}": actor.walk.fleet.sku}) | {name: wrong(actor.contract, declared)}
        exchange = actor.http(values, {})
        assert refuses(exchange, name), (name, exchange.received)
    exchange = actor.http({"colour": "red"}, {})
    assert refuses(exchange, "'colour'"), exchange.received


@PARAMETERS
async def test_every_member_is_taken(actor):
    failures = []
    whole = actor.values({"{skuId}": actor.walk.fleet.sku})
    for name, declared in actor.parameters.items():
        value = whole.get(name)
        if declared["type"] in actor.contract.enums:
            places = [((), declared)]
        elif isinstance(value, dict):
            places = enum_places(actor.contract, declared["type"], value)
        else:
            continue
        for steps, enum in places:
            for member in [*actor.contract.enums[enum["type"]]["members"], "noSuchMember"]:
                keys = actor.prepare()
                values = actor.values(keys)
                put(values, (name, *steps), member)
                exchange = actor.http(values, keys)
                own = (name, *steps)[-1]
                is_right = actor.is_carried_out(exchange) if actor.takes(own, member) else refuses(exchange, own)
                if not is_right:
                    failures.append((name, steps, member, exchange.status, exchange.received))
    assert not failures, "\n".join(str(failure) for failure in failures)
