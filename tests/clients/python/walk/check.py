"""Checks values that the service sends against the types of the contract."""

import json
import re
from datetime import date, datetime, time
from uuid import UUID

NAMESPACES = re.compile(r"#(microsoft\.graph(\.deviceManagement)?|cloudpc)\.(\w+)")


def response_errors(contract, operation, value):
    """Returns what is wrong with the response of an operation, and the properties that are missing in it."""
    kind, type = operation.response["kind"], operation.response.get("type")
    checker = Checker(contract)
    if kind == "collection":
        for element in value["value"]:
            checker.single(type, element, type)
    elif kind == "primitive":
        checker.single(type, value["value"] if isinstance(value, dict) else value, operation.path)
    elif kind in ("entity", "complex"):
        checker.object(type, value, whole=True)
    return checker.errors, checker.missing


def report_errors(content):
    """Returns what is wrong with the content of a report."""
    report = json.loads(content) if isinstance(content, bytes) else content
    if not {"TotalRowCount", "Schema", "Values"} <= set(report):
        return [f"a report has {sorted(report)}"]
    columns = [column["Column"] for column in report["Schema"]]
    errors = [
        f"a row has {len(row)} values for {len(columns)} columns"
        for row in report["Values"]
        if len(row) != len(columns)
    ]
    return errors + (
        [] if columns and report["TotalRowCount"] >= len(report["Values"]) else ["rows or columns are missing"]
    )


class Checker:
    def __init__(self, contract):
        self._contract = contract
        # Sentences.
        self.errors = []
        # Pairs of a type and a property.
        self.missing = set()

    def object(self, type, value, whole):
        """Checks an object; if it is `whole`, it has every property that is not a navigation property."""
        named = value.get("@odata.type")
        if named and not (
            NAMESPACES.fullmatch(named) and self._contract.actual(type, value) in self._contract.derived(type)
        ):
            self.errors.append(f"{type}: {named} is not a type derived from it")
            return
        declared = self._contract.properties(type, value)
        for name, inner in value.items():
            if "@" in name:
                continue
            if name not in declared:
                self.errors.append(f"{type}/{name}: the contract has no such property")
                continue
            self.property(declared[name], inner, f"{type}/{name}")
        if whole and "@removed" not in value:
            present = {name for name, own in declared.items() if not own.get("navigation")}
            self.missing |= {(self._contract.actual(type, value), name) for name in present - set(value)}

    def property(self, declared, value, place):
        if declared.get("collection"):
            if not isinstance(value, list):
                self.errors.append(f"{place}: {value!r} is not a collection")
                return
            for element in value:
                self.single(declared["type"], element, place)
        elif value is None:
            if not declared.get("nullable", True):
                self.errors.append(f"{place}: null")
        else:
            self.single(declared["type"], value, place)

    def single(self, type, value, place):
        enum = self._contract.enums.get(type)
        if type in self._contract.types:
            if isinstance(value, dict):
                self.object(type, value, whole=True)
                return
            fits = False
        elif enum:
            members = str(value).split(",") if enum.get("flags") else [value]
            fits = set(members) <= set(enum["members"])
        else:
            fits = is_primitive(type, value)
        if not fits:
            self.errors.append(f"{place}: {value!r} is not {type}")


def is_primitive(type, value):
    """Returns whether a JSON value is of a primitive type."""
    parsers = {
        "Edm.DateTimeOffset": datetime.fromisoformat,
        "Edm.Date": date.fromisoformat,
        "Edm.TimeOfDay": time.fromisoformat,
        "Edm.Guid": UUID,
    }
    if type in parsers:
        try:
            parsers[type](value)
        except (TypeError, ValueError):
            return False
        return True
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "Edm.Untyped": True,
        "Edm.String": isinstance(value, str),
        "Edm.Boolean": isinstance(value, bool),
        "Edm.Int32": is_number and isinstance(value, int) and abs(value) < 2**31,
        "Edm.Int64": is_number and isinstance(value, int),
        "integer": is_number and isinstance(value, int),
        "Edm.Double": is_number,
    }[type]


def holds(shown, wanted):
    """Returns whether a value that was read is the one that was written, with what was left out in addition."""
    if isinstance(wanted, dict):
        return isinstance(shown, dict) and all(holds(shown.get(name), inner) for name, inner in wanted.items())
    if is_primitive("Edm.DateTimeOffset", wanted) and "T" in wanted:
        return is_primitive("Edm.DateTimeOffset", shown) and datetime.fromisoformat(shown) == datetime.fromisoformat(
            wanted
        )
    return shown == wanted
