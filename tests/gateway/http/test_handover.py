"""Listening sockets that go from one process to another: both ends of the path, in one process here."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

import pytest

from gateway.cli.serving import take_port
from gateway.config import Settings, StoreSettings
from gateway.errors import ConfigError
from gateway.http import handover, server
from gateway.http.handover import Handover, ask, refuse_handover
from gateway.http.inherited import inherited
from gateway.http.workers import spread

pytestmark = pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="sockets are handed over on Unix alone")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "port.sock")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


class Serving:
    """A process that serves. ``turn`` has it hear what has been said to it."""

    def __init__(self, path: str, listeners: list[socket.socket], before: socket.socket | None = None) -> None:
        self.selector = DefaultSelector()
        self.has_left = False
        self.handover = Handover(path, listeners, before)

        def watch(line: socket.socket, call: Callable[[], None]) -> None:
            self.selector.register(line, EVENT_READ, call)

        def leave() -> None:
            self.has_left = True
            for each in listeners:
                each.close()

        self.handover.begin(watch, self.selector.unregister, leave)

    def turn(self) -> None:
        for key, _ in self.selector.select(5):
            key.data()

    def close(self) -> None:
        self.handover.end()
        self.selector.close()


@contextmanager
def serving(path: str, listeners: list[socket.socket], before: socket.socket | None = None) -> Iterator[Serving]:
    its = Serving(path, listeners, before)
    try:
        yield its
    finally:
        its.close()


def given(path: str, before: Serving) -> tuple[list[socket.socket], socket.socket]:
    """Ask while the other end hears it."""
    thread = threading.Thread(target=before.turn)
    thread.start()
    try:
        found = ask(path)
    finally:
        thread.join()
    assert found is not None
    return found


def test_who_waits_in_the_queue_is_served_by_the_next_process(path: str, listener: socket.socket) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(serving(path, [listener]))
        early = stack.enter_context(socket.create_connection(listener.getsockname()))
        early.sendall(b"early")
        (its,), line = given(path, first)
        stack.enter_context(its)
        late = stack.enter_context(socket.create_connection(its.getsockname()))
        late.sendall(b"late")
        second = stack.enter_context(serving(path, [its], line))
        assert not first.has_left
        first.turn()
        assert first.has_left
        for _ in range(2):
            connection, _ = its.accept()
            with connection:
                connection.sendall(connection.recv(10))
        assert (early.recv(10), late.recv(10)) == (b"early", b"late")
        (again,), line = given(path, second)
        assert again.getsockname() == its.getsockname()
        again.close()
        line.close()


def test_one_that_goes_away_leaves_the_port_and_another_may_ask(path: str, listener: socket.socket) -> None:
    with serving(path, [listener]) as first:
        (its,), line = given(path, first)
        with pytest.raises(ConfigError, match="expected a port that nobody takes, and another process is about to take this one"):
            given(path, first)
        its.close()
        line.close()
        first.turn()
        assert not first.has_left
        (its,), line = given(path, first)
        its.close()
        line.close()


def test_a_path_is_for_its_user_alone_and_is_gone_with_who_made_it(path: str, listener: socket.socket) -> None:
    with serving(path, [listener]):
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert not Path(path).exists()
    assert ask(path) is None


def test_a_path_that_is_the_next_one_s_by_now_is_left(path: str, listener: socket.socket) -> None:
    with serving(path, [listener]) as first, serving(path, [listener]) as second:
        first.handover.end()
        assert Path(path).exists()
        (its,), line = given(path, second)
        its.close()
        line.close()


def test_one_that_says_nothing_is_not_waited_for_for_ever(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "ANSWER_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(ConfigError, match=r"expected the sockets of the gateway there within 0\.05 s"):
            ask(path)


def test_one_that_ends_each_time_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "ANSWER_S", 0.05)
    monkeypatch.setattr(handover, "_given", lambda *_: None)
    with socket.socket(socket.AF_UNIX) as ending:
        ending.bind(path)
        ending.listen()
        with pytest.raises(ConfigError, match="the one there ends each time it is asked"):
            ask(path)


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not say whose the other end is")
def test_one_of_another_user_is_not_believed(path: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(path, [listener]):
        monkeypatch.setattr(handover, "_user_of", lambda _: os.geteuid() + 7)
        with pytest.raises(ConfigError, match=f"expected a gateway of this user, and the one there is of user {os.geteuid() + 7}"):
            ask(path)


def test_what_cannot_be_handed_over_is_refused(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(**settings: object) -> str:
        with pytest.raises(ConfigError) as error:
            refuse_handover(Settings.model_validate({"handover": path, **settings}))
        return error.value.message

    refuse_handover(Settings(handover=path))
    assert told(stores={"users": StoreSettings(url="memory://")}) == (
        "stores.users.url: expected rows that the next process sees (handover), got a store of kind memory"
    )
    assert told(workers=251) == "workers = 251: expected at most 250 where they are handed over (handover)"
    Path(path).write_text("")
    assert told() == f"handover = '{path}': expected the path of a Unix socket, or of nothing, and a file is there"
    away = f"{tmp_path}/none/x"
    assert told(handover=away) == f"handover = '{away}': expected a path in a folder that is there, and in which a file can be made"
    monkeypatch.delattr(socket, "send_fds")
    assert told() == f"handover = '{path}': expected none on this system, where no process gives another its sockets"


@pytest.mark.parametrize(("host", "port"), [("127.0.0.2", 0), ("127.0.0.1", 1)])
def test_a_port_that_is_not_that_of_the_settings_is_refused(listener: socket.socket, host: str, port: int) -> None:
    server.refuse_elsewhere(Settings(port=0), listener)
    with pytest.raises(ConfigError, match=f"^host = '{host}', port = {port}: expected those of the gateway whose port is taken over"):
        server.refuse_elsewhere(Settings(host=host, port=port), listener)


@pytest.mark.parametrize(
    ("sockets", "workers", "wanted"),
    [(3, 3, [[0], [1], [2]]), (3, 2, [[0, 2], [1]]), (2, 3, [[0], [1], [0]]), (1, 2, [[0], [0]]), (2, 1, [[0, 1]])],
)
def test_each_socket_is_some_worker_s_and_each_worker_has_one(sockets: int, workers: int, wanted: list[list[int]]) -> None:
    with ExitStack() as stack:
        made = [stack.enter_context(socket.socket()) for _ in range(sockets)]
        assert [[made.index(each) for each in spread(made, number, workers)] for number in range(workers)] == wanted


# ---------------------------------------------------------------------------------------------------------------- LISTEN_FDS


def told(count: str, process: int | None = None) -> MutableMapping[str, str]:
    return {"LISTEN_PID": str(os.getpid() if process is None else process), "LISTEN_FDS": count, "LISTEN_FDNAMES": "http"}


def test_sockets_of_who_started_the_process_are_taken_once(listener: socket.socket) -> None:
    environment = told("1")
    file = os.dup(listener.fileno())
    (found,) = inherited(environment, file)
    with found:
        assert found.getsockname() == listener.getsockname()
        assert not os.get_inheritable(file)
    assert environment == {}
    assert inherited(environment, file) == []


def test_sockets_of_who_started_the_process_are_not_handed_over(
    path: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.http.inherited.inherited", lambda _: [listener])
    assert take_port(Settings()).listeners == [listener]
    with pytest.raises(ConfigError, match=r"expected none where sockets come from who started the process \(LISTEN_FDS\)$"):
        take_port(Settings(handover=path))


@pytest.mark.parametrize(("count", "process"), [("1", 1), ("0", None), ("", None)])
def test_sockets_for_somebody_else_are_none(count: str, process: int | None) -> None:
    assert inherited(told(count, process), 3) == []


def test_what_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket() as connected, (tmp_path / "file").open("w") as file, socket.socket(socket.AF_UNIX) as local:
        for wrong in (connected, local):
            with pytest.raises(ConfigError, match=f"^LISTEN_FDS: expected a socket as file {wrong.fileno()} that listens for TCP"):
                inherited(told("1"), wrong.fileno())
        with pytest.raises(ConfigError, match=f"^LISTEN_FDS: expected a socket as file {file.fileno()}: "):
            inherited(told("1"), file.fileno())
    with pytest.raises(ConfigError, match=r"^LISTEN_FDS = 'two': expected a number of sockets$"):
        inherited(told("two"))
