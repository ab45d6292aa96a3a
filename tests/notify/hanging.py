"""Receivers that accept a connection and never end their answer."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def hanging(first: bytes = b"", then: bytes = b"", every: float = 0.05) -> Iterator[str]:
    """Accept, send `first`, and then `then` again and again; with neither, send nothing.

    Yields
    ------
    str
        The URL.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    stop, threads = Event(), list[Thread]()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                if first:
                    connection.sendall(first)
                while not stop.wait(every):
                    if then:
                        connection.sendall(then)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(Thread(target=answer, args=(connection,)))
            threads[-1].start()

    accepting = Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()
