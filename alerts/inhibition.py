"""Inhibition: which alerts notify nobody while an input fault explains them."""

from collections.abc import Mapping, Set

from monitors.data_quality import data_quality
from monitors.finding import Json

# They evaluate the model, and a broken input explains what they find.
INHIBITED = (
    "input_drift",
    "prediction_drift",
    "mean_shift",
    "temporal_pattern",
    "window_profile",
    "accuracy",
    "segment_accuracy",
    "residuals",
    "calibration",
)


def is_inhibited(kind: str, detail: Mapping[str, Json], broken: Set[str]) -> bool:
    """Tell whether an alert is inhibited by the input faults of its model.

    Parameters
    ----------
    kind
        Of the alert's monitor.
    detail
        Of the newest finding in breach. An alert of `data_quality` is inhibited
        only while every flaw it lists is of a broken feature.
    broken
        The features that an enabled `input_fault` monitor follows.

    Examples
    --------
    >>> is_inhibited("accuracy", {}, {"load"}), is_inhibited("accuracy", {}, set())
    (True, False)
    >>> is_inhibited("burn_rate", {}, {"load"})
    False
    """
    if kind == "data_quality":
        return data_quality.is_explained(detail, broken)
    return bool(broken) and kind in INHIBITED
