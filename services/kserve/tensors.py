"""Tensors of the inference protocol, as lists for each row of a batch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_DIMENSIONS = 8

# How the binary extension writes the numbers of each datatype: little-endian.
_BINARY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


class Unfit(ValueError):
    """A payload does not fit the contract; names the field, and repeats no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output of a request, row-major."""

    name: str
    shape: tuple[int, ...]
    values: Sequence[Any]

    @property
    def n_rows(self) -> int:
        """The length of the first axis, the batch."""
        return self.shape[0]

    def rows(self, names: Sequence[str], what: str) -> list[dict[str, Any]]:
        """Return the lists of each row by name.

        Parameters
        ----------
        names
            Of the features or targets, in the order of the contract. One takes
            all values of a row; of several, each takes its place on the last axis.
        what
            For messages.

        Raises
        ------
        Unfit
            If the last axis is not as long as there are names.

        Examples
        --------
        >>> window = Tensor(name="x", shape=(1, 3, 2), values=[1, 2, 3, 4, 5, 6])
        >>> window.rows(["a", "b"], "inputs")
        [{'a': [1, 3, 5], 'b': [2, 4, 6]}]
        """
        width = len(names)
        if width > 1 and (len(self.shape) < 2 or self.shape[-1] != width):
            raise Unfit(f"{what}: the last axis must have {width} places, one for each name")
        size = math.prod(self.shape[1:])
        return [
            {
                name: [*self.values[row * size + place : (row + 1) * size : width]]
                for place, name in enumerate(names)
            }
            for row in range(self.n_rows)
        ]


def tensors(content: Mapping[str, Any], what: str) -> list[Tensor]:
    """Read the `inputs` or `outputs` of the open inference protocol (v2).

    Raises
    ------
    Unfit
        If one has no name, or its shape and its values contradict each other.
    """
    listed = content.get(what)
    if not isinstance(listed, list) or not listed:
        raise Unfit(f"{what}: expected a list of tensors")
    binary = content.get("binary", b"")
    start, read = 0, []
    for entry in listed:
        if not isinstance(entry, dict):
            raise Unfit(f"{what}: expected objects")
        shape = _shape(entry.get("shape"), what)
        parameters = entry.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            values = [*_flat(entry.get("data"), what)]
        else:
            values = _unpacked(entry.get("datatype"), binary, start, size, what)
            start += size
        if len(values) != math.prod(shape):
            raise Unfit(f"{what}: the shape does not match the number of values")
        read.append(Tensor(name=str(entry.get("name", "")), shape=shape, values=values))
    if len({tensor.n_rows for tensor in read}) > 1:
        raise Unfit(f"{what}: the first axis, the batch, must be the same everywhere")
    return read


def _shape(shape: object, what: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise Unfit(f"{what}: expected a shape of 1 to {MAX_DIMENSIONS} axes")
    if not all(type(length) is int and 0 < length < 2**31 for length in shape):
        raise Unfit(f"{what}: expected a shape of positive integers")
    return tuple(shape)


def _flat(values: object, what: str, depth: int = 0) -> Iterator[Any]:
    if not isinstance(values, list):
        raise Unfit(f"{what}: expected lists of values")
    if depth >= MAX_DIMENSIONS:
        raise Unfit(f"{what}: lists nested too deeply")
    for value in values:
        if isinstance(value, list):
            yield from _flat(value, what, depth + 1)
        else:
            yield value


def _unpacked(
    datatype: object, binary: bytes, start: int, size: object, what: str
) -> list[Any]:
    code = _BINARY.get(datatype) if isinstance(datatype, str) else None
    if code is None:
        raise Unfit(f"{what}: expected a datatype among {', '.join(_BINARY)}")
    if type(size) is not int or size < 0 or size % np.dtype(code).itemsize:
        raise Unfit(f"{what}: binary_data_size is not a whole number of values")
    if start + size > len(binary):
        raise Unfit(f"{what}: fewer bytes follow than binary_data_size")
    values: list[Any] = np.frombuffer(binary[start : start + size], code).tolist()
    return values


def of_instance(instance: object, names: Sequence[str], what: str) -> dict[str, Any]:
    """Return the lists of one row of the first protocol (v1), by name.

    Parameters
    ----------
    instance
        A number, a list, a list of lists, or an object by name.
    names, what
        As in `Tensor.rows`.
    """
    if isinstance(instance, dict):
        return {
            name: [*_flat(value, what)] if isinstance(value, list) else value
            for name, value in instance.items()
        }
    if not isinstance(instance, list):
        return Tensor(name="", shape=(1,), values=[instance]).rows(names, what)[0]
    values = [*_flat(instance, what)]
    steps = [step if isinstance(step, list) else None for step in instance]
    width = len(steps[0] or ()) if steps and steps[0] is not None else len(instance)
    wanted = width if None in steps else width * len(steps)
    if len(values) != wanted or len({*map(type, steps)}) > 1:
        raise Unfit(f"{what}: the lists of a row differ in length, or nest too deeply")
    shape = (1, len(values) // max(width, 1), width)
    return Tensor(name="", shape=shape, values=values).rows(names, what)[0]
