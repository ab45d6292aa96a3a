"""One request body for each route that takes one; a test sends them all."""

from typing import Any

CONTRACT: dict[str, Any] = {
    "features": [{"name": "load", "max_length": 24}, {"name": "temperature"}],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 96,
    "horizon": 2,
}

_SHOWN = [7.1, 7.4, 6.9, 6.2, 5.8, 5.5, 5.9, 6.6, 7.8, 8.3, 8.1, 7.7,
          7.2, 7.0, 6.8, 6.7, 7.3, 8.2, 8.8, 8.6, 8.0, 7.5, 7.0, 6.5]  # fmt: skip

BODIES: dict[str, Any] = {
    "put_model": {
        "description": "Hourly load of the transformers, two hours ahead.",
        "contract": CONTRACT,
    },
    "put_slo": {
        "params": {
            "sli": "latency",
            "sli_params": {"slower_than": "PT0.5S"},
            "objective": 0.999,
        }
    },
    "lint_slo": {"params": {"objective": 0.999}},
    "backtest_slo": {"params": {"objective": 0.999, "period": "P7D"}, "days": 30},
    "add_correction": {
        "start": "2026-01-08T12:00:00Z",
        "end": "2026-01-08T13:00:00Z",
        "reason": "load test",
    },
    "put_version": {"manifest": {"scaler": {"mean": [7.0], "std": [2.0]}}},
    "put_champion": {"version": "v1", "expected_rev": 0},
    "send_predictions": {
        "batch_id": "b-1",
        "rows": [
            {
                "prediction_id": "s17:4",
                "version": "v1",
                "at": "2026-01-08T12:00:00Z",
                "entity": "transformer-3",
                "session_id": "s17",
                "step_index": 4,
                "features": {"load": [7.1, 7.4, None], "temperature": 21.5},
                "output": {"load": [7.3, 7.2]},
                "latency_seconds": 0.012,
            }
        ],
    },
    "send_reference": {
        "rows": [
            {
                "prediction_id": "r-1",
                "at": "2026-01-01T12:00:00Z",
                "features": {"load": [7.0], "temperature": 20.0},
            }
        ]
    },
    "send_labels": {
        "rows": [
            {
                "entity": "transformer-3",
                "target_at": "2026-01-08T13:00:00Z",
                "actual": {"load": [7.2]},
            }
        ]
    },
    "send_events": {
        "rows": [
            {
                "event_id": "gpu-3:load:17",
                "type": "load",
                "at": "2026-01-08T11:59:00Z",
                "version": "v1",
                "worker": "gpu-3",
                "duration_seconds": 2.4,
            }
        ]
    },
    "compare_skew": {
        "offline": {"load": _SHOWN},
        "online": {"load": [1000 * value for value in _SHOWN]},
    },
    "put_history": {"until": "2026-01-01T00:00:00Z"},
    "create_backtest": {
        "since": "2026-01-01T00:00:00Z",
        "reference_length": "P60D",
        "monitors": [
            {
                "name": "strict",
                "kind": "input_drift",
                "params": {"days_between_false_alarms": 365},
            }
        ],
    },
    "erase": {"session_id": "s17"},
    "put_monitor": {"kind": "input_drift"},
    "put_channel": {"url": "https://hooks.example.com/seqwatch"},
    "put_route": {"matchers": [{"name": "team", "value": "ml"}], "group_by": ["model"]},
    "create_silence": {
        "matchers": [{"name": "model", "value": "load"}],
        "ends_at": "2126-06-01T06:00:00Z",
        "comment": "new meters",
    },
    "put_silence": {
        "matchers": [{"name": "model", "value": "load"}],
        "ends_at": "2126-06-01T08:00:00Z",
    },
    "acknowledge": {"note": "looking into it"},
    "silence_alert": {"until": "2126-06-01T06:00:00Z", "note": "known"},
    "give_verdict": {"verdict": "false_alarm", "note": "a holiday"},
    "put_configuration": {
        "configuration": {
            "channels": {"on-call": {"config": {"url": "https://hooks.example.com/seqwatch"}}},
            "models": {
                "load": {
                    "contract": CONTRACT,
                    "tags": ["hourly"],
                    "slos": {"availability": {"objective": 0.995}},
                }
            },
        },
        "commit": "8c8c94d",
    },
    "put_trainer": {"kind": "builtin"},
    "report_progress": {"number": 3, "training_error": 0.41, "validation_error": 0.44},
    "report_failure": {"error": "out of memory"},
    "put_source": {
        "kind": "jsonl",
        "config": {"path": "/data/meters.jsonl"},
        "stream": "labels",
        "mapping": {"entity": "meter", "target_at": "read_at", "actual.load": "mw"},
        "timezone": "Europe/Berlin",
        "every": "PT15M",
        "expect_within": "PT2H",
    },
    "create_key": {"name": "forecaster", "scopes": ["ingest"]},
    "retrain": {"reason": "new sensors since May"},
    "command_rollout": {"reason": "the sensors are being replaced"},
}
