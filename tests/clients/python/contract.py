"""The contract of both versions, from the files that the service is built from."""

import json
from dataclasses import dataclass, field
from functools import cache

from service import REPOSITORY

ROOTS = ("beta", "v1.0")
GRAPH = "#microsoft.graph."
# The contract's names of numbers whose width Graph does not say.
WIDTHS = {"integer": "Edm.Int32", "number": "Edm.Double"}


@dataclass(frozen=True)
class Operation:
    """An operation of one version."""

    root: str
    method: str
    path: str
    kind: str
    # The type of the body, if it is one value.
    body: str | None
    # The parameters of the body, by name, if it has any.
    parameters: dict = field(hash=False, compare=False)
    # The arguments of the path, by name, if it is a function.
    arguments: dict = field(hash=False, compare=False)
    # `kind` and `type` of the response.
    response: dict = field(hash=False, compare=False)

    @property
    def line(self):
        return f"{self.method} /{self.root}{self.path}"


class Contract:
    """The operations and types of a version."""

    def __init__(self, root):
        self.root = root
        name = {"beta": "beta", "v1.0": "v1"}[root]
        own, types = read(f"operations.{name}.json"), read(f"types.{name}.json")
        observed, monitoring = read("observed.json"), read("monitoring.json")
        more = [raw for raw in observed["operations"] + monitoring["operations"] if root in raw["api"]]
        self.operations = [self._operation(raw) for raw in own["operations"] + more]
        # The older names of members, which a version without the newer ones shows.
        self.renamed = read("extensions.json")["renamedMembers"]
        self.types = types["types"] | observed["types"] | monitoring["types"]
        self.enums = types["enums"] | observed["enums"] | monitoring["enums"]
        self._namespaces = dict.fromkeys(monitoring["types"], f"#{monitoring['namespace']}.")

    def _operation(self, raw):
        body = raw.get("body") or {}
        return Operation(
            root=self.root,
            method=raw["method"],
            path=raw["path"],
            kind=raw["kind"],
            body=body.get("type"),
            parameters=body.get("parameters", {}),
            arguments=raw.get("parameters", {}),
            response=raw["response"],
        )

    def properties(self, type, value=None):
        """Returns the properties of a type with those of its bases; of the type that a value names, if it does."""
        actual = self.actual(type, value)
        properties = {}
        while actual in self.types:
            properties = self.types[actual].get("properties", {}) | properties
            actual = self.types[actual].get("base")
        return {name: self.widened(declared) for name, declared in properties.items()}

    @staticmethod
    def widened(declared):
        """Returns a declaration with a type that has a width."""
        return declared | {"type": WIDTHS.get(declared["type"], declared["type"])}

    def actual(self, type, value=None):
        """Returns the type that a value names, or the only one that is derived from a type, or the type itself."""
        named = (value or {}).get("@odata.type")
        if named:
            return named.rpartition(".")[2]
        derived = [name for name, declared in self.types.items() if declared.get("base") == type]
        return derived[0] if type not in ("entity", None) and len(derived) == 1 else type

    def derived(self, type):
        """Returns a type and all types that are derived from it."""
        below = [name for name, declared in self.types.items() if declared.get("base") == type]
        return [type, *(name for child in below for name in self.derived(child))]

    def known(self, type, value):
        """Returns the part of a value that this version has names for."""
        if isinstance(value, list):
            return [self.known(type, element) for element in value]
        if not isinstance(value, dict) or type not in self.types:
            return value
        properties = {"id": {"type": "Edm.String"}, "@odata.type": {"type": "Edm.String"}} | self.properties(
            type, value
        )
        part = {}
        for name, inner in value.items():
            of = properties.get(name, {}).get("type")
            if of and self.has_member(of, inner):
                part[name] = self.known(of, inner)
        return part

    def has_member(self, type, value):
        """Returns whether a value is no member of an enum, or one that this version has."""
        enum = self.enums.get(type)
        return enum is None or value is None or enum.get("flags") or value in enum["members"]


@cache
def contract(root):
    """Returns the contract of a version."""
    return Contract(root)


@cache
def read(name):
    return json.loads((REPOSITORY / "contract" / name).read_text())
