"""Requests and responses of the inference protocol, read by the contract."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from core.schema.contract import Contract
from services.kserve.tensors import Unfit, of_instance, tensors

# Fields that a request may hold of its rows, beside the features.
ROW_FIELDS = ("entity", "session_id", "step_index", "session_start", "session_end")


@dataclass(frozen=True, slots=True, kw_only=True)
class KServeRequest:
    """The rows of a request: their fields, and the lists of their features."""

    about: Mapping[str, Any]
    features: dict[str, Any]


def asked(payload: object, contract: Contract) -> list[KServeRequest | Unfit]:
    """Read the rows of a request of either protocol, or why one does not fit.

    Raises
    ------
    Unfit
        If it is of neither, or its tensors do not map to the features.
    """
    content = _object(payload)
    if "instances" in content:
        return [_or_unfit(_instance, each, contract) for each in _rows(content, "instances")]
    about = content.get("parameters")
    about = _about(about if isinstance(about, dict) else {})
    rows = _named(content, "inputs", contract.feature_names)
    return [KServeRequest(about=about, features=row) for row in rows]


def answered(payload: object, contract: Contract) -> list[dict[str, Any] | Unfit]:
    """Read the outputs of a response of either protocol, by target.

    Raises
    ------
    Unfit
        If it is of neither, or its tensors do not map to the targets.
    """
    content = _object(payload)
    if "predictions" in content:
        return [_or_unfit(_output, each, contract) for each in _rows(content, "predictions")]
    rows = _named(content, "outputs", contract.targets)
    return [_or_unfit(_numbers, row, contract) for row in rows]


def version_of(payload: object) -> str | None:
    """Return the version that a response of the second protocol bears."""
    document = payload.get("model_version") if isinstance(payload, dict) else None
    return document if isinstance(document, str) and document else None


def _object(payload: object) -> Mapping[str, Any]:
    if not isinstance(payload, dict):
        raise Unfit("the payload is not a JSON object of the inference protocol")
    return payload


def _rows(content: Mapping[str, Any], what: str) -> list[Any]:
    rows = content[what]
    if not isinstance(rows, list) or not rows:
        raise Unfit(f"{what}: expected a list of at least one")
    return rows


def _about(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ROW_FIELDS if name in document}


def _instance(instance: object, contract: Contract) -> KServeRequest:
    if not isinstance(instance, dict):
        lists = of_instance(instance, contract.feature_names, "instances")
        return KServeRequest(about={}, features=lists)
    about = _about({k: v for k, v in instance.items() if k not in contract.feature_names})
    rest = {name: value for name, value in instance.items() if name not in about}
    return KServeRequest(
        about=about, features=of_instance(rest, contract.feature_names, "instances")
    )


def _output(prediction: object, contract: Contract) -> dict[str, Any]:
    return _numbers(of_instance(prediction, contract.targets, "predictions"), contract)


def _numbers(output: dict[str, Any], contract: Contract) -> dict[str, Any]:
    """Let nothing pass but the numbers that the contract names: they wait unmasked."""
    if output.keys() - {*contract.targets}:
        raise Unfit("the response names an output that is no target")
    for values in output.values():
        for value in values if isinstance(values, list) else [values]:
            if value is not None and type(value) not in (int, float):
                raise Unfit("the response holds an output that is no number")
    return output


Read = TypeVar("Read")


def _or_unfit(
    read: Callable[[Any, Contract], Read], row: object, contract: Contract
) -> Read | Unfit:
    try:
        return read(row, contract)
    except Unfit as unfit:
        return unfit


def _named(
    content: Mapping[str, Any], what: str, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Map tensors by name, or a single one of any name by its last axis."""
    read = tensors(content, what)
    given = {tensor.name: tensor for tensor in read}
    if len(given) < len(read):
        raise Unfit(f"{what}: two tensors have the same name")
    if len(read) == 1 and (len(names) > 1 or read[0].name not in names):
        return read[0].rows(names, what)
    # A model may put out more than the contract follows; it may not be fed more.
    wanted = read if what == "inputs" else [given[name] for name in names if name in given]
    rows: list[dict[str, Any]] = [{} for _ in range(read[0].n_rows)]
    for tensor in wanted:
        for row, lists in zip(rows, tensor.rows([tensor.name], what), strict=True):
            row.update(lists)
    return rows
