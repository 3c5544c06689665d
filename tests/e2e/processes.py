"""``gateway serve`` as a process, as it is started by an operator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.preloaded import Popen


@contextmanager
def serving(folder: Path, **variables: str) -> Iterator[str]:
    """Give the address of a gateway with these variables, on embedded stores in ``folder``; it ends with the block."""
    ours = ("DATABASE_URL", "MONGO_URL", "NEO4J_URL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_") and name not in ours}
    environment |= {"GATEWAY_DATA_DIR": str(folder), "GATEWAY_DRAIN_DELAY_S": "0", **variables}  # nobody asks one that was told to end
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0"]
    with Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        last = ""
        for last in process.stdout:
            if last.startswith("Serving on "):
                break
        try:
            assert last.startswith("Serving on "), "the gateway ended instead of serving"
            yield last.removeprefix("Serving on ").strip()
        finally:
            process.terminate()
    assert process.returncode == 0
