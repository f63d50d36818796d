"""Calls operations of the contract, through an SDK where it has them, and keeps a record of how."""

import json
import re
import urllib.parse

from exceptions import REFUSED
from sdk import Exchange, NotInSdk


class Walk:
    """Calls operations on the fleet, as an application or, where only people may, as a person."""

    def __init__(self, service, fleet, sdks):
        self.service, self.fleet = service, fleet
        # By API root and whether the caller is a person.
        self._sdks = sdks
        # How each operation was carried out, `SDK` or `HTTP`, by API root, method and path.
        self.calls = {}

    async def call(self, operation, body=None, keys=None):
        """Calls an operation, with JSON as its body. `keys` replaces keys of the fleet."""
        keys = self.fleet.keys | (keys or {})
        exchange = await self._call(operation, body, keys, is_person=False)
        if exchange.status == 403:
            exchange = await self._call(operation, body, keys, is_person=True)
        return exchange

    async def _call(self, operation, body, keys, is_person):
        try:
            exchange, how = await self._sdks[operation.root, is_person].call(operation, keys, body), "SDK"
        except NotInSdk:
            exchange, how = self.http(operation, body, keys, is_person), "HTTP"
        refusal, _ = REFUSED.get((operation.method, operation.path), (405, None))
        if exchange.status < 300 or exchange.status == refusal:
            self.record(operation, how)
        return exchange

    def record(self, operation, how):
        key = operation.root, operation.method, operation.path
        self.calls[key] = "SDK" if "SDK" in (how, self.calls.get(key)) else how

    def http(self, operation, body=None, keys=None, is_person=False):
        """Calls an operation over HTTP."""
        path = filled(operation, self.fleet.keys | (keys or {}))
        text = None if body is None else json.dumps(body)
        if text is None and operation.method in ("POST", "PATCH") and operation.body:
            text = "{}"
        reply = self.service.call(operation.method, path, text, self.fleet.person if is_person else None)
        is_json = reply.text.startswith("{")
        return Exchange(reply.status, body, json.loads(reply.text) if is_json else reply.text.encode())

    def rows(self, path, root, keys):
        """Returns the rows of a list, as the caller that may read it."""
        path = filled_path(f"/{root}{path}", self.fleet.keys | keys)
        is_allowed = self.service.call("GET", path).status != 403
        return self.service.rows(path, None if is_allowed else self.fleet.person)


def filled(operation, keys):
    """Returns the path of an operation with keys and arguments in it."""
    return filled_path(f"/{operation.root}{operation.path}", keys)


def filled_path(path, keys):
    """Returns a path with keys and arguments in it."""

    def value(match):
        assert match[0] in keys, f"the fleet has no key for {match[0]}"
        return urllib.parse.quote(keys[match[0]], safe="@")

    return re.sub(r"\{[^}]*\}", value, path)


def filled_in(value, keys):
    """Returns JSON with keys in place of the texts that name them."""
    if isinstance(value, dict):
        return {name: filled_in(inner, keys) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled_in(element, keys) for element in value]
    return keys.get(value, value) if isinstance(value, str) else value
