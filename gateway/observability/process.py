"""What the process itself takes: processor, memory, files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.observability.metrics import Reading

_STATM = Path("/proc/self/statm")
_FILES = Path("/proc/self/fd")


def readings() -> Iterator[Reading]:
    """Give what this process has taken; memory and files where the system says it (Linux)."""
    yield Reading("process_cpu_seconds", "Processor time of all threads, in user and system.", time.process_time())
    try:
        pages = int(_STATM.read_text().split()[1])
        files = len(os.listdir(_FILES))
    except OSError:
        return
    yield Reading("process_resident_memory_bytes", "Bytes that are resident.", pages * os.sysconf("SC_PAGE_SIZE"), is_counter=False)
    yield Reading("process_open_fds", "Files and connections that are open.", files, is_counter=False)
