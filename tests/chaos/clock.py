"""Move the wall clock of the running platform with libfaketime; the monotonic clock goes on."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.audit import Check, same
from tests.chaos.faulty_receiver import Fault
from tests.chaos.trial import PROGRESS_SECONDS, NoProgress, Trial, report, trial, write_line

# One after the other, each relative to the true time: the clock jumps back, ahead, far
# ahead, and far back.
OFFSETS = ("-1h", "+1h", "+40d", "+0")
FAULTY_SECONDS = 3.0  # after a jump, until the receiver answers again


# libfaketime 0.9.10 answers EINVAL to a sleep until a moment of the monotonic clock (Python's
# `time.sleep`) when that clock is left alone: such sleeps go to the kernel.
SLEEP = """
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_nanosleep(clockid_t id, int flags, const struct timespec *t, struct timespec *left)
{ return syscall(SYS_clock_nanosleep, id, flags, t, left) ? errno : 0; }
"""


def library() -> Path | None:
    """Return the libfaketime of Debian's package `faketime`.

    None where it, or a C compiler, is not installed.
    """
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found and shutil.which("cc") else None


def environment(folder: Path) -> dict[str, str]:
    """Return what makes a process take the offset of its wall clock from a file.

    Parameters
    ----------
    folder
        For that file, `offset`, and for what is compiled.
    """
    found = library()
    if found is None:
        raise RuntimeError("the clock needs libfaketime and cc: apt-get install faketime gcc")
    source, sleep = folder / "sleep.c", folder / "sleep.so"
    source.write_text(SLEEP)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", sleep, source], check=True)
    return {
        "LD_PRELOAD": f"{sleep} {found}",
        "FAKETIME_TIMESTAMP_FILE": str(folder / "offset"),
        "FAKETIME_CACHE_DURATION": "1",  # seconds: reading the file at each call is expensive
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def jump(running: Trial, offset_file: Path, offset: str, seconds: float) -> str:
    """Move the clock while the receiver fails, wait for all that is due, restart a worker.

    Raises
    ------
    NoProgress
        If the platform does not catch up while the clock stays where it is.
    """
    with running.receiver.faulty(Fault.FAILS):
        running.wait_for_retry()
        set_offset(offset_file, offset)
        time.sleep(FAULTY_SECONDS)
    after = running.wait_for_progress(notifications=True)
    time.sleep(seconds)
    again = running.wait_for_progress(notifications=True)
    worker = running.stage.processes["worker-0"]
    worker.send_signal(signal.SIGTERM)
    worker.wait(PROGRESS_SECONDS)
    running.stage.start("worker-0")
    restarted = running.wait_for_progress(notifications=True)
    return f"recovered after {after:.1f}, {again:.1f} and, restarted, {restarted:.1f} s"


def set_offset(path: Path, offset: str) -> None:
    """Write the offset so that no process reads half of it."""
    new = path.with_suffix(".new")
    new.write_text(offset)
    new.rename(path)


def run(kind: str, seconds: float, day_seconds: float) -> list[Check]:
    """Move the clock of API and workers to every offset, and print what was found."""
    stuck = []
    began = time.monotonic()
    with TemporaryDirectory(prefix="seqwatch-clock-") as folder:
        offset_file = Path(folder) / "offset"
        set_offset(offset_file, "+0")
        with trial(
            kind,
            day_seconds=day_seconds,
            environment=environment(Path(folder)),
            on_small_disk=os.geteuid() == 0,  # in memory: faster
        ) as running:
            running.wait_for_slots(2)
            write_line(f"{kind}: the clock of the platform moves")
            for offset in OFFSETS:
                try:
                    outcome = jump(running, offset_file, offset, seconds)
                except NoProgress as error:
                    outcome = f"NOT RECOVERED {error}"
                    stuck.append(offset)
                write_line(f"  {offset:>4}: {outcome}")
                if stuck:
                    break
            checks = [same("offsets at which the platform stood still", [], stuck)]
            checks += running.finish()
    report(f"{kind}, clock, {time.monotonic() - began:.0f} s", checks)
    return checks
