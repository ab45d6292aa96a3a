"""A loop that forecasts hour after hour with a state, and logs labels."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from seqwatch import Monitor
from seqwatch.torch_states import StateSampler

from examples.serving.model import Forecaster, State

HOUR = timedelta(hours=1)


def serve(
    monitor: Monitor,
    hours: Iterable[tuple[datetime, NDArray[np.float32]]],
    *,
    entity: str,
    every: int = 10,
) -> list[list[float]]:
    """Forecast after every hour, and log its label.

    Parameters
    ----------
    hours
        Each hour's time and its values: load, temperature.
    entity
        Whose load it is.
    every
        Sample the hidden state every so many forecasts.
    """
    model = Forecaster().eval()
    states = StateSampler(model, every)
    state: State | None = None
    forecasts = []
    session_id = None
    for step, (at, values) in enumerate(hours):
        session_id = session_id or f"{entity}:{at:%Y-%m-%dT%H}"
        with monitor.predict(
            at=at,
            entity=entity,
            session_id=session_id,
            step_index=step,
            session_start=step == 0,
        ) as prediction:
            with torch.no_grad():
                output, state = model(torch.from_numpy(values)[None, None], state)
            prediction.features = {
                "load": [float(values[0])],
                "temperature": [float(values[1])],
                **states.features(),
            }
            prediction.output = {"load": output[0].tolist()}
        # The label of the previous hour's forecast has just arrived.
        monitor.label(entity=entity, target_at=at, actual={"load": [float(values[0])]})
        forecasts.append(output[0].tolist())
    states.close()
    return forecasts
