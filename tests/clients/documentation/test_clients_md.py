"""Runs the snippets of `docs/CLIENTS.md` exactly as they are printed there."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from service import PROGRAM, REPOSITORY, Service

# A fenced code block: its language and its text.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GO_MODULE = REPOSITORY / "tests" / "clients" / "go"
JAVA_PACKAGES = REPOSITORY / "tests" / "clients" / "java" / "jars"
NODE_PACKAGES = REPOSITORY / "tests" / "clients" / "javascript" / "node_modules"
# Time limit of a snippet, compilation included, seconds.
SNIPPET_TIME_MAX = 300
# Output of a snippet that reprovisions the first Cloud PC of the list.
REPROVISIONED = r"desk-\d\d Reprovision \w*\.?\w+\n"


@pytest.fixture(scope="module")
def demo():
    """The demo service, as `make run` starts it."""
    with Service(REPOSITORY / "scenarios" / "demo.toml") as service:
        yield service


@pytest.fixture(autouse=True)
def idle(demo):
    """Several snippets reprovision the same Cloud PC, which refuses a second one meanwhile."""
    demo.rest()


def section(title):
    """Returns the code blocks of a section by language."""
    page = (REPOSITORY / "docs" / "CLIENTS.md").read_text()
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    blocks = {}
    for language, block in BLOCK.findall(text):
        blocks.setdefault(language, []).append(block)
    return blocks


def start(demo, title, command):
    """Starts a command beside `cloudpc-data`, with only those CA variables that the section exports."""
    exports = re.findall(r"^export (\w+)=(\S+)", "".join(section(title).get("sh", [])), re.MULTILINE)
    ours = (
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "JAVA_TOOL_OPTIONS",
    )
    environment = {name: value for name, value in os.environ.items() if name not in ours} | dict(exports)
    environment |= {"PATH": f"{PROGRAM.parent}:{environment['PATH']}", "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=demo.data.parent, env=environment, **pipes)


def finish(process):
    """Waits for a process to succeed, and returns its output."""
    out, err = process.communicate(timeout=SNIPPET_TIME_MAX)
    assert process.returncode == 0, err
    return out


def test_curl(demo):
    here = [block.replace("https://127.0.0.1:8366", demo.https) for block in section("curl")["sh"]]
    command = ["bash", "-euo", "pipefail", "-c"]
    cloud_pcs, token = [json.loads(finish(start(demo, "curl", [*command, block]))) for block in here]
    assert len(cloud_pcs["value"]) == 3
    assert set(cloud_pcs["value"][0]) == {"id", "displayName", "status"}
    assert token["token_type"] == "Bearer"


def test_python(demo):
    snippet = section("Python")["python"][0]
    out = finish(start(demo, "Python", [sys.executable, "-c", snippet]))
    assert re.fullmatch(REPROVISIONED, out), out


def test_python_for_a_person(demo):
    snippet = section("Python")["python"][1]
    process = start(demo, "Python", [sys.executable, "-c", snippet])
    told = process.stdout.readline()
    page, code = re.search(r"(https://\S+) and enter the code (\w+)", told).groups()
    demo.sign_in(page, code, "ada@contoso.test", demo.password("ada@contoso.test"))
    names = finish(process).splitlines()
    assert len(names) == 20
    assert all(name.startswith("desk-") for name in names)


def test_javascript(demo):
    (snippet,) = section("JavaScript")["javascript"]
    # Node resolves packages from the directory of the module.
    module = NODE_PACKAGES / ".snippet.mjs"
    module.write_text(snippet)
    try:
        names = finish(start(demo, "JavaScript", ["node", module])).split()
    finally:
        module.unlink()
    assert sorted(names) == [f"desk-{number:02}" for number in range(1, 61)]


def test_go(demo, tmp_path):
    (snippet,) = section("Go")["go"]
    go = shutil.which("go", path=f"{os.environ['PATH']}:{GO_MODULE / '.venv' / 'bin'}")
    (tmp_path / "main.go").write_text(snippet)
    for name in ("go.mod", "go.sum"):
        shutil.copy(GO_MODULE / name, tmp_path)
    # Compiled separately, since the exported variables are for the snippet, not for the compiler.
    subprocess.run([go, "build", "-o", "snippet", "."], cwd=tmp_path, check=True, timeout=SNIPPET_TIME_MAX)
    out = finish(start(demo, "Go", [tmp_path / "snippet"]))
    assert re.fullmatch(REPROVISIONED, out), out


def test_java(demo, tmp_path):
    keytool, _ = section("Java")["sh"][0].split("export")
    finish(start(demo, "Java", ["bash", "-euc", f"unset JAVA_TOOL_OPTIONS\n{keytool}"]))
    (snippet,) = section("Java")["java"]
    source = tmp_path / "Reprovision.java"
    source.write_text(snippet)
    out = finish(start(demo, "Java", ["java", "-cp", JAVA_PACKAGES / "*", source]))
    assert re.fullmatch(REPROVISIONED, out), out
