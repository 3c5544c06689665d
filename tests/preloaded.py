"""Processes of ``python -m …`` that need not read Python's files first: forks of one that has read them, a process for all tests here.

    with Popen([sys.executable, "-m", "gateway", "serve"], env=…, stdout=PIPE, text=True) as process: …

A fork is a process as any: it has its own memory, folder, environment, files and signals, and whoever started it waits for it. What a
start imports is for tests with a process of their own. PERF: 0.3 s of CPU to the first answer instead of 1.1.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import gc
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, Self

import orjson

READ = (
    *("gateway.app", "gateway.capacity", "gateway.graph.checks", "gateway.graph.replicating", "gateway.graphs", "gateway.relaying"),
    *("gateway.cli.moving", "gateway.cli.relaying", "gateway.cli.running", "gateway.cli.serving"),
    *("gateway.http.inherited", "gateway.http.server", "gateway.http.workers", "uvicorn.lifespan.on", "uvicorn.loops.uvloop"),
    *("gateway.stores.mongo.store", "gateway.stores.neo4j.store", "gateway.stores.sql.store"),
    *("gateway.stores.sql.migrations", "gateway.stores.sql.needs", "aiosqlite", "sqlalchemy.ext.asyncio"),
    *("schema", "tests.gateway.http.serve_fake", "pytest"),
)
SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER: who is left alone by its parent becomes a child of ours
MESSAGE_BYTES = 1 << 20


class _Parent:
    """The process that is forked, started when it is first needed."""

    _one: Self | None = None

    @classmethod
    def one(cls) -> Self:
        if cls._one is None or cls._one.pid != os.getpid():
            cls._one = cls()
        return cls._one

    def __init__(self) -> None:
        self.pid = os.getpid()
        assert ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0) == 0
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        self._process = subprocess.Popen(command, cwd=Path(__file__).parent.parent, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()
        atexit.register(self.end)

    def end(self) -> None:
        self._socket.close()
        self._process.wait()

    def fork(self, told: Mapping[str, Any], files: Sequence[int]) -> int:
        """Return the id of a new child of this process."""
        socket.send_fds(self._socket, [orjson.dumps(told)], files)
        return int(self._socket.recv(20))


class Popen(subprocess.Popen[Any]):
    """``subprocess.Popen`` of ``[sys.executable, "-m", module, …]``. Of its options cwd, env, the three files and a new session."""

    def _execute_child(self, args: Sequence[str], executable: Any, *options: Any) -> None:
        (_, _, pass_fds, cwd, env, _, _, shell, *pipes) = options
        to_read, to_write, out_read, out_write, err_read, err_write, *_, new_session, _ = pipes
        assert args[:2] == [sys.executable, "-m"], args
        assert not executable
        assert not shell
        assert not pass_fds
        files = [0 if to_read == -1 else to_read, 1 if out_write == -1 else out_write, 2 if err_write == -1 else err_write]
        told = {
            "module": args[2],
            "arguments": list(args[3:]),
            "folder": os.getcwd() if cwd is None else str(cwd),
            "environment": dict(os.environ if env is None else env),
            "session": bool(new_session),
        }
        self.pid = _Parent.one().fork(told, files)
        self._child_created = True
        self._close_pipe_fds(to_read, to_write, out_read, out_write, err_read, err_write)  # type: ignore[attr-defined]


def run(
    command: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Return what a command printed and ended with."""
    with Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def main() -> None:
    for name in READ:
        import_module(name)
    gc.collect()
    gc.freeze()  # a collector that looks at what was read writes to each of its pages, which every fork then copies
    asks = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, files, _, _ = socket.recv_fds(asks, MESSAGE_BYTES, 3)
        if not message:
            return
        reads, writes = os.pipe()
        if (between := os.fork()) == 0:  # who starts it has this one end, and so is its parent
            if (pid := os.fork()) == 0:
                asks.close()
                _run(orjson.loads(message), files)
            os.write(writes, array.array("q", [pid]).tobytes())
            os._exit(0)
        os.waitpid(between, 0)
        pid = array.array("q", os.read(reads, 8))[0]
        for file in (reads, writes, *files):
            os.close(file)
        asks.send(str(pid).encode())


def _run(told: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    if told["session"]:
        os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 64)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    random.seed()
    import_module("gateway.http.middleware").renew_ids()
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", buffering=1 if number == 2 else -1, closefd=False))
    paths = told["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [told["folder"], *[path for path in paths if path], *sys.path[1:]]
    sys.argv = [told["module"], *told["arguments"]]
    sys.modules.pop(told["module"], None)  # it is run, not imported
    code: Any = 0
    try:
        runpy.run_module(told["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:  # as the interpreter would
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
