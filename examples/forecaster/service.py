"""Run the inference service with torch behind it: `python -m examples.forecaster.service`."""

import torch
import uvicorn

from examples.forecaster.app import ServiceSettings, create_app
from examples.forecaster.versions import Forecast
from examples.forecaster.world import CONTRACT
from retrain.template import predictor


def load(content: bytes, sha256: str) -> Forecast:
    """Turn an artifact into a forecast function, by the template of its format."""
    return predictor(content, sha256)


def main() -> None:
    """Serve with the settings of the environment."""
    settings = ServiceSettings()
    torch.set_num_threads(1)  # small batches: more threads are slower
    app = create_app(settings, CONTRACT, load)
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning")


if __name__ == "__main__":
    main()
