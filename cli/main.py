"""Run and operate Seqwatch: `seqwatch COMMAND`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TypeAlias

from pydantic import ValidationError
from pydantic_settings import SettingsError

from cli.alerting.arguments import add_alert, add_silence
from cli.configuration.arguments import add_apply, add_diff, add_export
from cli.importing.arguments import add_backtest, add_import
from core import __version__
from core.errors import AppError, NotInstalled, Unprocessable
from core.settings import Settings, check_names
from services.telemetry import logs

Command: TypeAlias = Callable[[Settings, argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        check_names(os.environ)
        settings = Settings()
    except Unprocessable as error:
        print(f"{error} (see docs/settings.md)", file=sys.stderr)
        return 2
    except ValidationError as error:
        for fault in error.errors(include_input=False):
            name = f"SEQWATCH_{fault['loc'][0]}".upper()
            print(f"{name}: {fault['msg']} (see docs/settings.md)", file=sys.stderr)
        return 2
    except SettingsError as error:
        print(f"{error.__cause__ or error} (see docs/settings.md)", file=sys.stderr)
        return 2
    logs.configure(settings.log_format)
    try:
        # Only what the command needs is imported: torch by the trainer, FastAPI by the API.
        command: Command = resolve_name(f"cli.{given.command}")
        return command(settings, given)
    except AppError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2 if isinstance(error, NotInstalled) else 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="seqwatch", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    add("migrate", "database:migrate", "bring the database to the newest schema")
    api = add("api", "roles:serve", "serve the REST interface and the pages")
    api.add_argument(
        "--fd", type=int, help="serve the listening socket of this file descriptor"
    )
    add("worker", "roles:work", "fold, archive, evaluate and deliver")
    add("trainer", "roles:train", "train challengers, and test them at the gate")
    run = add("run", "run:run", "run api, worker and trainer together on this machine")
    run.add_argument(
        "--fresh-key", action="store_true", help="make a new admin key and print it"
    )
    key = add("key", "database:key", "make a key, and print it once")
    key.add_argument("name", help="what it is for, e.g. 'forecaster in production'")
    key.add_argument(
        "--scope",
        action="append",
        choices=["ingest", "read", "operate", "admin"],
        required=True,
        help="what it opens; may be given several times",
    )
    key.add_argument("--model", help="only for this model")
    for name, text in {
        "body-bytes": "of one request",
        "rows": "of one batch",
        "rows-per-second": "in the long run",
        "burst-rows": "at once, after a rest",
        "waiting-bytes": "of its requests that wait to be stored",
    }.items():
        key.add_argument(f"--max-{name}", type=int, metavar="N", help=f"limit: {text}")
    erase = add(
        "erase", "requests:erase", "ask that everything about a session or an entity be erased"
    )
    erase.add_argument("model")
    whom = erase.add_mutually_exclusive_group(required=True)
    whom.add_argument("--session", help="as it was sent; - reads it from the standard input")
    whom.add_argument("--entity", help="likewise")
    evaluate = add(
        "evaluate", "requests:evaluate", "ask that slots that failed be evaluated again"
    )
    evaluate.add_argument("model")
    evaluate.add_argument(
        "--slot", metavar="MOMENT", help="the end of an event day; by default all that failed"
    )
    rebuild = add("rebuild", "requests:rebuild", "rebuild summaries from the prediction log")
    rebuild.add_argument("model")
    rebuild.add_argument(
        "--stream", action="append", default=[], metavar="NAME", help="only this; repeatable"
    )
    rebuild.add_argument("--since", metavar="DAY", help="the first event day; by default all")
    _add_log(add("log", "requests:discard", "discard rows that cannot be processed"))
    _add_configuration(add)
    _add_export(
        add(
            "export",
            "export:run",
            "write predictions to a file (CSV, Parquet or Arrow), or with -f the configuration",
        )
    )
    add("plugins", "plugins:run", "list the plug-ins of each extension point")
    _add_history(add)
    _add_source(
        add("source", "source:run", "list, add and pull sources of predictions and labels")
    )
    _add_alerting(add)
    _add_skew(
        add("skew", "skew:run", "compare what training and serving made of the same rows")
    )
    _add_demo(
        add(
            "demo",
            "demo.scenario:play",
            "watch a forecaster degrade and be retrained",
        )
    )
    return parser


def _add_log(parser: argparse.ArgumentParser) -> None:
    acts = parser.add_subparsers(required=True, metavar="ACTION")
    text = "move what holds a stream up that is set aside to quarantine; it goes on"
    discard = acts.add_parser("discard", help=text, description=text)
    discard.add_argument("model")
    discard.add_argument("stream", choices=["predictions", "labels", "reference", "events"])


def _add_configuration(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    add_apply(add("apply", "configuration.command:apply", "apply configuration files"))
    add_diff(add("diff", "configuration.command:diff", "print what `apply` would change"))
    add("schema", "configuration.command:schema", "print the JSON schema of such files")


def _add_history(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    add_import(
        add(
            "import", "importing.command:run", "bring in past predictions and labels from files"
        )
    )
    add_backtest(add("backtest", "backtest:run", "evaluate monitors on past days"))


def _add_source(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, text in {
        "list": "list the sources of a model, with how far each is pulled",
        "add": "add or change a source",
        "pull": "pull a source now, and wait for the worker",
    }.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("model")
        if name != "list":
            action.add_argument("name", help="of the source")
        if name == "add":
            action.add_argument("file", type=Path, help="JSON, as the API takes it")
        if name == "pull":
            action.add_argument("--wait", type=float, default=60.0, metavar="SECONDS")
            action.add_argument(
                "--accept-columns", action="store_true", help="those that it has now"
            )
        action.add_argument("--url", help="of the platform; by default SEQWATCH_PUBLIC_URL")


def _add_alerting(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    _add_slo(add("slo", "slo:run", "list, lint, import and export SLOs"))
    add_alert(add("alert", "alerting.command:alert", "list and answer alerts"))
    add_silence(add("silence", "alerting.command:silence", "list, add and expire silences"))


def _add_slo(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, (text, arguments) in {
        "list": ("list the SLOs of a model", ["model"]),
        "show": ("print budget, tiers and windows of an SLO", ["model", "name"]),
        "lint": ("print what a definition can find at a model's traffic", ["model", "file"]),
        "import": ("save the SLOs of OpenSLO documents", ["file"]),
        "export": ("write the SLOs of a model, or of all, as OpenSLO documents", []),
        "rules": ("write rules for Prometheus of the SLOs of a model", ["model"]),
    }.items():
        action = actions.add_parser(name, help=text, description=text)
        for argument in arguments:
            action.add_argument(argument, type=Path if argument == "file" else str)
        if name == "export":
            action.add_argument("model", nargs="?")
        action.add_argument("--url", help="of the platform; by default SEQWATCH_PUBLIC_URL")


def _add_demo(demo: argparse.ArgumentParser) -> None:
    what = demo.add_mutually_exclusive_group()
    what.add_argument("--no-change", action="store_true", help="the same stream, unchanged")
    what.add_argument("--fault", choices=["unit"], help="break one sensor instead")
    outage = demo.add_mutually_exclusive_group()
    outage.add_argument("--no-outage", action="store_true", help="let no service fail beside")
    outage.add_argument("--only-outage", action="store_true", help="show nothing but that")
    demo.add_argument("--data", metavar="FILE", help="hourly series, as ETTh1.csv")
    demo.add_argument("--generated", action="store_true", help="use the shipped generator")
    demo.add_argument("--days", type=int, help="stop the stream after so many event days")
    demo.add_argument(
        "--folder", default="var/demo", help="where everything is kept; emptied at the start"
    )
    demo.add_argument("--stop", action="store_true", help="do not leave the platform up")
    demo.add_argument(
        "--port", type=int, help="of the platform, SEQWATCH_PORT by default; +1 and +2 too"
    )
    demo.add_argument("--json", metavar="FILE", help="write the result there as well")
    demo.add_argument(
        "--sabotage", action="store_true", help="scramble the challenger (a test)"
    )
    demo.add_argument(
        "--bypass-gate", action="store_true", help="let it past the gate (a test)"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?")
    parser.add_argument("file", nargs="?", help="where to; - is the standard output")
    parser.add_argument(
        "--format", choices=["csv", "parquet", "arrow"], help="by default after the file's name"
    )
    parser.add_argument("--since", metavar="MOMENT", help="event time, included")
    parser.add_argument("--until", metavar="MOMENT", help="event time, not included")
    for name in ("version", "entity", "session", "status"):
        parser.add_argument(f"--{name}", help=f"only of this {name}")
    parser.add_argument("--with-labels", action="store_true", help="add what happened")
    add_export(parser)


def _add_skew(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("offline", type=Path, help="golden vectors, or what training computed")
    option("online", type=Path, help="the same rows as serving computed them")
    option("--id", default="prediction_id", metavar="COLUMN", help="names a row in both files")
    option("--at", default="at", metavar="COLUMN", help="event times, if there are any")
    option("--column", action="append", metavar="NAME", help="only this; may be repeated")
    option("--model", help="take scaler, step and what is sensitive from its contract")
    option(
        "--tolerance", type=float, default=1e-5, help="differences that are none, in spreads"
    )
    option("--json", action="store_true", help="print it as JSON")


if __name__ == "__main__":
    sys.exit(main())
