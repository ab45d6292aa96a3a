import numpy as np
import pytest
from numpy.typing import NDArray
from seqwatch import ArtifactUnavailable, Routing, Served

from core.errors import ForeignArtifact
from examples.forecaster.versions import Forecast, VersionFailed, Versions

WINDOWS = np.zeros((2, 4, 1))


def load(content: bytes, sha256: str) -> Forecast:
    """Weights are one number: the forecast."""
    try:
        weight = float(content)
    except ValueError:
        raise ForeignArtifact("not a number") from None

    def forecast(windows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full((len(windows), 3, 1), weight)

    return forecast


def _routing(champion: str, challenger: str | None = None) -> Routing:
    return Routing(
        model="m",
        epoch=1,
        champion=Served(version="v1", sha256=champion),
        challenger=None if challenger is None else Served(version="v2", sha256=challenger),
    )


def _fetch(_: str, sha256: str) -> bytes:
    return sha256.encode()


def _versions() -> Versions:
    return Versions(load, input_length=4, n_channels=1)


def test_what_the_routing_names_is_loaded_and_the_rest_forgotten() -> None:
    versions = _versions()
    versions.prepare(_routing("1", "2"), _fetch)
    assert versions.forecast("v2", WINDOWS).tolist() == np.full((2, 3, 1), 2.0).tolist()
    versions.prepare(_routing("1"), _fetch)
    assert versions.names() == ("v1",)
    with pytest.raises(VersionFailed, match="v2"):
        versions.forecast("v2", WINDOWS)


def test_a_version_is_fetched_once_and_again_when_its_weights_change() -> None:
    fetched: list[str] = []

    def fetch(_: str, sha256: str) -> bytes:
        fetched.append(sha256)
        return sha256.encode()

    versions = _versions()
    for champion in ("1", "1", "5"):
        versions.prepare(_routing(champion), fetch)
    assert fetched == ["1", "5"]
    assert versions.forecast("v1", WINDOWS)[0, 0, 0] == 5.0


def test_a_challenger_that_is_no_weights_fails_when_it_is_asked() -> None:
    versions = _versions()
    versions.prepare(_routing("1", "pickle"), _fetch)
    with pytest.raises(VersionFailed, match="not a number"):
        versions.forecast("v2", WINDOWS)
    assert versions.forecast("v1", WINDOWS)[0, 0, 0] == 1.0


def test_a_champion_that_is_no_weights_is_not_taken() -> None:
    versions = _versions()
    versions.prepare(_routing("1"), _fetch)
    with pytest.raises(ForeignArtifact):
        versions.prepare(_routing("pickle"), _fetch)
    assert versions.forecast("v1", WINDOWS)[0, 0, 0] == 1.0


def test_an_artifact_that_cannot_be_fetched_now_is_asked_for_later() -> None:
    def fetch(version: str, _: str) -> bytes:
        raise ArtifactUnavailable(version)

    with pytest.raises(ArtifactUnavailable):
        _versions().prepare(_routing("1", "2"), fetch)


def test_a_forecast_that_is_not_finite_is_a_failure() -> None:
    versions = _versions()
    versions.prepare(_routing("nan"), _fetch)
    with pytest.raises(VersionFailed, match="finite"):
        versions.forecast("v1", WINDOWS)


def test_a_version_is_cold_until_it_has_forecast() -> None:
    versions = _versions()
    versions.prepare(_routing("1"), _fetch)
    assert versions.is_cold("v1")
    versions.forecast("v1", WINDOWS)
    assert not versions.is_cold("v1")
