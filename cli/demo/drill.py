"""A trainer that damages the next challenger, for the demonstration's test of the safety net.

Run: `python -m cli.demo.drill --sabotage [--bypass-gate]`
"""

import argparse
import sys

from cli.roles import train
from core.settings import Settings
from retrain.drill import Drill
from services.telemetry import logs


def main() -> int:
    """Train until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sabotage", action="store_true", help="scramble the challenger")
    parser.add_argument("--bypass-gate", action="store_true", help="let it through the gate")
    given = parser.parse_args()
    drill = Drill(damages_challenger=given.sabotage, bypasses_gate=given.bypass_gate)
    settings = Settings()
    logs.configure(settings.log_format)
    return train(settings, given, drill)


if __name__ == "__main__":
    sys.exit(main())
