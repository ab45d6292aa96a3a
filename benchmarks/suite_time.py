"""How long do the ordinary tests take? Run: `python -m benchmarks.suite_time`."""

import os
import resource
import subprocess
import sys
import time

from benchmarks.bar import Bar, report

MINUTES = 10


def main() -> int:
    """Run the tests as `make test` does; the exit status is theirs."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--no-header"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-2000:])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (used.ru_utime + used.ru_stime) / 60
    wall = (time.monotonic() - began) / 60
    report(Bar(name="tests: wall time", figure=wall, unit="min", at_most=MINUTES))
    # Beside other work the wall time means little: twice the limit on two cores.
    limit = MINUTES * (os.cpu_count() or 1)
    report(Bar(name="tests: CPU time", figure=cpu, unit="min", at_most=limit))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
