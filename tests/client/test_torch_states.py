"""The summaries of hidden states, against recurrences written step by step."""

import threading
from typing import Any

import pytest
import torch
from seqwatch.torch_gates import GRU_GATES, LSTM_GATES, Recurrent, layers, read_call
from seqwatch.torch_states import StateSampler, state_features
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

INPUT, HIDDEN, STEPS, ROWS = 3, 4, 6, 5


def _by_hand(
    module: Recurrent, inputs: Tensor, h0: Tensor, c0: Tensor, part: str
) -> tuple[Tensor, dict[str, Tensor]]:
    """One layer and direction, a step at a time; inputs are in the order of the direction."""
    w_ih, w_hh = getattr(module, f"weight_ih_{part}"), getattr(module, f"weight_hh_{part}")
    zero = torch.zeros(w_ih.shape[0])
    b_ih = getattr(module, f"bias_ih_{part}", zero)
    b_hh = getattr(module, f"bias_hh_{part}", zero)
    names = LSTM_GATES if isinstance(module, nn.LSTM) else GRU_GATES
    gates: dict[str, list[Tensor]] = {name: [] for name in names}
    outputs, h, c = [], h0, c0
    for x in inputs:
        a, b = w_ih @ x + b_ih, w_hh @ h + b_hh
        if isinstance(module, nn.LSTM):
            i, f, g, o = (a + b).chunk(4)
            now = [torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)]
            c = now[1] * c + now[0] * now[2]
            h = now[3] * torch.tanh(c)
            if module.proj_size:
                h = getattr(module, f"weight_hr_{part}") @ h
        else:
            ar, az, an = a.chunk(3)
            br, bz, bn = b.chunk(3)
            reset, update = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
            new = torch.tanh(an + reset * bn)
            h = (1 - update) * new + update * h
            now = [reset, update, new]
        for name, value in zip(names, now, strict=True):
            gates[name].append(value)
        outputs.append(h)
    return torch.stack(outputs), {name: torch.stack(each) for name, each in gates.items()}


def _expected(
    module: Recurrent, inputs: Tensor, before: tuple[Tensor, ...], row: int, length: int
) -> dict[str, dict[str, Tensor]]:
    """All gates of one row, by layer and direction, in the order of the steps."""
    found = {}
    values = inputs[:length, row]
    directions = ("", "_reverse") if module.bidirectional else ("",)
    for layer in range(module.num_layers):
        outputs = []
        for i, suffix in enumerate(directions):
            at = layer * len(directions) + i
            given = values.flip(0) if suffix else values
            h0, c0 = before[0][at, row], before[-1][at, row]
            hidden, gates = _by_hand(module, given, h0, c0, f"l{layer}{suffix}")
            if suffix:
                hidden = hidden.flip(0)
                gates = {name: each.flip(0) for name, each in gates.items()}
            outputs.append(hidden)
            found[f"l{layer}{suffix}"] = gates
        values = torch.cat(outputs, dim=-1)
    return found


@pytest.mark.parametrize("has_state", [True, False], ids=["with a state", "from zero"])
@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "of one length"])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="one layer"),
        pytest.param({"num_layers": 2}, id="two layers"),
        pytest.param({"num_layers": 2, "bidirectional": True}, id="two ways"),
        pytest.param({"bias": False}, id="no bias"),
        pytest.param({"batch_first": True, "num_layers": 2}, id="batch first"),
    ],
)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gates_are_those_of_the_recurrence_written_step_by_step(
    kind: type[nn.LSTM] | type[nn.GRU],
    arguments: dict[str, bool],
    is_packed: bool,
    has_state: bool,
) -> None:
    torch.manual_seed(1)
    module = kind(INPUT, HIDDEN, **arguments)
    inputs = torch.randn(STEPS, ROWS, INPUT)
    lengths = torch.tensor([3, 6, 1, 5, 6] if is_packed else [STEPS] * ROWS)
    n_states = module.num_layers * (2 if module.bidirectional else 1)
    n_kinds = 2 if kind is nn.LSTM else 1
    make = torch.randn if has_state else torch.zeros
    before = tuple(make(n_states, ROWS, HIDDEN) for _ in range(n_kinds))
    hx: Any = before if kind is nn.LSTM else before[0]
    is_first = module.batch_first
    plain = inputs.transpose(0, 1) if is_first else inputs
    given: Tensor | PackedSequence = plain
    if is_packed:
        given = pack_padded_sequence(plain, lengths, is_first, enforce_sorted=False)
    with torch.no_grad():
        returned = module(given, hx) if has_state else module(given)
        call = read_call(module, given, hx if has_state else None, returned)
        found = dict(layers(module, call))
        for row, length in enumerate(lengths.tolist()):
            expected = _expected(module, inputs, before, row, length)
            assert found.keys() == expected.keys()
            for part, gates in expected.items():
                for name, values in gates.items():
                    ours = found[part][name][:length, row]
                    torch.testing.assert_close(ours, values, msg=f"{part} {name} {row}")


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_a_projection_is_part_of_the_recurrence() -> None:
    torch.manual_seed(2)
    module = nn.LSTM(INPUT, HIDDEN, num_layers=2, proj_size=2)
    inputs = torch.randn(STEPS, ROWS, INPUT)
    before = (torch.randn(2, ROWS, 2), torch.randn(2, ROWS, HIDDEN))
    with torch.no_grad():
        call = read_call(module, inputs, before, module(inputs, before))
        found = dict(layers(module, call))
        expected = _expected(module, inputs, before, 1, STEPS)
        for part, gates in expected.items():
            for name, values in gates.items():
                torch.testing.assert_close(found[part][name][:, 1], values)


def _features(module: nn.Module, *given: object, row: int = 0) -> dict[str, float]:
    states = StateSampler(module, every=1)
    with torch.no_grad():
        module(*given)
    states.close()
    return {name: values[0] for name, values in states.features(row).items()}


def test_measures_of_a_row_are_those_of_its_state() -> None:
    torch.manual_seed(3)
    module = nn.LSTM(INPUT, HIDDEN)
    inputs = torch.randn(STEPS, ROWS, INPUT)
    found = _features(module, inputs, row=2)
    with torch.no_grad():
        _, (h, c) = module(inputs)
        gates = dict(layers(module, read_call(module, inputs, None, module(inputs))))["l0"]
    assert found["state.lstm.l0.norm"] == pytest.approx(h[0, 2].norm().item())
    assert found["state.lstm.l0.mean"] == pytest.approx(h[0, 2].mean().item())
    assert found["state.lstm.l0.std"] == pytest.approx(h[0, 2].std(correction=0).item())
    assert found["state.lstm.l0.cell_norm"] == pytest.approx(c[0, 2].norm().item())
    for name, values in gates.items():
        assert found[f"state.lstm.l0.{name}.mean"] == pytest.approx(values[:, 2].mean().item())
    assert found["state.lstm.pre_norm"] == 0


def test_padding_counts_in_no_measure() -> None:
    torch.manual_seed(4)
    module = nn.GRU(INPUT, HIDDEN, bidirectional=True)
    inputs = torch.randn(STEPS, 2, INPUT)
    packed = pack_padded_sequence(inputs, torch.tensor([6, 2]))
    alone = _features(module, inputs[:2, 1:])
    padded = _features(module, packed, row=1)
    for found in (alone, padded):  # a digest is of the very bits
        del found["state.gru.post_digest"]
    assert padded == pytest.approx(alone, rel=1e-5)


def test_saturated_gates_are_counted() -> None:
    module = nn.LSTM(1, HIDDEN, bias=False)
    with torch.no_grad():
        for weight in module.parameters():
            weight.fill_(1.0)
    found = _features(module, torch.full((STEPS, 1, 1), 100.0))
    gates = ("input", "forget", "cell", "output")
    assert {found[f"state.lstm.l0.{gate}.saturated"] for gate in gates} == {1.0}
    calm = _features(module, torch.zeros(STEPS, 1, 1))
    assert {calm[f"state.lstm.l0.{gate}.saturated"] for gate in gates} == {0.0}


def test_what_is_not_finite_is_counted() -> None:
    module = nn.GRU(1, HIDDEN)
    inputs = torch.zeros(STEPS, 2, 1)
    inputs[3, 1] = torch.nan
    assert _features(module, inputs)["state.gru.l0.non_finite"] == 0
    found = _features(module, inputs, row=1)
    assert found["state.gru.l0.non_finite"] == HIDDEN
    assert found["state.gru.output_non_finite"] == 3 * HIDDEN


def test_a_state_that_is_carried_on_bears_the_same_digest_and_a_lost_one_does_not() -> None:
    torch.manual_seed(5)
    module = nn.LSTM(INPUT, HIDDEN)
    inputs = torch.randn(STEPS, 1, INPUT)
    with torch.no_grad():
        _, state = module(inputs)
    first = _features(module, inputs)
    carried, lost = _features(module, inputs, state), _features(module, inputs)
    assert carried["state.lstm.pre_digest"] == first["state.lstm.post_digest"]
    assert lost["state.lstm.pre_digest"] == first["state.lstm.pre_digest"]
    assert lost["state.lstm.pre_digest"] != carried["state.lstm.pre_digest"]
    assert carried["state.lstm.pre_digest"] < 2**53
    assert carried["state.lstm.pre_norm"] > lost["state.lstm.pre_norm"] == 0


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(INPUT, HIDDEN, num_layers=2, dropout=0.5)
        self.decoder = nn.ModuleDict({"rnn": nn.LSTM(HIDDEN, HIDDEN, bidirectional=True)})

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(inputs)[0]
        outputs: Tensor = self.decoder["rnn"](input=hidden, hx=None)[0]
        return outputs


def test_the_contract_declares_exactly_what_is_sampled() -> None:
    model = _Model().eval()
    declared = [feature["name"] for feature in state_features(model)]
    assert sorted(_features(model, torch.randn(STEPS, ROWS, INPUT))) == sorted(declared)
    assert "state.decoder.rnn.l0_reverse.forget.saturated" in declared


def test_dropout_in_training_leaves_the_gates_out_and_keeps_the_states() -> None:
    model = _Model().train()
    found = _features(model, torch.randn(STEPS, ROWS, INPUT))
    assert "state.encoder.l0.norm" in found
    assert "state.encoder.l0.reset.mean" not in found


def test_one_call_in_n_is_sampled_and_the_others_return_nothing() -> None:
    module = nn.GRU(INPUT, HIDDEN)
    states = StateSampler(module, every=3)
    sampled = []
    for _ in range(7):
        module(torch.zeros(STEPS, 1, INPUT))
        sampled.append(bool(states.features()))
    assert sampled == [True, False, False, True, False, False, True]


def test_a_model_serves_the_same_with_and_without() -> None:
    model = _Model().eval()
    inputs = torch.randn(STEPS, ROWS, INPUT)
    plain = model(inputs)
    states = StateSampler(model, every=1)
    assert torch.equal(model(inputs), plain)
    states.close()
    model(inputs)
    assert not model._forward_pre_hooks
    assert not model.encoder._forward_hooks


def test_threads_see_their_own_call() -> None:
    module = nn.GRU(1, HIDDEN)
    states = StateSampler(module, every=1)
    module(torch.zeros(STEPS, 1, 1))
    other: list[dict[str, list[float]]] = []

    def serve() -> None:
        other.append(states.features())
        module(torch.ones(STEPS, 1, 1))
        other.append(states.features())

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert other[0] == {}
    assert other[1]["state.gru.l0.norm"] != states.features()["state.gru.l0.norm"]


def test_a_summary_that_fails_leaves_the_prediction_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("seqwatch.torch_states._summary", fail)
    module = nn.GRU(INPUT, HIDDEN)
    states = StateSampler(module, every=1)
    output, _ = module(torch.zeros(STEPS, 1, INPUT))
    assert output.shape == (STEPS, 1, HIDDEN)
    assert states.features() == {}


def test_a_sequence_without_a_batch_is_one_row() -> None:
    torch.manual_seed(6)
    module = nn.LSTM(INPUT, HIDDEN)
    inputs = torch.randn(STEPS, INPUT)
    assert _features(module, inputs) == pytest.approx(_features(module, inputs[:, None]))


def test_a_large_batch_is_summarised_in_part() -> None:
    module = nn.GRU(1, HIDDEN)
    states = StateSampler(module, every=1)
    module(torch.zeros(2, 100, 1))
    assert states.features(63)
    assert states.features(64) == {}
    assert states.features(-1) == {}


def test_the_padded_layout_is_the_packed_one() -> None:
    module = nn.LSTM(INPUT, HIDDEN, batch_first=True)
    packed = pack_padded_sequence(
        torch.randn(ROWS, STEPS, INPUT), torch.tensor([6, 5, 4, 4, 1]), batch_first=True
    )
    returned = module(packed)
    call = read_call(module, packed, None, returned)
    assert torch.equal(call.outputs, pad_packed_sequence(returned[0])[0])
    assert call.lengths.tolist() == [6, 5, 4, 4, 1]
