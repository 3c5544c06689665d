"""The packages of npm that package-lock.json names, as the tests of clients run them."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import live_is_required

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def packages(request: pytest.FixtureRequest) -> Path:
    """The folder with what package-lock.json names, installed once for all runs until that file changes."""
    folder = Path(request.config.cache.mkdir("clients"))
    stamp = folder / "installed.json"
    lock = (HERE / "package-lock.json").read_text(encoding="utf-8")
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # npm takes the folder away first: two processes of one run must not install at once
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != lock:
            stamp.unlink(missing_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, folder)
            done = run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
            if done.returncode and not live_is_required():
                pytest.skip("npm could not install the clients: " + done.stderr.strip().partition("\n")[0])
            assert done.returncode == 0, done.stderr
            stamp.write_text(lock, encoding="utf-8")
    return folder / "node_modules"


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
