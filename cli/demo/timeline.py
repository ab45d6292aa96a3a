"""What happened, in the order in which it happened, as the terminal shows it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cli.demo.platform import Platform

MARK = {
    "change": "\N{HEAVY LARGE CIRCLE}",
    "finding": "\N{WHITE CIRCLE}",
    "page": "\N{BLACK CIRCLE}",
    "rollout": "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}",
    "resolved": "\N{CHECK MARK}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: when in event time, of what sort, and what."""

    at: datetime
    sort: str
    name: str
    text: str


@dataclass(kw_only=True)
class Timeline:
    """Polls the platform, and prints each new entry once."""

    platform: Platform
    model: str
    write_line: Callable[[str], None] = print
    entries: list[Entry] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def update(self) -> None:
        """Add every finding, flip and step of a rollout that is not in the timeline yet."""
        found = self.platform.items(f"/v1/models/{self.model}/findings", outcome="breach")
        for finding in reversed(found):
            # Of a monitor that goes on finding the same, only the first is news.
            ended = [
                e.at for e in self.entries if (e.sort, e.name) == ("resolved", finding["kind"])
            ]
            if not ended or datetime.fromisoformat(finding["as_of"]) > ended[-1]:
                episode = f"{finding['monitor']} {len(ended)}"
                at, cause = finding["as_of"], finding["cause"]
                self._add_once(episode, at, "finding", finding["kind"], cause)
        for flip in reversed(self.platform.items("/v1/flips", model=self.model)):
            self._add_flip(flip)
        for rollout in reversed(self.platform.items("/v1/rollouts", model=self.model)):
            for i, event in enumerate(rollout["events"]):
                text = f"{event['phase']}: {event['cause']}"
                name = event["event"]
                self._add_once(f"{rollout['id']} {i}", event["at"], "rollout", name, text)

    def mark(self, at: datetime, text: str) -> None:
        """Add an action of the scenario."""
        self._add(Entry(at=at, sort="change", name="change", text=text))

    def count(self, sort: str, *names: str) -> int:
        """Count the entries of a sort, of any of these names when some are given."""
        return sum(e.sort == sort and (not names or e.name in names) for e in self.entries)

    def _add_flip(self, flip: dict[str, Any]) -> None:
        if flip["flip"] == "resolved":
            text = f"{flip['monitor']} resolved ({flip['reason']})"
            self._add_once(flip["id"], flip["at"], "resolved", flip["kind"], text)
            return
        is_page = flip["severity"] == "page" and not flip["inhibited"]
        text = f"{flip['monitor']}: {flip['cause']}"
        if flip["inhibited"]:
            text += " (not sent: inhibited)"
        self._add_once(
            flip["id"], flip["at"], "page" if is_page else "ticket", flip["kind"], text
        )

    def _add_once(self, key: str, at: str, sort: str, name: str, text: str) -> None:
        if key not in self._seen:
            self._seen.add(key)
            moment = datetime.fromisoformat(at)
            self._add(Entry(at=moment, sort=sort, name=name, text=text))

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        mark = MARK.get(entry.sort, " ")
        self.write_line(f"{entry.at:%Y-%m-%d %H:%M}  {mark} {entry.sort:<8} {entry.text}")


def progress(text: str) -> None:
    """Show where we are on one line that is written over; silent where there is no terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[2K{text}")
        sys.stdout.flush()
