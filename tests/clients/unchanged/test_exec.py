"""`cloudpc exec` itself: exit codes, signals, and hosts that the service does not stand in for."""

import signal
import subprocess

import pytest

from service import SCENARIOS, Service

CLOUD_PCS = "https://graph.microsoft.com/beta/deviceManagement/virtualEndpoint/cloudPCs?$top=1&$select=displayName"


def test_the_exit_code_is_that_of_the_program(tools):
    for command, code in [(["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137), (["no-such-program"], 127)]:
        process = tools.start(*command)
        process.communicate()
        assert process.returncode == code


def test_a_signal_reaches_the_program(tools):
    process = tools.start("sh", "-c", "trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("stopped\n", 3)


def test_curl_reads_graph_and_is_refused_elsewhere(tools, office):
    page = tools.run("curl", "-sS", "-H", f"Authorization: Bearer {office.token()}", CLOUD_PCS)
    assert '"@odata.nextLink":"https://graph.microsoft.com/beta/' in page
    elsewhere = tools.start("curl", "-sS", "https://example.com/")
    _, err = elsewhere.communicate()
    assert "403" in err


@pytest.fixture(scope="module")
def lasting():
    """A service with `--proxy`."""
    with Service(SCENARIOS / "office.toml", proxy=True) as service:
        yield service


def test_a_lasting_proxy_serves_programs_that_are_told_of_it(lasting):
    command = ["curl", "-sS", "--proxy", lasting.proxy, "--cacert", lasting.authority_file, "-H"]
    page = subprocess.check_output([*command, f"Authorization: Bearer {lasting.token()}", CLOUD_PCS], text=True)
    assert '"@odata.nextLink":"https://graph.microsoft.com/beta/' in page
