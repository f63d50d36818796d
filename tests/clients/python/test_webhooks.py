"""Webhooks: a receiver that verifies messages with the library of Standard Webhooks, and is down for a while."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from graph import ANSWER_TIME_MAX
from service import SCENARIOS, Service

ENDPOINT = "/beta/deviceManagement/virtualEndpoint"
ANY_CHANGE = "When a Cloud PC changes"
COMPLETED = "When a remote action on a Cloud PC completes"


class Receiver:
    """A receiver on this machine. It confirms webhooks, and answers messages with `status`."""

    def __init__(self):
        messages = self.messages = []
        receiver = self
        self.status = 202
        self.attempts = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                asked = parse_qs(urlsplit(self.path).query).get("validationToken")
                if asked:
                    return self.answer(200, asked[0].encode())
                receiver.attempts += 1
                if receiver.status < 300:
                    messages.append((dict(self.headers), body))
                return self.answer(receiver.status, b"")

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def notifications(self):
        return [notification for _, body in self.messages for notification in json.loads(body)["value"]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    config = tmp_path_factory.mktemp("webhooks") / "cloudpc.toml"
    config.write_text("[webhooks]\nallow_loopback = true\n")
    with Service(SCENARIOS / "office.toml", config) as service:
        yield service


def eventually_true(look):
    """Polls until `look` returns something true."""
    deadline = time.monotonic() + ANSWER_TIME_MAX
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def create(fleet, receiver, scenario):
    body = {"notificationUrl": receiver.url, "scenario": scenario, "clientState": "tests"}
    reply = fleet.call("POST", f"{ENDPOINT}/webhooks", body)
    assert reply.status == 201, reply
    return reply.json()


def reboot(fleet, cloud_pc):
    assert fleet.call("POST", f"{ENDPOINT}/cloudPCs/{cloud_pc}/reboot").status == 204


def test_messages_are_verified_by_the_library_of_standard_webhooks(fleet):
    receiver = Receiver()
    webhook = create(fleet, receiver, COMPLETED)
    cloud_pc = fleet.rows(f"{ENDPOINT}/cloudPCs")[0]["id"]
    reboot(fleet, cloud_pc)
    fleet.rest()
    eventually_true(lambda: receiver.messages)
    headers, body = receiver.messages[0]
    told = Webhook(webhook["signingKey"]).verify(body, {name.lower(): value for name, value in headers.items()})
    assert [one["resourceData"]["cloudPcId"] for one in told["value"]] == [cloud_pc]
    assert told["value"][0]["clientState"] == "tests"
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook["signingKey"]).verify(body + b" ", {name.lower(): value for name, value in headers.items()})
    assert fleet.call("DELETE", f"{ENDPOINT}/webhooks/{webhook['id']}").status == 204


def test_a_receiver_that_was_down_for_ten_minutes_gets_everything_in_order(fleet):
    receiver = Receiver()
    webhook = create(fleet, receiver, ANY_CHANGE)
    cloud_pcs = [row["id"] for row in fleet.rows(f"{ENDPOINT}/cloudPCs")[:3]]
    receiver.status = 503
    for cloud_pc in cloud_pcs:
        reboot(fleet, cloud_pc)
    fleet.rest()
    eventually_true(lambda: receiver.attempts)
    for _ in range(10):
        fleet.advance("1m")
    shown = fleet.call("GET", f"{ENDPOINT}/webhooks/{webhook['id']}").json()
    assert shown["status"] == "failing" and "503" in shown["statusDetail"], shown
    receiver.status = 200

    def completed():
        fleet.advance("10m")
        ends = [one for one in receiver.notifications() if one["resourceData"].get("state") == "done"]
        return {one["resourceData"]["cloudPcId"] for one in ends} == set(cloud_pcs)

    eventually_true(completed)
    numbers = [int(one["id"].rsplit("-", 1)[1]) for one in receiver.notifications()]
    assert numbers == sorted(set(numbers)), "each once, in order"
    for cloud_pc in cloud_pcs:
        of_action = [one for one in receiver.notifications() if one["resourceData"].get("cloudPcId") == cloud_pc]
        assert of_action[0]["changeType"] == "created"
        assert of_action[-1]["resourceData"]["state"] == "done"
    eventually_true(lambda: fleet.call("GET", f"{ENDPOINT}/webhooks/{webhook['id']}").json()["status"] == "active")
