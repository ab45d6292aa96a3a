import json
import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save

from core.errors import ForeignArtifact
from retrain import artifact_header
from retrain.artifact_header import check_header, sha256_of
from retrain.drill import scramble
from retrain.templates.segment_lstm import FORMAT
from retrain.training.forecast import Forecaster, forecast
from retrain.training.segment_lstm import TEMPLATE, Config, SegmentLstm

encode, decode = TEMPLATE.encode, TEMPLATE.decode

CONFIG = Config(n_channels=2, input_length=12, horizon=3, segment=4, width=8)


def _forecaster(seed: int = 0) -> Forecaster:
    torch.manual_seed(seed)
    return Forecaster(
        network=SegmentLstm(CONFIG).eval(), mean=np.array([1.0, -2.0]), std=np.array([2.0, 0.5])
    )


def _contexts(n: int = 5) -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(size=(n, 12, 2))


def _altered(tensors: dict[str, torch.Tensor | None] | None = None, **stated: object) -> bytes:
    """Return an artifact of which parts were replaced, or taken away by None."""
    parts: dict[str, torch.Tensor | None] = {**load(encode(_forecaster())), **(tensors or {})}
    declared = {"format": FORMAT, "config": asdict(CONFIG)} | stated
    return save(
        {name: t for name, t in parts.items() if t is not None},
        metadata={"seqwatch": json.dumps(declared)},
    )


def test_what_was_encoded_forecasts_the_same() -> None:
    content = encode(_forecaster())
    decoded = decode(content, sha256_of(content))
    np.testing.assert_array_equal(
        forecast(decoded, _contexts()), forecast(_forecaster(), _contexts())
    )
    assert encode(decoded) == content


def test_a_decoded_network_can_be_trained_further() -> None:
    content = encode(_forecaster())
    network = decode(content, sha256_of(content)).network
    assert all(weights.requires_grad for weights in network.parameters())
    assert not network.training


def test_one_damaged_byte_is_noticed() -> None:
    content = encode(_forecaster())
    damaged = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(ForeignArtifact, match="checksum"):
        decode(damaged, sha256_of(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(_altered(format="other 3"), "its format is 'other 3'", id="other format"),
        pytest.param(_altered(config={"width": 8}), "config cannot be read", id="no config"),
        pytest.param(
            save({"a": torch.ones(1)}, metadata={"seqwatch": "{"}), "metadata", id="no metadata"
        ),
        pytest.param(save({"a": torch.ones(1)}), "its format is None", id="somebody else's"),
        pytest.param(
            _altered(config=asdict(CONFIG) | {"segment": 5}),
            "5 steps do not",
            id="segment of another length",
        ),
        pytest.param(
            _altered(config=asdict(CONFIG) | {"width": 16}), "do not fit", id="other width"
        ),
        pytest.param(
            _altered(config=asdict(CONFIG) | {"n_channels": 3}), "scaler", id="other channels"
        ),
        pytest.param(_altered({"scaler.std": None}), "no scaler.std", id="half a scaler"),
        pytest.param(
            _altered({"scaler.std": torch.zeros(2)}), "positive", id="divides by zero"
        ),
        pytest.param(
            _altered({"network.output.bias": None}), "output.bias", id="a tensor is missing"
        ),
        pytest.param(_altered({"stranger": torch.ones(1)}), "stranger", id="a tensor too many"),
        pytest.param(
            _altered({"network.output.bias": torch.zeros(6, dtype=torch.float64)}),
            "not float32: network.output.bias",
            id="other numbers",
        ),
        pytest.param(
            _altered({"network.output.bias": torch.full((6,), float("nan"))}),
            "not finite: network.output.bias",
            id="no numbers",
        ),
    ],
)
def test_a_foreign_artifact_is_refused_by_name(content: bytes, message: str) -> None:
    with pytest.raises(ForeignArtifact, match=message):
        decode(content, sha256_of(content))


@pytest.mark.parametrize("width", [50_000, 2**40])
def test_a_config_that_declares_a_giant_costs_no_memory(width: int) -> None:
    content = _altered(config=asdict(CONFIG) | {"width": width})
    tracemalloc.start()
    with pytest.raises(ForeignArtifact, match="do not fit"):
        decode(content, sha256_of(content))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"PK\x03\x04" + bytes(40), "pickles are never loaded", id="torch.save"),
        pytest.param(b"\x80\x04\x95" + bytes(40), "a pickle", id="a pickle"),
        pytest.param(b"GGUF" + bytes(40), "a GGUF file", id="another format"),
        pytest.param(b"", "header too small", id="nothing"),
        pytest.param((2**60).to_bytes(8, "little"), "not safetensors", id="a huge header"),
        pytest.param(encode(_forecaster())[:-5], "not safetensors", id="cut short"),
        pytest.param(encode(_forecaster()) + b"!", "not safetensors", id="something follows"),
    ],
)
def test_what_is_no_safetensors_file_is_named(content: bytes, message: str) -> None:
    with pytest.raises(ForeignArtifact, match=message):
        check_header(content)


def test_a_good_file_may_begin_like_a_pickle() -> None:
    """Its first byte is the lowest of the length of its header: any multiple of 8."""
    result = [save({"a": torch.ones(1)}, {"_": "x" * n}) for n in range(0, 256, 8)]
    content = next(content for content in result if content[0] == 0x80)
    assert check_header(content).shapes == {"a": (1,)}


def test_the_header_holds_the_shapes() -> None:
    assert check_header(encode(_forecaster())).shapes["network.output.bias"] == (6,)


@pytest.mark.parametrize("limit", ["MAX_BYTES", "MAX_TENSORS"])
def test_what_is_too_large_is_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_header, limit, 3)
    with pytest.raises(ForeignArtifact, match=r"\d+ (bytes|tensors)"):
        check_header(encode(_forecaster()))


def test_scrambled_weights_are_valid_and_useless() -> None:
    content = encode(_forecaster())
    useless = scramble(content, seed=1)
    predicted = forecast(decode(useless, sha256_of(useless)), _contexts())
    assert np.isfinite(predicted).all()
    assert np.abs(predicted - forecast(_forecaster(), _contexts())).mean() > 0.1
    assert scramble(content, seed=1) == useless
    assert scramble(content, seed=2) != useless


def test_a_context_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(batch, \*\(12, 2\)\)"):
        forecast(_forecaster(), np.zeros((1, 11, 2)))


def test_a_hole_in_one_context_leaves_the_others_alone() -> None:
    contexts = _contexts()
    expected = forecast(_forecaster(), contexts)
    contexts[2, 4, 0] = np.nan
    predicted = forecast(_forecaster(), contexts)
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(predicted[others], expected[others], atol=1e-6)
    assert np.isnan(predicted[2]).any()
