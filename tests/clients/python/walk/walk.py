"""Calls operations of the contract, through an SDK where it has them, and keeps a record of how."""

import json
import re
import urllib.parse

from sdk import Exchange, NotInSdk

# Of which the values are keywords and not texts.
KEYWORDS = {"transitive"}


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
        if exchange.status < 300 or exchange.status == 405:
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


def filled(operation, keys):
    """Returns the path of an operation with keys and arguments in it."""

    def value(match):
        return urllib.parse.quote(keys[match[0]], safe="@")

    return f"/{operation.root}" + re.sub(r"\{[^}]*\}", value, operation.path)
