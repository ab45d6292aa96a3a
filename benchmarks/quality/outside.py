"""Peers in environments of their own: asked through files, answered in arrays."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.quality.detectors import Question, Timed, Verdicts, Watch, folded, weekly
from benchmarks.quality.series import CONTEXT, DAY, LEAD, WEEK
from monitors.summaries.summary import Floats

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What goes into the file for one question."""

    reference: Floats
    trials: Floats


class Outside(Timed):
    """A detector of weeks that lives in `.peers/<peer>`."""

    def __init__(self, peer: str, name: str) -> None:
        super().__init__()
        self.peer, self.name = peer, name
        self.version = ""

    @property
    def python(self) -> Path:
        return ROOT / ".peers" / self.peer / "bin" / "python"

    def evaluate(self, questions: Sequence[Question]) -> list[Verdicts]:
        return self.ask(
            [
                Asked(
                    reference=question.reference[:, CONTEXT:],
                    trials=np.repeat(question.trials[:, CONTEXT:], question.copies, axis=1),
                )
                for question in questions
            ]
        )

    def watch(self, watches: Sequence[Watch]) -> list[Verdicts]:
        return folded(watches, self.evaluate(list(weekly(watches))))

    def ask(self, asked: Sequence[Asked]) -> list[Verdicts]:
        """Run the peer once over all questions."""
        with tempfile.TemporaryDirectory() as folder:
            questions, answers = Path(folder, "questions.npz"), Path(folder, "answers.npz")
            arrays = {f"reference_{i}": one.reference for i, one in enumerate(asked)}
            arrays |= {f"trials_{i}": one.trials for i, one in enumerate(asked)}
            np.savez(questions, **arrays)  # type: ignore[arg-type]
            subprocess.run(
                [
                    self.python,
                    "-m",
                    f"benchmarks.peers.quality_{self.peer}",
                    questions,
                    answers,
                ],
                cwd=ROOT,
                env={**os.environ, "DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            with np.load(answers) as found:
                self.version = str(found["version"])
                self.cpu += float(found["cpu"])
                verdicts = [
                    Verdicts(score=found[f"score_{i}"], alarm=found[f"alarm_{i}"])
                    for i in range(len(asked))
                ]
        self.n_decisions += sum(one.score.size for one in verdicts)
        return verdicts


class OutsideStream(Outside):
    """A peer that reads values one by one, and has no reference but what came before."""

    def evaluate(self, questions: Sequence[Question]) -> list[Verdicts]:
        evaluations = np.array([CONTEXT, WEEK], dtype=float)
        # Twice the traffic is the same stream to it, hour by hour.
        found = self.ask([Asked(reference=evaluations, trials=one.trials) for one in questions])
        return [Verdicts(score=one.score[:, 0], alarm=one.alarm[:, 0]) for one in found]

    def watch(self, watches: Sequence[Watch]) -> list[Verdicts]:
        evaluations = np.array([LEAD, DAY], dtype=float)
        return self.ask([Asked(reference=evaluations, trials=one.paths) for one in watches])


def outside() -> list[Outside]:
    """Return the peers whose environment is there."""
    every = [
        Outside("evidently", "Evidently, default"),
        Outside("nannyml", "NannyML, 3 SD of JS"),
        Outside("whylogs", "whylogs, default"),
        Outside("frouros", "Frouros CvM, p < .05"),
        OutsideStream("river", "River ADWIN, .002"),
    ]
    return [peer for peer in every if peer.python.exists()]
