"""The parent of workers: what it starts, when, and how it ends. Each test forks in a process of its own."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings, StoreSettings
from gateway.errors import ConfigError
from gateway.http.server import bind
from gateway.http.workers import refuse_workers, shared
from tests import preloaded

Run = Callable[..., tuple[int, list[Any]]]
SCRIPT = """
import sys, time, os, signal
from gateway.config import Settings
from gateway.http import workers
from gateway.http.server import bind
from gateway.observability import logs

def work(post):
{work}

def on_ready():
    print("ready", flush=True)
    {on_ready}

logs.configure("production", sys.stdout)
settings = Settings(port=0, workers=2)
sys.exit(workers.Workers(settings, workers.shared(bind(settings), 2), work, on_ready=on_ready).run())
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return partial(_run, tmp_path)


def _run(folder: Path, work: str, on_ready: str = "pass") -> tuple[int, list[Any]]:
    """Return the exit code, and the lines: those of the log as the worker's number and the message."""
    indented = "\n".join(f"    {line}" for line in work.strip().splitlines())
    (folder / "parent_of_workers.py").write_text(SCRIPT.format(work=indented, on_ready=on_ready))
    done = preloaded.run([sys.executable, "-m", "parent_of_workers"], timeout=120, cwd=folder)
    assert not done.stderr
    return done.returncode, [json.loads(line)["message"] if line.startswith("{") else line for line in done.stdout.splitlines()]


def test_what_is_wrong_with_the_first_workers_ends_all_with_its_code(run: Run) -> None:
    code, lines = run(
        """
if post.number == 1:
    sys.exit(3)
time.sleep(60)
"""
    )
    assert code == 3
    assert lines[0] == "worker 1 ended with code 3 before it took connections; the others are ended, too"
    assert "ready" not in lines


def test_an_error_of_the_settings_is_one_line(run: Run) -> None:
    code, lines = run(
        """
from gateway.errors import ConfigError
raise ConfigError("port = 5: expected another")
"""
    )
    assert code == 1
    assert {"worker 0: port = 5: expected another", "worker 1: port = 5: expected another"} & set(lines)


def test_a_worker_that_ends_again_and_again_is_started_later_each_time(run: Run) -> None:
    code, lines = run(
        """
post.say_ready()
if post.number == 1:
    time.sleep(60)
if post.restarts == 3:
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)
time.sleep(0.2)
os._exit(7)
"""
    )
    assert code == 0
    assert [line for line in lines if "started in" in line] == [
        "worker 0 ended with code 7; another one is started in 0 s",
        "worker 0 ended with code 7; another one is started in 0.25 s",
        "worker 0 ended with code 7; another one is started in 0.5 s",
    ]
    assert lines[0] == "ready"


def test_workers_are_told_what_they_are(run: Run) -> None:
    code, lines = run(
        """
told = (post.number, post.count, post.restarts, post.settings.workers, post.listeners[0].getsockname()[1] > 0)
os.write(1, f"{' '.join(map(str, told))}\\n".encode())  # a line at once: two write to the same pipe
post.say_ready()
time.sleep(60)
""",
        on_ready="os.kill(os.getpid(), signal.SIGTERM)",
    )
    assert code == 0
    assert sorted(line for line in lines if line[0].isdigit()) == ["0 2 0 2 True", "1 2 0 2 True"]


def test_a_port_is_shared_by_workers_alone() -> None:
    settings = Settings(port=0, workers=3)
    listeners = shared(bind(settings), 3)
    try:
        [port] = {listener.getsockname()[1] for listener in listeners}
        listeners[0].listen()
        with pytest.raises(ConfigError, match="something listens on this one already"):
            bind(settings.model_copy(update={"port": port}))
        with socket.create_connection(("127.0.0.1", port)):
            pass
    finally:
        for listener in listeners:
            listener.close()


def test_rows_in_memory_are_for_one_worker() -> None:
    stores = {"notes": StoreSettings(url="memory://")}
    refuse_workers(Settings(stores=stores))
    with pytest.raises(ConfigError) as caught:
        refuse_workers(Settings(stores=stores, workers=2))
    assert caught.value.message == "stores.notes.url: expected rows that all 2 workers see, got a store of kind memory"


def test_a_worker_that_has_just_begun_hears_that_it_is_to_end(run: Run) -> None:
    code, lines = run(
        """
if post.number == 0 and post.restarts == 0:
    os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
"""
    )
    assert (code, lines) == (0, [])
