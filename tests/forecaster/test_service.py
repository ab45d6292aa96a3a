"""Real weights behind the service."""

import numpy as np
import torch
from seqwatch import Routing, Served

from examples.forecaster.service import load
from examples.forecaster.versions import Versions
from examples.forecaster.world import CONTRACT, START, time_of
from retrain.artifact_header import sha256_of
from retrain.training.forecast import Forecaster, forecast
from retrain.training.segment_lstm import TEMPLATE, Config, SegmentLstm


def test_an_artifact_forecasts_as_the_network_that_it_was_made_of() -> None:
    torch.manual_seed(1)
    n_channels = len(CONTRACT.features)
    config = Config(n_channels=n_channels, input_length=96, horizon=24, segment=24, width=8)
    trained = Forecaster(
        network=SegmentLstm(config).eval(),
        mean=np.arange(n_channels, dtype=np.float64),
        std=np.full(n_channels, 2.0),
    )
    content = TEMPLATE.encode(trained)
    served = Served(version="v1", sha256=sha256_of(content))
    versions = Versions(load, CONTRACT)
    versions.prepare(
        Routing(model="m", epoch=1, champion=served), lambda version, sha256: content
    )
    windows = np.random.default_rng(0).normal(size=(3, 96, n_channels))
    assert (versions.forecast("v1", windows) == forecast(trained, windows)).all()


def test_the_clock_of_the_world_starts_with_the_series() -> None:
    assert time_of(0) == START
    assert time_of(25).isoformat() == "2016-07-02T01:00:00+00:00"
