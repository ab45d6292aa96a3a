import numpy as np
import pytest
from numpy.typing import NDArray
from seqwatch import ArtifactUnavailable, Routing, Served

from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from examples.forecaster.versions import Forecast, VersionFailed, Versions

CONTRACT = Contract(
    features=(Feature(name="load"),),
    targets=("load",),
    step=HOUR,
    input_length=4,
    horizon=3,
)
WINDOWS = np.zeros((2, 4, 1))
ANOTHER_SHAPE = 44.0


def load(content: bytes, sha256: str) -> Forecast:
    """Weights are one number: the forecast."""
    weight = float(content)
    horizon = 4 if weight == ANOTHER_SHAPE else 3

    def forecast(windows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full((len(windows), horizon, 1), weight)

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
    return Versions(load, CONTRACT)


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


BAD = [
    pytest.param("pickle", "could not convert", id="it is no weights"),
    pytest.param("44", "shape", id="it answers in another shape"),
    pytest.param("nan", "finite", id="it answers with what is no number"),
]


@pytest.mark.parametrize(("challenger", "reason"), BAD)
def test_a_challenger_that_cannot_be_loaded_fails_when_it_is_asked(
    challenger: str, reason: str
) -> None:
    versions = _versions()
    versions.prepare(_routing("1", challenger), _fetch)
    with pytest.raises(VersionFailed, match=reason):
        versions.forecast("v2", WINDOWS)
    assert versions.forecast("v1", WINDOWS)[0, 0, 0] == 1.0


@pytest.mark.parametrize(("champion", "reason"), BAD)
def test_a_champion_that_cannot_be_loaded_is_not_taken(champion: str, reason: str) -> None:
    versions = _versions()
    versions.prepare(_routing("1"), _fetch)
    with pytest.raises(VersionFailed, match=reason):
        versions.prepare(_routing(champion), _fetch)
    assert versions.forecast("v1", WINDOWS)[0, 0, 0] == 1.0


def test_an_artifact_that_cannot_be_fetched_now_is_asked_for_later() -> None:
    def fetch(version: str, _: str) -> bytes:
        raise ArtifactUnavailable(version)

    with pytest.raises(ArtifactUnavailable):
        _versions().prepare(_routing("1", "2"), fetch)


def test_a_version_is_cold_until_it_has_forecast() -> None:
    versions = _versions()
    versions.prepare(_routing("1"), _fetch)
    assert versions.is_cold("v1")
    versions.forecast("v1", WINDOWS)
    assert not versions.is_cold("v1")
