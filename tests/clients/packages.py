"""Where `scripts/setup tests` installs what the tests of several suites use."""

import os
import shutil
from pathlib import Path

CLIENTS = Path(__file__).parent
GO_MODULE = CLIENTS / "go"
GO = shutil.which("go", path=f"{os.environ['PATH']}:{GO_MODULE / '.venv' / 'bin'}")
GO_SDK_PROGRAM = CLIENTS.parents[1] / "target" / "go-sdk" / "go-sdk"
JAVA_PACKAGES = CLIENTS / "java" / "jars"
NODE_PACKAGES = CLIENTS / "javascript" / "node_modules"
AZURE_CLI = CLIENTS / "unchanged" / "azure-cli" / ".venv" / "bin" / "az"
M365 = CLIENTS / "unchanged" / "m365" / "node_modules" / ".bin" / "m365"
