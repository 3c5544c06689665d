"""``python -m tests.killing.started LEASE_S …``: ``gateway …``, whose leases of deliveries and of the log end after so many seconds.

What a killed relay holds is free again when its lease ends: that of ``gateway`` itself after half a minute.
"""

from __future__ import annotations

import sys

from gateway.cli import main
from gateway.writes import sequencer, worker

if __name__ == "__main__":
    worker.LEASE_S = sequencer.LEASE_S = float(sys.argv.pop(1))
    main()
