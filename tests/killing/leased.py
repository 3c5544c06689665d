"""``gateway`` with leases of deliveries and of the log that end after the seconds of a variable: in production after half a minute."""

from __future__ import annotations

import os

from gateway import cli
from gateway.writes import sequencer, worker

VARIABLE = "KILLING_LEASE_S"


def main() -> None:
    if seconds := os.environ.get(VARIABLE):
        worker.LEASE_S = sequencer.LEASE_S = float(seconds)
    cli.main()


if __name__ == "__main__":
    main()
