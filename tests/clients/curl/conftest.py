"""Tests with curl against a real service."""

import json
import subprocess
from dataclasses import dataclass

import pytest

# Time limit of one request, seconds.
ANSWER_TIME_MAX = 30


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: dict
    body: str

    def json(self) -> dict:
        return json.loads(self.body)


@pytest.fixture(scope="session")
def curl(office):
    """Runs curl with the office's CA and administrator token; `body` is the standard input (`@-`)."""

    administrator = office.token()

    def call(path, *options, token=administrator, body=b"") -> Answer:
        # Ignores the user's curl configuration; curl requires this option to be the first.
        command = ["curl", "--disable", "--silent", "--show-error", "--path-as-is", "--globoff"]
        command += ["--max-time", str(ANSWER_TIME_MAX)]
        command += ["--cacert", office.authority_file, "--write-out", "%{stderr}%{http_code} %{header_json}"]
        command += ["--header", f"Authorization: Bearer {token}"] if token else []
        done = subprocess.run([*command, *options, office.https + path], input=body, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        status, headers = done.stderr.decode().split(" ", 1)
        return Answer(int(status), json.loads(headers), done.stdout.decode())

    return call
