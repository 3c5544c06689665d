"""Leave live tests out where their servers are not named or their data is not there, and those of clients and of the wheel where there is
no Node.js or hatchling; say so at the end of the run. REQUIRE_LIVE=1 makes that a failure."""

from __future__ import annotations

import gc
import os
import shutil
from collections import Counter
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.forms import is_set
from tests.servers import MONGODB, REPLICA, SERVERS

ROOT = Path(__file__).parent.parent
SNB = "TEST_SNB_DIR"
CHINOOK = "CHINOOK_DATA"
PSQL = "psql"
NODE = "node and npm"
HATCHLING = "hatchling"
LEFT_OUT = "left out for want of"

_left_out: pytest.StashKey[Counter[str]] = pytest.StashKey()


class _Counting:
    """Counts what was left out, wherever it was: tests run in several processes, and their reports come to one."""

    def __init__(self, left_out: Counter[str]) -> None:
        self._left_out = left_out

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "setup":
            self._left_out.update(str(value) for name, value in report.user_properties if name == LEFT_OUT)


def pytest_configure(config: pytest.Config) -> None:
    left_out = config.stash[_left_out] = Counter()
    config.pluginmanager.register(_Counting(left_out))
    config.pluginmanager.register(_Gathering(left_out))
    mongo = urlsplit(os.environ.get(MONGODB.variable, ""))
    if mongo.port:
        # PyMongo leaves a socket to the collector when it is cancelled while it connects (pool_shared._async_create_connection closes
        # it on an OSError alone); Python tells of it in whatever test runs then.
        config.addinivalue_line("filterwarnings", rf"ignore:unclosed <socket.*raddr=\('[^']+', {mongo.port}\)>:ResourceWarning")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is collected from the garbage collector: 18,000 tests and their modules stay to the end, and each look at them takes
    a third of a second. It looks at the rest as seldom as that of a gateway that serves (`gateway/http/server.py`)."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20, 200)
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest tests: at the end one process would wait for the other.

    Tests that cannot run are counted and gone, as long as nobody requires them: to skip 10,000 takes 20 s of CPU.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    if live_is_required():
        return
    missing = [_missing(item) for item in items]
    left_out = config.stash[_left_out]
    left_out.update(name for names in missing for name in names)
    config.hook.pytest_deselected(items=[item for item, names in zip(items, missing, strict=True) if names])
    items[:] = [item for item, names in zip(items, missing, strict=True) if not names]


class _Gathering:
    """Takes the counts of processes, which have all collected the same tests."""

    def __init__(self, left_out: Counter[str]) -> None:
        self._left_out = left_out

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        counts = getattr(node, "workeroutput", {}).get(LEFT_OUT)
        if counts is not None and not self._left_out:
            self._left_out.update(counts)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = _missing(item)
    if missing:
        item.user_properties += [(LEFT_OUT, name) for name in missing]
        pytest.skip(f"needs {' and '.join(missing)}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    left_out = session.config.stash[_left_out]
    workeroutput = getattr(session.config, "workeroutput", None)  # of one of several processes
    if workeroutput is not None and not live_is_required():
        workeroutput[LEFT_OUT] = dict(left_out)
    if not left_out:
        return
    if live_is_required() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    elif not live_is_required() and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    yield  # all other summaries: ours stands below them
    left_out = terminalreporter.config.stash[_left_out]
    if not left_out:
        return
    required = live_is_required()
    terminalreporter.section("left out: live tests", red=required, yellow=not required)
    for line in _how_to_run(left_out):
        terminalreporter.line(line)
    if required:
        terminalreporter.line("FAILED: REQUIRE_LIVE is set, and the tests above were left out.", red=True, bold=True)


@pytest.fixture(scope="session")
def snb_dir() -> Path:
    """The folder with the LDBC sample: TEST_SNB_DIR, else where it lies beside the project."""
    folder = _find_snb()
    assert folder is not None, "tests without the folder are left out before their fixtures are made"
    return folder


@pytest.fixture(scope="session")
def chinook_dir() -> Path:
    """The folder with the databases that already exist: CHINOOK_DATA, else where it lies beside the project."""
    folder = _find_chinook()
    assert folder is not None, "tests without the folder are left out before their fixtures are made"
    return folder


def _missing(item: pytest.Item) -> list[str]:
    """What would let this test run: variables, or programs. A ``live`` mark without arguments needs every server."""
    needed = [name for mark in item.iter_markers("live") for name in mark.args or [s.variable for s in SERVERS]]
    missing = [name for name in dict.fromkeys(needed) if not os.environ.get(name)]
    if "snb_dir" in getattr(item, "fixturenames", ()) and _find_snb() is None:
        missing.append(SNB)
    if "chinook_dir" in getattr(item, "fixturenames", ()):
        missing += [CHINOOK] if _find_chinook() is None else []
        missing += [] if shutil.which(PSQL) else [PSQL]
    if item.get_closest_marker("node") and not (shutil.which("node") and shutil.which("npm")):
        missing.append(NODE)
    if item.get_closest_marker("wheel") and find_spec(HATCHLING) is None:
        missing.append(HATCHLING)
    return missing


def _find_snb() -> Path | None:
    named = os.environ.get(SNB)
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "ldbc-snb"
    return folder if folder.is_dir() else None


def _find_chinook() -> Path | None:
    named = os.environ.get(CHINOOK)
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "chinook"
    return folder if (folder / "load.py").is_file() else None


def live_is_required() -> bool:
    """Return whether a test that is left out is a failure."""
    return is_set("REQUIRE_LIVE")


def _how_to_run(left_out: Counter[str]) -> list[str]:
    servers = [s for s in (*SERVERS, REPLICA) if left_out[s.variable]]
    lines = [f"{left_out[s.variable]:5} tests that need {s.name} ({s.variable} is not set)" for s in servers]
    if left_out[SNB]:
        lines.append(f"{left_out[SNB]:5} tests that need the LDBC sample ({SNB} names no folder)")
    if left_out[CHINOOK]:
        lines.append(f"{left_out[CHINOOK]:5} tests that need the databases of Chinook ({CHINOOK} names no folder with its load.py)")
    if left_out[PSQL]:
        lines.append(f"{left_out[PSQL]:5} tests that need {PSQL} (it is not installed, or not on the PATH)")
    if left_out[NODE]:
        lines.append(f"{left_out[NODE]:5} tests that need {NODE} (they are not installed, or not on the PATH)")
    if left_out[HATCHLING]:
        lines.append(f"{left_out[HATCHLING]:5} tests that need {HATCHLING} (it is not installed: pip install {HATCHLING})")
    if servers:
        lines += ["To run them:", "  docker compose up -d", *(f"  export {s.variable}='{s.compose_url}'" for s in SERVERS)]
    if left_out[REPLICA.variable]:
        lines += ["To run those of a replica:", f"  export {REPLICA.variable}=<the URL of a streaming replica of that PostgreSQL>"]
    if left_out[SNB]:
        lines += [
            "To run those of the sample:",
            f"  export {SNB}=<the folder with users.ndjson, posts.ndjson, events.ndjson, follows.ndjson>",
        ]
    if left_out[CHINOOK]:
        lines += ["To run those of Chinook:", f"  export {CHINOOK}=<the folder with load.py, chinook.sqlite and the files beside them>"]
    return lines
