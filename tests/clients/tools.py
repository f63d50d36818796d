"""Runs programs that have Microsoft's host names written into them, by `cloudpc exec`."""

import os
import subprocess
import sys

from service import PROGRAM

# Time limit of a program, compilation included, seconds.
PROGRAM_TIME_MAX = 90


class Tools:
    """Runs programs against a service; each gets a home directory of its own."""

    def __init__(self, service, home):
        self.service, self.home = service, home

    def start(self, *command, **environment):
        """Starts a program."""
        names = ("HOME", "AZURE_CONFIG_DIR")
        environment = dict.fromkeys(names, str(self.home)) | {"PYTHONUNBUFFERED": "1"} | environment
        return subprocess.Popen(
            [PROGRAM, "exec", "--data", self.service.data, "--", *command],
            cwd=self.home,
            env=os.environ | {name: str(value) for name, value in environment.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command, **environment):
        """Runs a program that must succeed; returns its output."""
        process = self.start(*command, **environment)
        try:
            out, err = process.communicate(timeout=PROGRAM_TIME_MAX)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
        assert process.returncode == 0, err
        return out

    def python(self, script, *arguments, **environment):
        """Runs a Python script with the packages of the tests."""
        return self.run(sys.executable, "-c", script, *arguments, **environment)

    @property
    def credentials(self):
        """The tenant, client id and client secret of the administrator application."""
        return self.service.tenant_id, self.service.client_id, self.service.client_secret
