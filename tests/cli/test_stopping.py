"""A process that cannot end by itself ends all the same, and reports where it hangs."""

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


HANDED_TO_ANOTHER = """
import signal
import threading
import time
from cli.roles import run_threads, until_signalled

stop = until_signalled()


def work():
    time.sleep(1)  # the main thread waits by then
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    while not stop.wait(0.1):
        pass


run_threads([work])
"""


def test_a_signal_that_is_handed_to_another_thread_is_handled() -> None:
    done = subprocess.run([sys.executable, "-c", HANDED_TO_ANOTHER], timeout=50, check=False)
    assert done.returncode == 0
