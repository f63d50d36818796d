"""Looks back: every operation that the service carries out was called through an SDK, by each root that has it, and answered."""

import json
import re

from service import REPOSITORY

# What the SDKs of today cannot call: the older one does, in ../python-1.11.
OF_OLDER_SDKS = {
    ("beta", "managedDevice.getCloudPcRemoteActionResults"),
    ("beta", "managedDevice.reprovisionCloudPc"),
    ("beta", "managedDevice.resizeCloudPc"),
    ("beta", "managedDevice.restoreCloudPc"),
}


def test_every_operation_was_called(office, answered):
    log = {line["request_id"]: line for line in office.requests()}
    called = {(root, log[identity]["route"]) for identity, root in answered.items() if log[identity]["status"] < 300}
    assert carried_out(office) - called == OF_OLDER_SDKS


def carried_out(office):
    """The service knows every path of the contract, and says 501 to those operations that it does not carry out."""
    probed = {}
    for root, file in [("beta", "operations.beta.json"), ("v1.0", "operations.v1.json")]:
        for operation in json.loads((REPOSITORY / "contract" / file).read_text())["operations"]:
            # Nothing has this id, so nothing is changed.
            path = re.sub(r"\{[^}]*\}", "00000000-0000-4000-8000-000000000000", operation["path"])
            body = "{}" if operation["method"] in ("POST", "PATCH") else None
            reply = office.call(operation["method"], f"/{root}{path}", body)
            if reply.status != 501:
                probed[reply.request_id] = root
    routes = {line["request_id"]: line["route"] for line in office.requests()}
    return {(root, routes[identity]) for identity, root in probed.items()}
