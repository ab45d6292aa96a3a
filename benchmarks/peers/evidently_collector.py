"""Evidently's legacy collector, served as well as it can be: uvloop and httptools.

Run by benchmarks/versus.py with the interpreter of `.peers/evidently`, which
has none of the platform: `python evidently_collector.py PORT FOLDER`. One
collector named `bench`, whose report is an hour away, so that what is measured
is taking rows in, and nothing else.
"""

import json
import os
import sys
from pathlib import Path

os.environ["DO_NOT_TRACK"] = "1"

import uvicorn
from evidently.legacy.collector.app import create_app

HOUR = 3600.0
CONFIG = {
    "check_interval": 1.0,
    "storage": {"type": "evidently:collector_storage:InMemoryStorage"},
    "autosave": False,
    "collectors": {
        "bench": {
            "id": "bench",
            "trigger": {
                "type": "evidently:collector_trigger:IntervalTrigger",
                "interval": HOUR,
                "last_triggered": 32503680000.0,  # the year 3000: not before
            },
            "report_config": {
                "metrics": [],
                "tests": [],
                "options": {},
                "metadata": {},
                "tags": [],
            },
            "project_id": "00000000-0000-0000-0000-000000000000",
        }
    },
}


def main() -> None:
    """Serve until stopped."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    config = folder / "collector_config.json"
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    uvicorn.run(
        create_app(str(config)),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
