"""What `seqwatch alert` and `seqwatch silence` take."""

import argparse

from alerts.state import Verdict

URL = "of the platform; by default SEQWATCH_PUBLIC_URL"


def add_alert(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `seqwatch alert`."""
    actions = command.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, text in {
        "list": "list the alerts that fire or are pending",
        "show": "print one alert: its incident, who was notified, and what silences it",
        "ack": "acknowledge a firing alert: it is neither repeated nor escalated",
        "verdict": "give a verdict on what an alert was",
    }.items():
        action = actions.add_parser(name, help=text, description=text)
        if name == "list":
            action.add_argument("--all", action="store_true", help="quiet ones too")
        else:
            action.add_argument("id", help="of the alert")
        if name == "verdict":
            action.add_argument("verdict", choices=[*Verdict])
        if name in ("ack", "verdict"):
            action.add_argument("--note", default="", help="why, for others")
        action.add_argument("--url", help=URL)


def add_silence(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `seqwatch silence`."""
    actions = command.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, text in {
        "list": "list the silences that are active or pending",
        "add": "silence the alerts whose labels match",
        "expire": "end a silence now",
    }.items():
        action = actions.add_parser(name, help=text, description=text)
        if name == "list":
            action.add_argument("--all", action="store_true", help="expired ones too")
        if name == "add":
            action.add_argument(
                "matchers",
                nargs="+",
                metavar="MATCHER",
                help="as model=load, severity!=page, monitor=~'a.*' or team!~'b.*'",
            )
            action.add_argument(
                "--duration", default="PT1H", help="in ISO 8601; by default PT1H"
            )
            action.add_argument("--comment", default="", help="why, for others")
        if name == "expire":
            action.add_argument("id", help="of the silence")
        action.add_argument("--url", help=URL)
