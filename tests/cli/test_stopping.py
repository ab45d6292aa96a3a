"""A process that cannot end by itself ends all the same, and says where it hangs."""

import signal
import subprocess
import sys

HANGS = """
import threading
from datetime import timedelta
from cli.roles import until_signalled

stop = until_signalled(timedelta(seconds=1))
print("ready", flush=True)
stop.wait()
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""


def test_a_process_that_hangs_after_the_signal_ends_with_its_traces() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, written = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "did not end in time" in written
    assert "in <module>" in written
