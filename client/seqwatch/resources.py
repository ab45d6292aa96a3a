"""Samples of CPU, GPU and memory of this process, logged as events.

Needs the extra `resources` (psutil); GPUs are sampled where the extra `nvidia`
(nvidia-ml-py) and a driver are there.
"""

import logging
import os
import platform
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqwatch.monitor import Monitor

_log = logging.getLogger("seqwatch")

_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container, in bytes, or "max"


class ResourceSampler:
    """Log an event `resources` every few seconds, from a daemon thread, until `stop`.

    After a fork the child needs a sampler of its own.

    Parameters
    ----------
    monitor
        Sends the events.
    every
        Seconds between two samples.
    worker
        Names this instance; by default host and process id.

    Raises
    ------
    ImportError
        Without psutil.
    """

    def __init__(self, monitor: "Monitor", every: float = 10.0, worker: str | None = None):
        psutil = import_module("psutil")
        self._monitor = monitor
        self._every = every
        self._worker = worker or f"{platform.node()}:{os.getpid()}"
        self._process = psutil.Process()
        self._n_cores = _n_cores()
        self._memory_bytes = _memory_limit(psutil.virtual_memory().total)
        self._gpu_share = _gpus()
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="seqwatch-resources", daemon=True
        )

    def start(self) -> "ResourceSampler":
        """Start the thread."""
        self._process.cpu_percent()  # the first call begins to measure
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop the thread; returns at once."""
        self._stopped.set()

    def sample(self) -> dict[str, float]:
        """Return the shares that are in use now, 0 to 1; CPU since the last sample.

        The memory is that of the process, of what its container or host has; of several
        GPUs it is the busiest.
        """
        cpu = self._process.cpu_percent() / 100 / self._n_cores
        shares = {
            "cpu_share": cpu,
            "memory_share": self._process.memory_info().rss / self._memory_bytes,
            **({} if self._gpu_share is None else {"gpu_share": self._gpu_share()}),
        }
        return {name: min(max(share, 0.0), 1.0) for name, share in shares.items()}

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self._monitor.event("resources", worker=self._worker, **self.sample())
            except Exception as error:  # noqa: BLE001 - no error of the client may reach the host
                _log.warning("resources are not sampled: %s", type(error).__name__)


def _n_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    return (len(affinity(0)) if affinity else os.cpu_count()) or 1


def _memory_limit(total: int) -> int:
    try:
        return min(int(_MEMORY_LIMIT.read_text()), total)
    except (OSError, ValueError):
        return total


def _gpus() -> Callable[[], float] | None:
    """Return what measures the busiest GPU; None where there is none."""
    try:
        nvml: Any = import_module("pynvml")
        nvml.nvmlInit()
        devices = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - no library, no driver, no device
        return None
    if not devices:
        return None
    return lambda: max(nvml.nvmlDeviceGetUtilizationRates(one).gpu for one in devices) / 100
