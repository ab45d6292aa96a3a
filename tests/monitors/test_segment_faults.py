"""An input fault of one segment is distinguished from a changed world, and named."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, Outcome
from monitors.input_fault import input_fault, segment_faults
from monitors.input_fault.input_fault import InputFault, InputFaultDetail, InputFaultParams
from monitors.input_fault.segment_faults import Block
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Floats, chunk_start
from tests.monitors.segmented import N_FEATURES, N_SEGMENTS, laid_out, stream

N_REFERENCE, N_LIVE, BROKE = 365, 40, 20
PARAMS = InputFaultParams(by_segment=True)


@pytest.fixture(scope="module")
def world() -> Floats:
    return stream(N_REFERENCE + N_LIVE, seed=2)


@pytest.fixture(scope="module")
def blocks(world: Floats) -> tuple[Block, ...]:
    return learnt(laid_out(world))


def learnt(hours: Hourly) -> tuple[Block, ...]:
    reference = hours.until(hours.first + N_REFERENCE * HOURS, N_REFERENCE * HOURS)
    return segment_faults.fit(reference, PARAMS, N_FEATURES)


def evaluation(
    blocks: tuple[Block, ...], hours: Hourly, day: int, previous: tuple[InputFault, ...] = ()
) -> Finding:
    end = hours.first + (N_REFERENCE + day) * HOURS
    recent = hours.until(end, 36 * HOURS)
    return segment_faults.evaluate(blocks, recent, previous, chunk_start(end))


def faults_of(finding: Finding) -> tuple[InputFault, ...]:
    assert isinstance(finding.detail, InputFaultDetail)
    return finding.detail.faults


def broken(world: Floats, segment: int | slice = 3, until: int | None = None) -> Floats:
    """Scale one feature of a segment, or of all, from the ninth hour of a day on."""
    out = world.copy()
    stop = None if until is None else (N_REFERENCE + until) * HOURS
    out[(N_REFERENCE + BROKE) * HOURS + 9 : stop, segment, 2] *= 1.8
    return out


def test_the_promise_is_split_over_the_blocks_and_reported_as_a_whole(
    world: Floats, blocks: tuple[Block, ...]
) -> None:
    assert [len(block.names) for block in blocks] == [N_FEATURES] + [N_SEGMENTS] * N_FEATURES
    found = evaluation(blocks, laid_out(world), BROKE)
    assert (found.outcome, found.cause) == (Outcome.OK, "")
    assert found.detail.promised_days == pytest.approx(1095.0)
    assert faults_of(found) == ()


def test_the_segment_is_named_with_the_hour_and_the_factor(
    world: Floats, blocks: tuple[Block, ...]
) -> None:
    hours = laid_out(broken(world))
    found = evaluation(blocks, hours, BROKE + 3)
    assert found.outcome is Outcome.BREACH
    by_name = {fault.feature: fault for fault in faults_of(found)}
    fault = by_name["f2 [shop=3]"]
    assert fault.amount == pytest.approx(1.8, rel=0.1)
    began = chunk_start(hours.first + (N_REFERENCE + BROKE) * HOURS + 9)
    assert fault.since == began
    assert found.value is not None
    assert found.threshold is not None
    assert found.value > found.threshold
    assert "f2 [shop=3] scaled by 1." in found.cause


def test_what_befalls_every_segment_is_no_fault_of_one(
    world: Floats, blocks: tuple[Block, ...]
) -> None:
    found = evaluation(blocks, laid_out(broken(world, slice(None))), BROKE + 3)
    assert not [fault for fault in faults_of(found) if "[" in fault.feature]


def test_a_fault_is_followed_until_the_input_is_repaired(
    world: Floats, blocks: tuple[Block, ...]
) -> None:
    hours = laid_out(broken(world, until=BROKE + 8))
    known: tuple[InputFault, ...] = ()
    outcomes = []
    for day in range(BROKE + 1, BROKE + 14):
        found = evaluation(blocks, hours, day, known)
        known = faults_of(found)
        outcomes.append(found.outcome)
    assert outcomes[0] is Outcome.OK
    assert set(outcomes[2:8]) == {Outcome.BREACH}
    assert outcomes[-1] is Outcome.OK
    [fault] = [one for one in known if one.feature == "f2 [shop=3]"]
    assert fault.until == chunk_start(hours.first + (N_REFERENCE + BROKE + 8) * HOURS)


def test_faults_of_segments_that_are_evaluated_no_longer_are_forgotten(
    world: Floats, blocks: tuple[Block, ...]
) -> None:
    known = faults_of(evaluation(blocks, laid_out(broken(world)), BROKE + 3))
    gone = tuple(replace(fault, feature="f2 [shop=99]") for fault in known)
    assert faults_of(evaluation(blocks, laid_out(world), BROKE, gone)) == ()


def test_of_two_segments_it_is_unknown_which_is_broken(world: Floats) -> None:
    hours = laid_out(world)
    some = hours.of([*range(3 * N_FEATURES)])
    reference = some.until(some.first + N_REFERENCE * HOURS, N_REFERENCE * HOURS)
    [total] = segment_faults.fit(reference, PARAMS, N_FEATURES)
    assert total.names == hours.names[:N_FEATURES]


def test_without_segments_it_is_the_monitor_of_inputs(world: Floats) -> None:
    hours = laid_out(broken(world)).of([*range(N_FEATURES)])
    reference = hours.until(hours.first + N_REFERENCE * HOURS, N_REFERENCE * HOURS)
    end = hours.first + (N_REFERENCE + BROKE + 3) * HOURS
    plain = input_fault.fit(reference, InputFaultParams())
    alone = input_fault.evaluate(plain, hours.until(end, 36 * HOURS), [], chunk_start(end))
    blocks = segment_faults.fit(reference, InputFaultParams())
    assert evaluation(blocks, hours, BROKE + 3) == alone


def test_while_the_reference_is_short_known_faults_are_kept(
    world: Floats, blocks: tuple[Block, ...]
) -> None:
    hours = laid_out(broken(world))
    known = faults_of(evaluation(blocks, hours, BROKE + 3))
    reference = hours.until(hours.first + 100 * HOURS, 100 * HOURS)
    short = segment_faults.fit(reference, PARAMS, N_FEATURES)
    assert [type(block.fitted) for block in short] == [WarmingUp]
    of_total = tuple(replace(fault, feature="f2") for fault in known)
    found = evaluation(short, hours, BROKE + 3, of_total)
    assert found.outcome is Outcome.NO_DATA
    assert faults_of(found) == of_total


@pytest.mark.slow
def test_broken_inputs_of_a_segment_are_found_and_quiet_ones_are_not_called() -> None:
    """10 plants of 120 quiet days with a promise of one in 1,095: at most 5 of 1.1 expected.

    Then one feature of one segment is scaled by 1.8, or is two deviations too high.
    """
    n_live, n_false = 120, 0
    n_found = dict.fromkeys(("scaled", "shifted"), 0)
    for seed in range(31, 41):
        quiet = stream(N_REFERENCE + n_live, seed)
        blocks = learnt(laid_out(quiet))
        known: tuple[InputFault, ...] = ()
        for day in range(1, n_live):
            now = faults_of(evaluation(blocks, laid_out(quiet), day, known))
            n_false += len({f.since for f in now} - {f.since for f in known})
            known = now
        sd = quiet[: N_REFERENCE * HOURS, 3, 2].std()
        for name, change in (("scaled", quiet * 1.8), ("shifted", quiet + 2 * sd)):
            at = np.s_[(N_REFERENCE + BROKE) * HOURS + 9 :, 3, 2]
            out = quiet.copy()
            out[at] = change[at]
            n_found[name] += "f2 [shop=3]" in evaluation(blocks, laid_out(out), BROKE + 3).cause
    sys.stdout.write(f"{n_false} false alarms; of 10 found within three days: {n_found}\n")
    assert n_false <= 5
    assert min(n_found.values()) >= 8


@pytest.mark.slow
def test_the_total_keeps_its_promise_on_features_that_share_their_moods() -> None:
    """30 plants of 119 days: 3.3 alarms expected, at most 7.5 in 99 of 100 runs.

    With a limit from evaluations that were learnt from there would be 8.
    """
    n_false = 0
    for seed in range(31, 61):
        hours = laid_out(stream(N_REFERENCE + 120, seed)).of([*range(N_FEATURES)])
        reference = hours.until(hours.first + N_REFERENCE * HOURS, N_REFERENCE * HOURS)
        blocks = segment_faults.fit(reference, InputFaultParams())
        known: tuple[InputFault, ...] = ()
        for day in range(1, 120):
            now = faults_of(evaluation(blocks, hours, day, known))
            n_false += len({f.since for f in now} - {f.since for f in known})
            known = now
    sys.stdout.write(f"{n_false} false alarms in {30 * 119} days\n")
    assert n_false <= 7
