"""File systems that are mounted for a test: full ones, and those that are read only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def in_a_mount(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script that may mount file systems, which only it sees."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "/bin/bash", "-c"]
    if subprocess.run([*unshare, "mount -t tmpfs none /mnt"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system in a namespace of its own")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    return subprocess.run([*unshare, script], check=False, capture_output=True, text=True, env=environment)
