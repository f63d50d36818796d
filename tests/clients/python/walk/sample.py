"""Values of the contract's types, and values that are of another type."""

PRIMITIVES = {
    "Edm.String": "sample",
    "Edm.Boolean": True,
    "Edm.Int32": 1,
    "Edm.Int64": 1,
    "Edm.Double": 1.5,
    "Edm.Guid": "8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19",
    "Edm.Date": "2025-01-31",
    "Edm.DateTimeOffset": "2025-01-31T08:30:00Z",
    "Edm.TimeOfDay": "08:30:00",
    "Edm.Untyped": "sample",
}


def sample(contract, declared):
    """Returns a value of a property."""
    type = declared["type"]
    if type in PRIMITIVES:
        value = PRIMITIVES[type]
    elif type in contract.enums:
        value = contract.enums[type]["members"][0]
    else:
        value = {}
    return [value] if declared.get("collection") else value


def other(contract, declared, present):
    """Returns a value of a property that is not the present one."""
    members = contract.enums.get(declared["type"], {}).get("members")
    if members and not declared.get("collection"):
        return next((member for member in members if member != present), members[0])
    return not present if declared["type"] == "Edm.Boolean" else sample(contract, declared)


def wrong(contract, declared):
    """Returns a value that is not of a property's type."""
    type = declared["type"]
    value = 7 if type not in ("Edm.Int32", "Edm.Int64", "Edm.Double") else "seven"
    if type == "Edm.Untyped":
        return None
    return [value] if declared.get("collection") else value


def places(contract, type, value, steps=()):
    """Yields the places of the properties that a value has, and of those within them: the names and indexes that lead
    to it, and what the contract says of it."""
    for name, declared in contract.properties(type, value).items():
        inner = value.get(name)
        if inner is None:
            continue
        place = (*steps, name)
        yield place, declared
        if declared["type"] in contract.types:
            elements = enumerate(inner) if declared.get("collection") else [(None, inner)]
            for index, element in elements:
                within = place if index is None else (*place, index)
                yield from places(contract, declared["type"], element, within)


def enum_places(contract, type, value):
    """Yields the places of the enums that a value has."""
    return (
        (steps, declared) for steps, declared in places(contract, type, value) if declared["type"] in contract.enums
    )


def complex_places(contract, type, value):
    """Yields the places of the objects within a value."""
    for steps, declared in places(contract, type, value):
        if declared["type"] in contract.types:
            yield (*steps, 0) if declared.get("collection") else steps


def put(value, steps, new):
    """Sets what is at a place."""
    for step in steps[:-1]:
        value = value[step]
    value[steps[-1]] = new


def holder(contract, type, value, steps):
    """Returns the object that has the property at a place, and its type."""
    for step in steps[:-1]:
        if isinstance(step, str):
            type = contract.properties(type, value)[step]["type"]
        value = value[step]
    return value, contract.actual(type, value)


def unset(contract, type, value):
    """Returns the properties that no object in a value has, as pairs of a type and a name."""
    found, lacking = set(), set()
    objects = [(type, value)]
    while objects:
        type, value = objects.pop()
        for name, declared in contract.properties(type, value).items():
            inner = value.get(name)
            pair = contract.actual(type, value), name
            if inner is None or inner == []:
                lacking |= set() if declared.get("navigation") else {pair}
                continue
            found.add(pair)
            if declared["type"] in contract.types:
                objects += [
                    (declared["type"], element) for element in (inner if declared.get("collection") else [inner])
                ]
    return lacking - found
