"""The versions that a service holds in memory, each loaded before its first use."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from seqwatch import Routing, Served

from core.schema.contract import Contract

_log = logging.getLogger(__name__)

# (batch, input_length, channel) -> (batch, horizon, channel), both in raw units.
Forecast = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Load = Callable[[bytes, str], Forecast]
Fetch = Callable[[str, str], bytes]


class VersionFailed(Exception):
    """A version could not forecast; another one may."""


class Versions:
    """The loaded versions of the routing document.

    Parameters
    ----------
    load
        Turns the bytes of an artifact, and their checksum, into a forecast
        function. May raise any exception for another content.
    contract
        The shapes that a version must take and give.
    """

    def __init__(self, load: Load, contract: Contract) -> None:
        self._load = load
        self._warm_up = np.zeros((1, contract.input_length, len(contract.features)))
        self._shape = (contract.horizon, len(contract.targets))
        self._loaded: dict[Served, Forecast] = {}
        self._by_name: dict[str, Forecast] = {}
        self._served: set[str] = set()

    def prepare(self, routing: Routing, fetch: Fetch) -> None:
        """Load the versions of a new document, and unload all others.

        A challenger that cannot be loaded is kept as one that always fails:
        its failures are logged and count against it. A champion that cannot
        be loaded prevents the new document from taking effect.

        Raises
        ------
        VersionFailed
            When the champion's artifact cannot be loaded.
        ArtifactUnavailable
            When an artifact cannot be fetched now.
        """
        loaded: dict[Served, Forecast] = {}
        for served in routing.served:
            known = self._loaded.get(served)
            if known is None:
                is_champion = served == routing.champion
                known = self._take(served, fetch, is_champion=is_champion)
            loaded[served] = known
        # Whole dictionaries are replaced: a concurrent request uses the old ones or the
        # new ones.
        self._loaded = loaded
        self._by_name = {served.version: known for served, known in loaded.items()}

    def names(self) -> Sequence[str]:
        """Return the versions that are loaded."""
        return tuple(self._by_name)

    def is_cold(self, version: str) -> bool:
        """Return whether this process has never forecast with a version before."""
        return version not in self._served

    def forecast(self, version: str, windows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Forecast a batch.

        Parameters
        ----------
        version
            Its name.
        windows : (batch, input_length, channel)
            In raw units, oldest first.

        Returns
        -------
        (batch, horizon, channel)
            In raw units.

        Raises
        ------
        VersionFailed
            When the version is not loaded, raises, or returns values that are
            not numbers.
        """
        known = self._by_name.get(version)
        if known is None:
            raise VersionFailed(f"version {version} is not loaded")
        answer = self._ask(known, windows)
        self._served.add(version)
        return answer

    def _take(self, served: Served, fetch: Fetch, *, is_champion: bool) -> Forecast:
        try:
            return self._warm(served, fetch)
        except VersionFailed as error:
            if is_champion:
                raise
            _log.exception("challenger %s cannot be loaded", served.version)
            return _broken(str(error))

    def _warm(self, served: Served, fetch: Fetch) -> Forecast:
        if served.sha256 is None:
            raise VersionFailed(f"version {served.version} has no artifact")
        content = fetch(served.version, served.sha256)
        try:
            forecast = self._load(content, served.sha256)
        except Exception as error:
            raise VersionFailed(f"{error!r}") from error
        self._ask(forecast, self._warm_up)
        return forecast

    def _ask(self, forecast: Forecast, windows: NDArray[np.float64]) -> NDArray[np.float64]:
        try:
            answer = forecast(windows)
        except Exception as error:
            raise VersionFailed(f"{error!r}") from error
        if answer.shape != (len(windows), *self._shape):
            raise VersionFailed(f"the forecast has shape {answer.shape}")
        if not np.isfinite(answer).all():
            raise VersionFailed("the forecast is not finite")
        return answer


def _broken(reason: str) -> Forecast:
    def fail(_: NDArray[np.float64]) -> NDArray[np.float64]:
        raise VersionFailed(reason)

    return fail
