"""The gates of an LSTM or GRU, recomputed from its inputs and outputs.

The fused kernels do not return their gates. But a gate depends only on the input
and on the hidden state one step before, and the hidden states are the layer's
output: one matrix product for all steps gives them, without a loop.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
)

Recurrent = nn.LSTM | nn.GRU
LSTM_GATES = ("input", "forget", "cell", "output")
GRU_GATES = ("reset", "update", "new")
CANDIDATES = frozenset({"cell", "new"})  # these are a tanh, the others a sigmoid


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a recurrent module, in one layout for all modules.

    Attributes
    ----------
    inputs : (step, row, feature)
    outputs : (step, row, direction x hidden)
    lengths : (row,)
        Steps of each row; what is after them is padding.
    before, after : tuple of (layer x direction, row, hidden)
        The hidden state, and of an LSTM the cell state.
    """

    inputs: Tensor
    outputs: Tensor
    lengths: Tensor
    before: tuple[Tensor, ...]
    after: tuple[Tensor, ...]

    @property
    def is_padded(self) -> bool:
        """Whether some row is shorter than the longest."""
        return bool((self.lengths < self.inputs.shape[0]).any())

    @property
    def is_inside(self) -> Tensor:
        """(step, row): which steps are no padding."""
        steps = torch.arange(self.inputs.shape[0], device=self.lengths.device)
        return steps[:, None] < self.lengths[None, :]

    def first(self, n_rows: int) -> "Call":
        """Return the call restricted to the first rows."""
        return Call(
            inputs=self.inputs[:, :n_rows],
            outputs=self.outputs[:, :n_rows],
            lengths=self.lengths[:n_rows],
            before=tuple(state[:, :n_rows].contiguous() for state in self.before),
            after=tuple(state[:, :n_rows] for state in self.after),
        )


def read_call(
    module: Recurrent,
    given: Tensor | PackedSequence,
    before: Tensor | tuple[Tensor, Tensor] | None,
    returned: tuple[Tensor | PackedSequence, Tensor | tuple[Tensor, Tensor]],
) -> Call:
    """Return a call in the common layout, whatever the module's own is."""
    outputs, after = returned
    inputs, lengths, is_single = _steps_first(module, given)
    states = _states(after, is_single)
    return Call(
        inputs=inputs,
        outputs=_steps_first(module, outputs)[0],
        lengths=lengths,
        before=_zeros(states) if before is None else _states(before, is_single),
        after=states,
    )


def layers(module: Recurrent, call: Call) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield each layer and direction by name, with its gates.

    Every gate is (step, row, hidden). In training with dropout only the first
    layer's input is known, so that nothing is yielded.
    """
    is_random = module.training and module.dropout > 0
    if is_random and module.num_layers > 1:
        return
    n_directions = 2 if module.bidirectional else 1
    inputs = call.inputs
    for layer in range(module.num_layers):
        before = tuple(
            state[layer * n_directions : (layer + 1) * n_directions] for state in call.before
        )
        is_last = layer == module.num_layers - 1
        outputs = call.outputs if is_last else _run(module, layer, inputs, before, call)
        by_direction = outputs.chunk(n_directions, dim=-1)
        for i, (suffix, hidden) in enumerate(zip(("", "_reverse"), by_direction, strict=False)):
            previous = _previous(hidden, before[0][i], call.lengths, is_reverse=i == 1)
            weights = _weights(module, layer, suffix)
            yield f"l{layer}{suffix}", _gates(module, inputs, previous, weights)
        inputs = outputs


def _steps_first(
    module: Recurrent, values: Tensor | PackedSequence
) -> tuple[Tensor, Tensor, bool]:
    if isinstance(values, PackedSequence):
        padded, lengths = pad_packed_sequence(values)
        return padded, lengths.to(padded.device), False
    is_single = values.dim() == 2  # (step, feature): no batch
    if is_single:
        values = values.unsqueeze(1)
    elif module.batch_first:
        values = values.transpose(0, 1)
    n_steps, n_rows = values.shape[:2]
    return values, torch.full((n_rows,), n_steps, device=values.device), is_single


def _states(states: Tensor | tuple[Tensor, ...], is_single: bool) -> tuple[Tensor, ...]:
    each = (states,) if isinstance(states, Tensor) else tuple(states)
    return tuple(state.unsqueeze(1) if is_single else state for state in each)


def _zeros(states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(state) for state in states)


def _weights(module: Recurrent, layer: int, suffix: str) -> list[Tensor]:
    names = ["weight_ih", "weight_hh"]
    if module.bias:
        names += ["bias_ih", "bias_hh"]
    if module.proj_size > 0:
        names.append("weight_hr")
    weights: list[Tensor] = [getattr(module, f"{name}_l{layer}{suffix}") for name in names]
    return weights


def _run(
    module: Recurrent, layer: int, inputs: Tensor, before: tuple[Tensor, ...], call: Call
) -> Tensor:
    """Return the outputs of one layer that is not the last: by the same kernel."""
    weights = _weights(module, layer, "")
    if module.bidirectional:
        weights += _weights(module, layer, "_reverse")
    is_lstm = isinstance(module, nn.LSTM)
    run: Callable[..., Any] = torch.lstm if is_lstm else torch.gru
    state: Any = before if is_lstm else before[0]
    tail = (weights, module.bias, 1, 0.0, False, module.bidirectional)
    if not call.is_padded:
        outputs: Tensor = run(inputs, state, *tail, False)[0]
        return outputs
    packed = pack_padded_sequence(inputs, call.lengths.cpu(), enforce_sorted=False)
    order = packed.sorted_indices
    ordered = tuple(each[:, order].contiguous() for each in before)
    state = ordered if is_lstm else ordered[0]
    flat = run(packed.data, packed.batch_sizes, state, *tail)[0]
    back = PackedSequence(flat, packed.batch_sizes, order, packed.unsorted_indices)
    return pad_packed_sequence(back, total_length=inputs.shape[0])[0]


def _previous(hidden: Tensor, first: Tensor, lengths: Tensor, *, is_reverse: bool) -> Tensor:
    """Return the hidden state one step before, in the order of this direction."""
    if not is_reverse:
        return torch.cat([first[None], hidden[:-1]])
    shifted = torch.cat([hidden[1:], first[None]])
    steps = torch.arange(hidden.shape[0], device=hidden.device)[:, None]
    is_first = (steps == lengths[None, :] - 1)[..., None]
    return torch.where(is_first, first[None], shifted)


def _gates(
    module: Recurrent, inputs: Tensor, previous: Tensor, weights: list[Tensor]
) -> dict[str, Tensor]:
    biases = weights[2:4] if module.bias else [None, None]
    from_input = nn.functional.linear(inputs, weights[0], biases[0])
    from_state = nn.functional.linear(previous, weights[1], biases[1])
    if isinstance(module, nn.LSTM):
        parts = (from_input + from_state).chunk(4, dim=-1)
        return {
            name: torch.tanh(part) if name in CANDIDATES else torch.sigmoid(part)
            for name, part in zip(LSTM_GATES, parts, strict=True)
        }
    x, h = from_input.chunk(3, dim=-1), from_state.chunk(3, dim=-1)
    reset = torch.sigmoid(x[0] + h[0])
    update = torch.sigmoid(x[1] + h[1])
    return {"reset": reset, "update": update, "new": torch.tanh(x[2] + reset * h[2])}
