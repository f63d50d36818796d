"""Invalid requests: each gets a clear error in Graph's envelope, and changes nothing."""

import gzip
import json
import re
import socket
import ssl

import pytest

VIRTUAL_ENDPOINT = "/beta/deviceManagement/virtualEndpoint"
CLOUD_PCS = f"{VIRTUAL_ENDPOINT}/cloudPCs"
CLOUD_PC = f"{CLOUD_PCS}/0ff1ce00-0000-4000-8000-0000000000d1"
DEVICE = "/beta/deviceManagement/managedDevices/0ff1ce00-0000-4000-8000-0000000000e1"
PARTNERS = f"{VIRTUAL_ENDPOINT}/externalPartners"
PARTNER = f"{PARTNERS}/0ff1ce00-0000-4000-8000-00000000fab1"
DEPLOY = f"{PARTNER}/deployAgent"
RESULTS = f"{PARTNER}/retrieveDeployAgentActionResults"
CONFIGURE = f"{PARTNER}/configureAgent"
NOBODY = "00000000-0000-4000-8000-000000000000"

MIB = 1 << 20


def posted(body):
    """Returns the curl options that post `body`: bytes unchanged, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ["--header", "Content-Type: application/json", "--data-binary", "@-"], data


def agent(url="https://agents.fabrikam.test/agent.msi", sha256="ab" * 32):
    return {"agentSetting": {"agentUrl": url, "agentSha256": sha256}}


@pytest.fixture
def busy(office):
    """A Cloud PC with a reboot in progress."""
    (desk,) = office.call("GET", f"{CLOUD_PCS}?$filter=displayName%20eq%20%27desk-20%27").json()["value"]
    with office.paused():
        assert office.call("POST", f"{CLOUD_PCS}/{desk['id']}/reboot").status == 204
        yield desk


@pytest.fixture(autouse=True)
def nothing_changes(request, office):
    """Checks that the test changes neither the fleet, the audit log, the deployments nor the reports."""

    def state():
        # The next line saves the fleet, which writes an audit event too.
        events = f"{VIRTUAL_ENDPOINT}/auditEvents?$top=1&$filter=activityType%20ne%20'Save%20Scenario'"
        lists = [events, RESULTS, f"{PARTNER}/retrieveActionReports?$top=1"]
        return [office.saved(), *(office.call("GET", path).json()["value"] for path in lists)]

    if "busy" in request.fixturenames:
        request.getfixturevalue("busy")
    before = state()
    yield
    assert state() == before


def check(answer, status, code, target=None):
    """Checks that the answer is an error in the form that Graph clients read."""
    assert (answer.status, answer.json()["error"]["code"]) == (status, code), answer
    assert answer.headers["content-type"][0].startswith("application/json")
    error = answer.json()["error"]
    assert error.get("target") == target
    assert len(error["message"]) > 20
    inner = error["innerError"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner["date"])
    assert [inner["request-id"]] == answer.headers["request-id"]
    assert [inner["client-request-id"]] == answer.headers["client-request-id"]


BODIES = {
    "nothing": (DEPLOY, b"", "cloudPcIds"),
    "broken JSON": (DEPLOY, b'{"cloudPcIds": [', None),
    "two values": (DEPLOY, b"{} {}", None),
    "no UTF-8": (DEPLOY, b'{"cloudPcIds": ["\xff"]}', None),
    "an array": (DEPLOY, [], None),
    "a text": (DEPLOY, "text", None),
    "deep nesting": (DEPLOY, b'{"cloudPcIds":' + b"[" * 100_000, None),
    "a name twice": (PARTNERS, b'{"enableConnection": true, "enableConnection": false}', None),
    "a name in two spellings": (PARTNERS, b'{"enableConnection": true, "EnableConnection": null}', None),
    "an unknown property": (DEPLOY, {"cloudPcIds": [NOBODY], "colour": "red"}, "colour"),
    "a body where none is taken": (f"{CLOUD_PC}/reboot", {"colour": "red"}, "colour"),
    "a text for a list": (DEPLOY, {"cloudPcIds": NOBODY}, "cloudPcIds"),
    "a number for a text": (DEPLOY, {"cloudPcIds": [1]}, "cloudPcIds/0"),
    "a text for a truth": (PARTNERS, {"partnerId": NOBODY, "enableConnection": "true"}, "enableConnection"),
    "null for a list": (DEPLOY, {"cloudPcIds": None}, "cloudPcIds"),
    "null in a list": (DEPLOY, {"cloudPcIds": [None]}, "cloudPcIds/0"),
    "null for a truth": (PARTNERS, {"partnerId": NOBODY, "enableConnection": None}, "enableConnection"),
    "null for an object": (CONFIGURE, {"agentSetting": None}, "agentSetting"),
    "no ids": (DEPLOY, {"cloudPcIds": []}, "cloudPcIds"),
    "51 ids": (DEPLOY, {"cloudPcIds": [f"{NOBODY[:-2]}{number:02}" for number in range(51)]}, "cloudPcIds"),
    "a blank id": (DEPLOY, {"cloudPcIds": [" "]}, "cloudPcIds"),
    "a NUL in an id": (DEPLOY, {"cloudPcIds": ["a\0b"]}, "cloudPcIds/0"),
    "an unknown member of an enum": (f"{CLOUD_PC}/reprovision", {"osVersion": "windows95"}, "osVersion"),
    "a number for a member": (f"{CLOUD_PC}/reprovision", {"osVersion": 1}, "osVersion"),
    "no GUID for a partner": (PARTNERS, {"partnerId": "fabrikam", "enableConnection": True}, "partnerId"),
    "no GUID for a size": (f"{CLOUD_PC}/resize", {"targetServicePlanId": "big"}, "targetServicePlanId"),
    "an unknown size": (f"{DEVICE}/resizeCloudPc", {"targetServicePlanId": NOBODY}, None),
    "an unknown restore point": (f"{DEVICE}/restoreCloudPc", {"cloudPcSnapshotId": "CPC"}, None),
    "an empty name": (f"{CLOUD_PC}/rename", {"displayName": ""}, "displayName"),
    "what the service sets": (PARTNERS, {"partnerId": NOBODY, "enableConnection": True, "id": NOBODY}, "id"),
    "a checksum that is too short": (CONFIGURE, agent(sha256="ab" * 31), "agentSetting/agentSha256"),
    "a checksum that is too long": (CONFIGURE, agent(sha256="ab" * 33), "agentSetting/agentSha256"),
    "a checksum that is not hexadecimal": (CONFIGURE, agent(sha256="xy" * 32), "agentSetting/agentSha256"),
}


@pytest.mark.parametrize(("path", "body", "target"), BODIES.values(), ids=BODIES)
def test_bodies(curl, path, body, target):
    options, data = posted(body)
    check(curl(path, *options, body=data), 400, "BadRequest", target)


AGENT_URLS = [
    "",
    "agent.msi",
    "file:///etc/passwd",
    "ftp://agents.fabrikam.test/agent.msi",
    "http://agents.fabrikam.test/agent.msi",
    "https://user:password@agents.fabrikam.test/agent.msi",
    "https://127.0.0.1/agent.msi",
    "https://2130706433/agent.msi",
    "https://10.1.2.3/agent.msi",
    "https://172.16.0.1/agent.msi",
    "https://192.168.1.1/agent.msi",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/agent.msi",
    "https://[::ffff:10.1.2.3]/agent.msi",
    "https://[fd00::1]/agent.msi",
    # URLs outside the partner's allow-list.
    "https://agents.fabrikam.test.elsewhere.test/agent.msi",
    "https://agents.fabrikam.test:8443/agent.msi",
]


@pytest.mark.parametrize("url", AGENT_URLS)
def test_agent_urls(curl, url):
    options, data = posted(agent(url))
    check(curl(CONFIGURE, *options, body=data), 400, "BadRequest", "agentSetting/agentUrl")


@pytest.mark.parametrize("size", [2 * MIB, 5 * MIB], ids=["2 MiB", "5 MiB"])
def test_oversized_bodies(curl, size):
    options, data = posted({"cloudPcIds": ["x" * size]})
    answer = curl(DEPLOY, *options, body=data)
    check(answer, 413, "RequestEntityTooLarge")
    assert "1048576" in answer.body


def test_a_gzip_bomb_is_not_opened(curl):
    options, data = posted(gzip.compress(b" " * (64 * MIB)))
    check(curl(DEPLOY, *options, "--header", "Content-Encoding: gzip", body=data), 415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    "media_type",
    ["", " text/plain", " application/xml", " application/x-www-form-urlencoded", " application/json; charset=utf-16"],
)
def test_media_types(curl, media_type):
    options = ["--header", f"Content-Type:{media_type}", "--data-binary", "@-"]
    answer = curl(DEPLOY, *options, body=json.dumps({"cloudPcIds": [NOBODY]}).encode())
    check(answer, 415, "UnsupportedMediaType")


ARGUMENTS = {
    "a quote that stays open": "(activityId='x,cloudPcId='')",
    "a quote inside": "(activityId='it's',cloudPcId='')",
    "an encoded quote inside": "(activityId='it%27s',cloudPcId='')",
    "a parenthesis that stays open": "(activityId=''",
    "a control character": "(activityId='a%00b',cloudPcId='')",
    "no UTF-8": "(activityId='%ff',cloudPcId='')",
    "an unknown parameter": "(activityId='',colour='red')",
    "a parameter twice": "(activityId='',activityId='')",
    "a variable that was not filled in": "(activityId=$activityId,cloudPcId='')",
    "a word": "(activityId=undefined,cloudPcId=null)",
    "a text that is no GUID": "(activityId='desk-1',cloudPcId='')",
    "a doubled quote": "(activityId='it''s',cloudPcId='')",
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_of_functions(curl, arguments):
    answer = curl(RESULTS + arguments)
    check(answer, 400, "BadRequest", answer.json()["error"].get("target"))


def test_null_is_an_argument_that_is_not_given(curl):
    assert curl(RESULTS + "(activityId=null,cloudPcId=null)").json()["value"] == curl(RESULTS).json()["value"]


@pytest.mark.parametrize(
    ("option", "target"),
    [
        ("$colour=red", "$colour"),
        ("$expand=assignments", "$expand"),
        ("$format=xml", "$format"),
        ("$search=%22x%22%20OR%20%22y%22", "$search"),
        ("$top=0", "$top"),
        ("$top=-1", "$top"),
        ("$top=many", "$top"),
        ("$top=1&$top=2", "$top"),
        ("$skip=-1", "$skip"),
        ("$count=perhaps", "$count"),
        ("$select=colour", "$select"),
        ("$orderby=colour", "$orderby"),
        ("$filter=displayName%20eq", "$filter"),
        ("$filter=colour%20eq%20%27red%27", "$filter"),
        ("$filter=status%20eq%20%27asleep%27", "$filter"),
        ("$skiptoken=made-up", "$skiptoken"),
    ],
)
def test_query_options(curl, option, target):
    check(curl(f"{CLOUD_PCS}?{option}"), 400, "BadRequest", target)


def test_the_skip_token_of_another_list(curl):
    link = curl(f"{CLOUD_PCS}?$top=1").json()["@odata.nextLink"]
    token = link.partition("skiptoken=")[2]
    for path in [
        f"{VIRTUAL_ENDPOINT}/galleryImages?$skiptoken={token}",
        f"{CLOUD_PCS}?$filter=id%20ne%20%27x%27&$skiptoken={token}",
        f"{CLOUD_PCS}?$top=1&$skiptoken={token[:-4]}AAAA",
    ]:
        check(curl(path), 400, "BadRequest", "$skiptoken")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", DEPLOY, "POST"),
        ("POST", RESULTS, "GET"),
        ("DELETE", PARTNERS, "GET, POST"),
        ("PUT", PARTNER, "GET, PATCH, DELETE"),
        ("BREW", CLOUD_PCS, "GET"),
    ],
)
def test_methods(curl, method, path, allow):
    answer = curl(path, "--request", method)
    check(answer, 405, "Request_BadRequest")
    assert sorted(answer.headers["allow"][0].split(", ")) == sorted(allow.split(", "))


@pytest.mark.parametrize(
    ("path", "status", "code", "target"),
    [
        (f"{CLOUD_PCS}/no-guid", 404, "ResourceNotFound", None),
        (f"{CLOUD_PCS}/{NOBODY}", 404, "ResourceNotFound", None),
        (f"{CLOUD_PCS}/a%00b", 400, "BadRequest", "a%00b"),
        (f"{VIRTUAL_ENDPOINT}/coffee", 400, "BadRequest", "coffee"),
        ("/v1.0/deviceManagement/virtualEndpoint/externalPartners", 400, "BadRequest", "externalPartners"),
        ("/v2.0/me", 404, "ResourceNotFound", None),
    ],
)
def test_paths(curl, path, status, code, target):
    check(curl(path), status, code, target)


# The second is about the longest URL that curl sends. A head of more than 64 KiB gets no response
# over HTTP/2: the server closes the connection.
@pytest.mark.parametrize("length", [20_000, 900_000])
def test_long_addresses(curl, length):
    answer = curl(CLOUD_PCS, "--http1.1", "--get", "--data-binary", "@-", body=b"$filter=" + b"x" * length)
    check(answer, 414, "RequestUriTooLong")


def test_an_address_of_10_mib(office):
    host, port = office.https.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=office.authority_file)
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=host) as secured:
            secured.sendall(
                b"GET " + CLOUD_PCS.encode() + b"?x=" + b"x" * (10 * MIB) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            head, body = secured.makefile("rb").read().split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 414 ")
    assert json.loads(body)["error"]["code"] == "RequestUriTooLong"


@pytest.mark.parametrize("token", [None, "not.a.token"])
def test_tokens(curl, token):
    answer = curl(CLOUD_PCS, token=token)
    check(answer, 401, "InvalidAuthenticationToken")
    assert answer.headers["www-authenticate"][0].startswith("Bearer ")


def test_a_second_remote_action_on_a_busy_machine(curl, busy):
    check(curl(f"{CLOUD_PCS}/{busy['id']}/reprovision", "--request", "POST"), 409, "remoteActionInProgress")
    device = f"/beta/deviceManagement/managedDevices/{busy['managedDeviceId']}"
    answer = curl(f"{device}/reprovisionCloudPc", "--request", "POST")
    check(answer, 409, "remoteActionInProgress")
    assert "reboot" in answer.json()["error"]["message"]
    results = f"{CLOUD_PCS}/{busy['id']}/retrieveCloudPCRemoteActionResults"
    assert [row["actionName"] for row in curl(results).json()["value"]] == ["Reboot"]
