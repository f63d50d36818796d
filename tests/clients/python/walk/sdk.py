"""Calls an operation of the contract through the SDK of its version, found by name."""

import importlib
import inspect
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import Enum
from uuid import UUID

import msgraph
import msgraph.graph_request_adapter
import msgraph_beta
import msgraph_beta.graph_request_adapter
from kiota_abstractions.api_error import APIError
from kiota_abstractions.serialization import Parsable
from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory

from graph import ask, client

MODULES = {"beta": msgraph_beta, "v1.0": msgraph}


@dataclass
class Exchange:
    """A call through an SDK: what went over the wire, and what the SDK made of the response."""

    status: int
    # The body of the request, as JSON.
    sent: dict | None
    # The body of the response: JSON, text or bytes.
    received: object
    # The response as a client of the SDK gets it, as JSON again.
    typed: object = None


class NotInSdk(Exception):
    """The SDK has no such operation."""


class Sdk:
    """The SDK of a version, for one caller."""

    def __init__(self, graph, responses):
        self._graph, self._responses = graph, responses

    async def call(self, operation, keys, body=None):
        """Calls an operation. `keys` has the values of the places in its path, `body` is JSON."""
        builder = self._builder(operation.path, keys)
        method = getattr(builder, operation.method.lower(), None)
        if method is None:
            raise NotInSdk(operation.line)
        arguments = {}
        if "body" in inspect.signature(method).parameters:
            arguments["body"] = model(body_class(builder, method), body or {})
        # The SDK sends arguments that can be left out as options of the query.
        if aliases := [name for name, declared in operation.arguments.items() if declared["in"] == "alias"]:
            options = {snake(name): keys[f"{{{name}}}"] for name in aliases}
            arguments["request_configuration"] = ask(builder, **options)
        self._responses.clear()
        try:
            typed = await method(**arguments)
        except APIError:
            typed = None
        except ImportError as error:
            # The SDK lacks a class that it needs.
            raise NotInSdk(operation.line) from error
        response = self._responses[-1]
        sent = response.request.content
        return Exchange(
            status=response.status_code,
            sent=json.loads(sent) if sent else None,
            received=decoded(response),
            typed=as_json(typed),
        )

    def _builder(self, path, keys):
        builder = self._graph
        for segment in split(path):
            builder = step(builder, segment, keys)
        return builder


@asynccontextmanager
async def sdk(root, service, credential):
    """Yields the SDK of a version."""
    responses = []

    async def note(response):
        await response.aread()
        responses.append(response)

    async with client(MODULES[root], root, service, credential, note) as graph:
        yield Sdk(graph, responses)


def split(path):
    """Returns the segments of a path; arguments of a function can have slashes."""
    return re.findall(r"/((?:[^/(]|\([^)]*\))+)", path)


def step(builder, segment, keys):
    """Returns the request builder of the next segment of a path."""
    try:
        if segment.startswith("{"):
            by = next(name for name in dir(builder) if name.startswith("by_"))
            return getattr(builder, by)(keys[segment])
        name, _, arguments = segment.partition("(")
        if not arguments.removesuffix(")"):
            return getattr(builder, snake(name.removeprefix("$")))
        # The names of the parameters follow, in one of several ways.
        names = [own for own in dir(builder) if own.startswith(snake(name)) and own != snake(name)]
        function = getattr(builder, names[0])
        if not inspect.ismethod(function):
            return function
        values = [keys[place] for place in re.findall(r"\{.*?\}", arguments)]
        return function(*values[: len(inspect.signature(function).parameters)])
    except (AttributeError, ImportError, IndexError, StopIteration) as error:
        raise NotInSdk(segment) from error


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def body_class(builder, method):
    """Returns the class of a method's body, which the SDK imports for type checkers only."""
    module = inspect.getmodule(type(builder))
    name = inspect.signature(method).parameters["body"].annotation
    place = re.search(rf"from (\.+\S+) import {name}\n", inspect.getsource(module))
    return getattr(importlib.import_module(place[1], module.__package__), name)


def model(type, body):
    """Returns an object of the SDK from JSON."""
    node = JsonParseNodeFactory().get_root_parse_node("application/json", json.dumps(body).encode())
    return node.get_object_value(type)


def as_json(value):
    """Returns what a client of the SDK reads in a response as JSON, without what is null."""
    if isinstance(value, Parsable):
        own = {name: getattr(value, attribute(value, name)) for name in value.get_field_deserializers()}
        # What the model has no property for.
        return {name: as_json(inner) for name, inner in (own | value.additional_data).items() if inner is not None}
    if isinstance(value, list):
        # The SDK reads an enum of flags as a list of its members.
        return [as_json(element) for element in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, date | time | UUID):
        return str(value)
    return value


def attribute(model, name):
    """Returns the name of the attribute of a model that has a property."""
    names = snake(name), f"{snake(name)}_", snake(name).replace("@odata.", "odata_")
    return next(own for own in names if hasattr(model, own))


def decoded(response):
    if response.headers.get("content-type", "").startswith("application/json"):
        return response.json()
    return response.content


def differences(typed, received, place=""):
    """Returns the places where what a client of the SDK reads differs from what was received: null in the one is left
    out in the other."""
    if isinstance(received, dict) and isinstance(typed, dict):
        names = {name for name, inner in (received | typed).items() if inner is not None and "@odata." not in name}
        return [
            found
            for name in sorted(names)
            for found in differences(typed.get(name), received.get(name), f"{place}/{name}")
        ]
    if isinstance(received, list) and isinstance(typed, list) and len(typed) == len(received):
        pairs = zip(typed, received, strict=True)
        return [found for own, sent in pairs for found in differences(own, sent, place)]
    if isinstance(received, str):
        if isinstance(typed, list):
            typed = ",".join(typed)
        elif re.match(r"\d{4}-\d\d-\d\dT", received):
            received, typed = instant(received), instant(typed)
    return [] if typed == received else [f"{place}: {received!r} is read as {typed!r}"]


def instant(value):
    """Returns a point in time, which the SDK reads as a number and sends in a spelling of its own, as a number."""
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value


def lost_names(sent, body):
    """Returns the names of the properties that a body has and that were not sent as they are in it."""
    return {line.partition(":")[0].rpartition("/")[2] for line in differences(sent or {}, body)}
