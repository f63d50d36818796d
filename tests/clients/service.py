"""A real `cloudpc serve`, with controls for its simulated fleet.

Requests use TLS, as those of any client do, and the credentials of the owner that the service created. This module
refuses to know what any test is about.
"""

import json
import os
import re
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")).resolve() / "debug" / "cloudpc"
SCENARIOS = Path(__file__).parent / "scenarios"

# Time limit for all open actions to end, seconds.
REST_TIME_MAX = 240
# Audit events that a failed test shows.
EVENTS_SHOWN = 60


@dataclass(frozen=True)
class Reply:
    """A response of the service."""

    status: int
    text: str
    request_id: str

    def json(self):
        return json.loads(self.text)


class Service:
    """A service on free ports, with a temporary data directory. Stops at the end of the `with` block."""

    driver = "sim"

    def __init__(self, scenario: Path, config: Path | None = None, proxy: bool = False):
        self._directory = tempfile.TemporaryDirectory(prefix="cloudpc-clients-")
        self.data = Path(self._directory.name) / "cloudpc-data"
        self.log = Path(self._directory.name) / "log"
        self.prepare()
        command = [PROGRAM, "serve", "--data", self.data, "--scenario", scenario, "--driver", self.driver]
        command += ["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"]
        command += ["--config", config] if config else []
        command += ["--proxy", "127.0.0.1:0"] if proxy else []
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, "RUST_LOG": "info"}
            )
        first_line = self._process.stdout.readline()
        assert first_line == b"cloudpc is ready.\n", (first_line, self.log.read_text())
        if proxy:
            lines = iter(self._process.stdout.readline, b"")
            self.proxy = next(line.split()[1].decode() for line in lines if line.startswith(b"  Proxy "))
        admin = json.loads((self.data / "admin.json").read_text())
        self.https, self.http = admin["httpsUrl"], admin["httpUrl"]
        self.tenant_id, self.client_id, self.client_secret = admin["tenantId"], admin["clientId"], admin["clientSecret"]
        self.authority_file = self.data / "ca.pem"
        self._token = None

    def prepare(self) -> None:
        """Prepares the data directory before the first start."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._directory.cleanup()

    def requests(self) -> list[dict]:
        """Returns the log lines of the answered requests."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines())
        return [line["fields"] for line in lines if line["fields"]["message"] == "request"]

    def call(self, method: str, path: str, body: str | dict | None = None, token: str | None = None) -> Reply:
        """Calls the service with a token, by default that of its administrator."""
        text = json.dumps(body) if isinstance(body, dict) else body
        request = urllib.request.Request(
            self.https + path,
            method=method,
            data=None if text is None else text.encode(),
            headers={"Authorization": f"Bearer {token or self.token()}", "Content-Type": "application/json"},
        )
        return self._open(request)

    def rows(self, path: str, token: str | None = None) -> list[dict]:
        """Returns the rows of a list, from all of its pages."""
        rows, link = [], self.https + path
        while link:
            page = self.call("GET", link.removeprefix(self.https), token=token).json()
            rows += page["value"]
            link = page.get("@odata.nextLink")
        return rows

    def last_audit_events(self) -> list[dict]:
        """Returns the latest audit events, oldest first."""
        path = "/beta/deviceManagement/virtualEndpoint/auditEvents"
        options = f"$orderby=activityDateTime%20desc&$top={EVENTS_SHOWN}"
        return self.call("GET", f"{path}?{options}").json()["value"][::-1]

    def token(self) -> str:
        """Returns an access token of the administrator application."""
        if self._token is None:
            form = {
                "grant_type": "client_credentials",
                "client_id": self.client_id,
                "client_secret": self.client_secret,
                "scope": "https://graph.microsoft.com/.default",
            }
            address = f"{self.https}/{self.tenant_id}/oauth2/v2.0/token"
            request = urllib.request.Request(address, data=urllib.parse.urlencode(form).encode())
            self._token = self._open(request).json()["access_token"]
        return self._token

    def password(self, user: str) -> str:
        """Returns the password that the first start generated for a user."""
        rows = json.loads((self.data / "passwords.json").read_text())
        return next(row["password"] for row in rows if row["userPrincipalName"] == user)

    def sign_in(self, page: str, code: str, user: str, password: str) -> None:
        """Enters a device code, user name and password on the sign-in page, as a person would."""
        browser = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.authority_file)),
            urllib.request.HTTPCookieProcessor(),
        )
        asked = browser.open(f"{page}?{urllib.parse.urlencode({'user_code': code})}").read().decode()
        form_token = re.search(r'name="form_token" value="([^"]+)"', asked)[1]
        form = {"user_code": code, "user_name": user, "password": password, "form_token": form_token}
        browser.open(page, data=urllib.parse.urlencode(form).encode())

    @contextmanager
    def paused(self):
        """Pauses the fleet's clock within the block, to inspect open actions; afterwards waits for them to end."""
        self._lever("POST", "/clock/pause")
        try:
            yield
        finally:
            self._lever("POST", "/clock/resume")
            self.rest()

    def advance(self, by: str) -> None:
        """Advances the fleet's clock by a duration such as `90s`."""
        self._lever("POST", "/clock/advance", {"by": by})

    def rest(self) -> None:
        """Advances the clock until nothing is left to do. One call is limited, so it may take several."""
        self._until_idle(lambda: self._lever("POST", "/clock/advanceToIdle"))

    def wait_for_rest(self) -> None:
        """Waits until no action is open. Faster than advancing the clock if there are many actions."""
        self._until_idle(lambda: time.sleep(0.1) or self._lever("GET", "/clock"))

    @staticmethod
    def _until_idle(look) -> None:
        deadline = time.monotonic() + REST_TIME_MAX
        while open_actions := look().json()["openActions"]:
            assert time.monotonic() < deadline, f"{open_actions} actions are still open"

    @contextmanager
    def fault(self, effect: dict, **where):
        """Adds a scripted fault for the duration of the block."""
        number = self._lever("POST", "/faults", {**where, "effect": effect}).json()["number"]
        try:
            yield
        finally:
            self._lever("DELETE", f"/faults/{number}")

    def saved(self) -> str:
        """Returns the whole fleet as a scenario."""
        return self._lever("GET", "/scenario").text

    def _lever(self, method, path, body=None) -> Reply:
        reply = self.call(method, f"/_cloudpc{path}", body)
        assert reply.status in (200, 201, 204), reply
        return reply

    def _open(self, request) -> Reply:
        context = ssl.create_default_context(cafile=self.authority_file)
        try:
            with urllib.request.urlopen(request, context=context, timeout=90) as response:
                return Reply(response.status, response.read().decode(), response.headers["request-id"])
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.read().decode(), error.headers["request-id"])
