"""How long do the ordinary tests take? Run: `python -m benchmarks.suite_time`."""

import resource
import subprocess
import sys
import time

from benchmarks.bar import Bar, report

WALL_MINUTES, CPU_MINUTES = 10, 9


def main() -> int:
    """Run the tests as `make test` does; the exit status is theirs."""
    began = time.monotonic()
    options = ["-q", "-n", "auto", "--dist", "loadfile", "--ignore", "tests/architecture"]
    command = [sys.executable, "-m", "pytest", "--no-header", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-2000:])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (used.ru_utime + used.ru_stime) / 60
    wall = (time.monotonic() - began) / 60
    report(Bar(name="tests: wall time", figure=wall, unit="min", at_most=WALL_MINUTES))
    report(Bar(name="tests: CPU time", figure=cpu, unit="min", at_most=CPU_MINUTES))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
