"""Printed results of an import and of a backtest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from cli.importing.sending import Tally
from services.ingest import Feed
from services.ingest.mapping.layout import Layout

SHOWN = 10  # bad rows, and episodes of each monitor


def layout(path: Path, found: Layout) -> str:
    """Print which column becomes what."""
    parts = [
        name if columns == (name,) else f"{name} from {', '.join(columns)}"
        for name, columns in found.fields.items()
    ]
    text = f"{path.name}: {'; '.join(parts)}"
    return f"{text}\n  not used: {', '.join(found.unused)}" if found.unused else text


def summary(tallies: Mapping[Feed, Tally], out: TextIO) -> int:
    """Print how many rows were accepted; return how many are in quarantine."""
    n_bad = 0
    for feed, tally in tallies.items():
        before = f", {tally.n_before:,} were here before" if tally.n_before else ""
        out.write(
            f"{feed}: {tally.n_accepted:,} accepted{before}, "
            f"{tally.n_quarantined:,} in quarantine\n"
        )
        _faults(tally.faults, tally.n_quarantined, out)
        n_bad += tally.n_quarantined
    return n_bad


def checked(
    counts: Mapping[Feed, int], faults: Sequence[Mapping[str, Any]], out: TextIO
) -> None:
    """Print which rows would be accepted."""
    for feed, n in counts.items():
        out.write(f"{feed}: {n:,} rows\n")
    _faults(faults, len(faults), out)
    out.write(f"{len(faults):,} rows would be refused; nothing was sent\n")


def _faults(faults: Sequence[Mapping[str, Any]], n: int, out: TextIO) -> None:
    for fault in faults[:SHOWN]:
        out.write(f"  row {fault['row']}, {fault['field']}: {fault['reason']}\n")
    if faults and n > SHOWN:
        out.write(f"  and {n - min(len(faults), SHOWN):,} more\n")


def backtest(found: Mapping[str, Any], out: TextIO) -> None:
    """Print what monitors would have found, and what is not yet in it."""
    if found["waiting_rows"] or found["waiting_days"]:
        out.write(
            f"incomplete: {found['waiting_rows']:,} rows are not yet folded and archived, "
            f"{found['waiting_days']:,} days are not yet joined with labels\n"
        )
    if not found["n_days"]:
        out.write("no served day has closed: there is nothing to evaluate\n")
        return
    out.write(
        f"\nwhat the monitors would have found, {found['since'][:10]} to {found['until'][:10]} "
        f"({found['n_days']} days)\n"
    )
    form = "  {:<24} {:>7} {:>9} {:>9}  {}\n"
    out.write(
        form.format("monitor", "evaluated", "breaches", "episodes", "days between episodes")
    )
    for record in found["records"]:
        out.write(
            form.format(
                record["monitor"],
                record["n_evaluated"],
                record["n_breaches"],
                record["n_episodes"],
                _rate(record),
            )
        )
    for one in found["episodes"]:
        until = "still" if one["until"] is None else one["until"][:10]
        note = " (explained by an input fault: inhibited)" if one["inhibited"] else ""
        out.write(
            f"  {one['since'][:10]} to {until:<10}  {one['monitor']}: {one['cause']}{note}\n"
        )


def backtests(found: Sequence[Mapping[str, Any]], out: TextIO) -> None:
    """Print the backtests that were requested, with how far each is."""
    for one in found:
        of = "?" if one["n_days"] is None else one["n_days"]
        note = f"  {one['error']}" if one["error"] else ""
        out.write(
            f"{one['id']}  {one['created_at'][:19]}  {one['state']:<9}  "
            f"{one['n_evaluated']} of {of} days  by {one['asked_by']}{note}\n"
        )


def _rate(record: Mapping[str, Any]) -> str:
    if not record["n_evaluated"]:
        return f"no verdict: {record['why_without']}"
    between = record["days_between_episodes"]
    found = "none" if between is None else f"{between:.0f}"
    promised = record["promised_days"]
    return found if promised is None else f"{found}; promised, on unchanged input: {promised:g}"
