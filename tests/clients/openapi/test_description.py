"""The OpenAPI descriptions are valid, and the service keeps to them whatever a caller sends.

`CLOUDPC_EXAMPLES` sets the number of examples of an operation for a longer run.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from openapi_spec_validator import validate

from service import SCENARIOS, Service

EXAMPLES = int(os.environ.get("CLOUDPC_EXAMPLES", "0"))
SHORT_RUN_EXAMPLES = 3
# The short run leaves out paths that lead to operations of other paths, reports that are like
# others, and for v1.0 the systematic phase, since most of its operations are in beta too.
SHORT_RUN = ["--exclude-path-regex", r"^/(me|users/\{user-id\})/cloudP|/reports/get"]
SHORT_RUN_OF = {"v1.0": [*SHORT_RUN, "--phases", "fuzzing"], "beta": SHORT_RUN}
SETTINGS = Path(__file__).with_name("schemathesis.toml")
LENIENCY = Path(__file__).with_name("leniency.py")
# Least share of the operations that have succeeded at least once; others need ids that go together.
SUCCESS_SHARE_MIN = 0.35
# The public client of the service.
BUILT_IN_CLIENT = "6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10"
ADA, ADAS_PASSWORD = "ada@contoso.test", "tests-only-ada"
# How often a key is that of something that exists.
KNOWN_KEYS = 0.8


@pytest.fixture
def fleet():
    """A service whose fleet no other test uses."""
    with Service(SCENARIOS / "office.toml") as service:
        yield service


def description(service, root):
    return service.call("GET", f"/_cloudpc/openapi/{root}.json").json()


@pytest.mark.parametrize("root", ["v1.0", "beta"])
def test_description_is_valid(office, root):
    validate(description(office, root))


@pytest.mark.parametrize("root", ["v1.0", "beta"])
def test_service_keeps_to_its_description(fleet, root, tmp_path):
    """As an application."""
    run(fleet, root, fleet.token(), [] if EXAMPLES else SHORT_RUN_OF[root], tmp_path)
    answers = fleet.requests()
    succeeded = {answer["route"] for answer in answers if answer["status"] < 300}
    assert len(succeeded) / len({answer["route"] for answer in answers}) > SUCCESS_SHARE_MIN, sorted(succeeded)


def test_service_keeps_to_its_description_for_a_person(fleet, tmp_path):
    """As a signed-in user, whose own Cloud PCs are below `/me`."""
    run(fleet, "beta", device_code_token(fleet, ADA, ADAS_PASSWORD), ["--include-path-regex", "^/me/"], tmp_path)


def run(service, root, token, selection, directory):
    """Runs schemathesis, and fails with its report."""
    document = description(service, root)
    (directory / "openapi.json").write_text(json.dumps(document))
    (directory / "schemathesis.toml").write_text(f"{SETTINGS.read_text()}\n{fleet_settings(service, root, document)}")
    command = [Path(sys.executable).with_name("st"), "--config-file", directory / "schemathesis.toml", "run"]
    command += [directory / "openapi.json", "--url", f"{service.https}/{root}", *selection]
    command += ["--max-examples", str(EXAMPLES or SHORT_RUN_EXAMPLES)]
    command += ["--tls-verify", service.authority_file, "--header", f"Authorization: Bearer {token}"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(LENIENCY)}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def device_code_token(service, user, password):
    """Returns a token of a person who signs in with a device code."""

    def post(endpoint, **form):
        url = f"{service.https}/{service.tenant_id}/oauth2/v2.0/{endpoint}"
        answer = requests.post(url, data={"client_id": BUILT_IN_CLIENT, **form}, verify=service.authority_file)
        return answer.json()

    started = post("devicecode", scope="https://graph.microsoft.com/.default")
    service.sign_in(started["verification_uri"], started["user_code"], user, password)
    grant_type = "urn:ietf:params:oauth:grant-type:device_code"
    return post("token", grant_type=grant_type, device_code=started["device_code"])["access_token"]


def fleet_settings(service, root, document):
    """Returns settings that give path parameters the ids of what exists."""
    settings = ""
    for name, ids in sorted(known_ids(service, root, document).items()):
        settings += f"[dictionaries.{json.dumps(name)}]\nvalues = {json.dumps(ids)}\n"
        settings += f"[parameters.{json.dumps(name)}]\ndictionary = {json.dumps(name)}\nprobability = {KNOWN_KEYS}\n"
    return settings


def known_ids(service, root, document):
    """Returns the ids of each collection of the tenant, by the name of its path parameter."""
    ids = {}
    for path in document["paths"]:
        collection, parameter = re.fullmatch(r"(.*?)(?:/\{([^/]*)\})?", path).groups()
        stands_alone = parameter and "{" not in collection and not collection.startswith("/me")
        if stands_alone and "get" in document["paths"].get(collection, {}):
            rows = service.call("GET", f"/{root}{collection}").json()["value"]
            if rows:
                ids[parameter] = [row["id"] for row in rows[:5]]
    return ids
