"""The Grafana dashboards, as code: `make dashboards` writes them to `dashboards/`.

A query takes `max` of what is true of the installation, which all replicas report, and `sum` of
what one process counts. A query whose series may be absent ends in `or vector(0)`. `>= 0`
leaves out quantiles of nothing, which are NaN.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.panels import Dashboard, Panel, burn, number

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
HEIGHTS = {"stat": 4, "chart": 8, "table": 8}
Builder: TypeAlias = stat.Panel | timeseries.Panel | table.Panel
BUILDERS: Mapping[str, type[Builder]] = {
    "stat": stat.Panel,
    "chart": timeseries.Panel,
    "table": table.Panel,
}

EXECUTIVE = Dashboard(
    name="executive",
    title="Seqwatch: executive",
    rows={
        "Models": (
            number("Models", "count(max by (model) (seqwatch_backlog_rows))"),
            number(
                "Models with an alert of severity page",
                'count(max by (model) (seqwatch_alert_firing{severity="page"} == 1)) '
                "or vector(0)",
            ),
            number(
                "Models with an alert of severity ticket",
                'count(max by (model) (seqwatch_alert_firing{severity="ticket"} == 1)) '
                "or vector(0)",
            ),
            number(
                "Open rollouts",
                "count(max by (model) (seqwatch_rollout_open)) or vector(0)",
            ),
            Panel(
                title="Error budget left, by the newest finding",
                queries={
                    "{{model}} {{slo}}": (
                        "max by (model, slo) (seqwatch_slo_error_budget_remaining_ratio)"
                    )
                },
                unit="percentunit",
            ),
            Panel(
                title="Burn rate of 6 h",
                queries={"{{model}} {{slo}}": burn("6h")},
            ),
            Panel(
                title="Alerts that fire, by model",
                queries={
                    "{{model}} {{severity}}": "model_severity:seqwatch_alert_firing:count"
                },
            ),
            Panel(
                title="Rows received per second, by model",
                queries={"{{model}}": "model:seqwatch_ingest_rows:rate5m"},
                unit="cps",
            ),
            Panel(
                title="Version that serves",
                queries={"": "max by (model, version) (seqwatch_champion_info)"},
                shows="table",
            ),
            Panel(
                title="Time between alarms: promised, and over the reference",
                queries={
                    "{{model}} {{monitor}} promised": (
                        "max by (model, monitor) (seqwatch_false_alarm_promised_seconds)"
                    ),
                    "{{model}} {{monitor}} {{source}}": (
                        "max by (model, monitor, source) "
                        '(seqwatch_false_alarm_achieved_seconds{bound="seen"})'
                    ),
                },
                unit="s",
            ),
        ),
    },
)

ON_CALL = Dashboard(
    name="on-call",
    title="Seqwatch: on-call",
    rows={
        "What fires": (
            number("Alerts that fire", "sum(model_severity:seqwatch_alert_firing:count)"),
            number("Faults of the platform", "sum(max by (kind) (seqwatch_platform_alerts))"),
            number("Batches are accepted", "min(seqwatch_ready)"),
            number(
                "Since a worker finished a run",
                "time() - max(seqwatch_heartbeat_timestamp_seconds)",
                "s",
            ),
            Panel(
                title="Burn rate of SLOs, by window",
                queries={
                    f"{{{{model}}}} {{{{slo}}}} {window}": burn(window)
                    for window in ("5m", "1h", "6h")
                },
            ),
            Panel(
                title="Alerts",
                queries={"": "max by (model, monitor, severity) (seqwatch_alert_firing)"},
                shows="table",
            ),
            Panel(
                title="Platform alerts",
                queries={"{{kind}}": "max by (kind) (seqwatch_platform_alerts)"},
            ),
        ),
        "Models": (
            Panel(
                title="Since rows were received",
                queries={
                    "{{model}}": (
                        "time() - max by (model) (seqwatch_last_received_timestamp_seconds)"
                    )
                },
                unit="s",
            ),
            Panel(
                title="Event time not yet evaluated",
                queries={"{{model}}": "max by (model) (seqwatch_evaluation_lag_seconds)"},
                unit="s",
            ),
            Panel(
                title="Share of rows quarantined",
                queries={"{{model}}": "model:seqwatch_ingest_rows_quarantined:ratio_rate5m"},
                unit="percentunit",
            ),
            Panel(
                title="Predictions by version and status",
                queries={
                    "{{model}} {{version}} {{status}}": (
                        "max by (model, version, status) "
                        "(rate(seqwatch_predictions_total[$__rate_interval]))"
                    )
                },
                unit="cps",
            ),
            Panel(
                title="Latency of predictions",
                queries={
                    "{{model}} p95": (
                        "histogram_quantile(0.95, max by (model, le) "
                        "(rate(seqwatch_prediction_latency_seconds_bucket"
                        "[$__rate_interval]))) >= 0"
                    )
                },
                unit="s",
            ),
            Panel(
                title="Drift score",
                queries={
                    "{{model}} {{monitor}}": (
                        "max by (model, monitor) (seqwatch_drift_score) or vector(0)"
                    )
                },
            ),
            Panel(
                title="Label coverage",
                queries={
                    "{{model}} {{monitor}}": (
                        "max by (model, monitor) (seqwatch_label_coverage_ratio)"
                    )
                },
                unit="percentunit",
            ),
            Panel(
                title="Age of the backlog",
                queries={"{{model}}": "max by (model) (seqwatch_backlog_age_seconds)"},
                unit="s",
            ),
        ),
        "Delivery": (
            Panel(
                title="Notifications that wait",
                queries={
                    "pending": "max(seqwatch_deliveries_pending)",
                    "given up": "max(seqwatch_deliveries_dead)",
                },
            ),
            Panel(
                title="Age of the oldest notification",
                queries={"": "max(seqwatch_deliveries_age_seconds)"},
                unit="s",
            ),
        ),
    },
)

DEBUG = Dashboard(
    name="debug",
    title="Seqwatch: debug",
    rows={
        "Ingestion": (
            Panel(
                title="Rows, by outcome",
                queries={
                    "{{model}} {{outcome}}": (
                        "sum by (model, outcome) "
                        "(rate(seqwatch_ingest_rows_total[$__rate_interval]))"
                    )
                },
                unit="cps",
            ),
            Panel(
                title="Time to the acknowledgement",
                queries={
                    "{{kind}} p99": "kind:seqwatch_ingest_request_seconds:p99_5m",
                    "{{kind}} p50": (
                        "histogram_quantile(0.5, sum by (kind, le) "
                        "(rate(seqwatch_ingest_request_seconds_bucket[$__rate_interval]))) "
                        ">= 0"
                    ),
                    "transaction p99": (
                        "histogram_quantile(0.99, sum by (le) "
                        "(rate(seqwatch_ingest_commit_seconds_bucket[$__rate_interval]))) >= 0"
                    ),
                },
                unit="s",
            ),
            Panel(
                title="Batches per transaction",
                queries={
                    "": (
                        "sum(rate(seqwatch_ingest_group_batches_sum[$__rate_interval])) "
                        "/ sum(rate(seqwatch_ingest_group_batches_count[$__rate_interval]))"
                    )
                },
            ),
            Panel(
                title="Request bodies in memory",
                queries={"{{instance}}": "seqwatch_ingest_waiting_bytes"},
                unit="bytes",
            ),
            Panel(
                title="Backlog",
                queries={"{{model}}": "max by (model) (seqwatch_backlog_rows)"},
            ),
            Panel(
                title="Limits reached",
                queries={"{{limit}}": "max by (limit) (seqwatch_limit_reached)"},
            ),
            Panel(
                title="Rows late, repeated, out of order …",
                queries={
                    "{{model}} {{kind}}": (
                        "max by (model, kind) (seqwatch_log_rows_total) or vector(0)"
                    )
                },
            ),
            Panel(
                title="Streams set aside, and failed pulls of sources",
                queries={
                    "{{model}} {{stream}} {{stage}}": (
                        "max by (model, stream, stage) (seqwatch_streams_set_aside) "
                        "or vector(0)"
                    ),
                    "{{model}} {{source}}": (
                        "max by (model, source) (seqwatch_source_failures) or vector(0)"
                    ),
                },
            ),
        ),
        "Jobs": (
            Panel(
                title="Age of the oldest unfinished run",
                queries={"{{job_name}}": "max by (job_name) (seqwatch_job_lag_seconds)"},
                unit="s",
            ),
            Panel(
                title="Runs that are not done",
                queries={
                    "{{job_name}} {{status}}": "max by (job_name, status) (seqwatch_runs)"
                },
            ),
        ),
        "Processes": (
            Panel(
                title="Resident memory of the API",
                queries={"{{instance}}": 'process_resident_memory_bytes{job="seqwatch"}'},
                unit="bytes",
            ),
            Panel(
                title="CPU of the API",
                queries={
                    "{{instance}}": (
                        'rate(process_cpu_seconds_total{job="seqwatch"}[$__rate_interval])'
                    )
                },
            ),
            Panel(
                title="Free disk space",
                queries={"{{store}}": "min by (store) (seqwatch_disk_free_bytes)"},
                unit="bytes",
            ),
        ),
    },
)

DASHBOARDS = (EXECUTIVE, ON_CALL, DEBUG)


def built(one: Dashboard) -> str:
    """Return a dashboard as the JSON that Grafana provisions."""
    builder = (
        dashboard.Dashboard(one.title)
        .uid(f"seqwatch-{one.name}")
        .tags(["seqwatch"])
        .refresh("30s")
        .time("now-6h", "now")
        .readonly()
    )
    for heading, panels in one.rows.items():
        builder.with_row(dashboard.Row(heading))
        for panel in panels:
            builder.with_panel(_panel(panel))
    return json.dumps(builder.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _panel(panel: Panel) -> Builder:
    made = BUILDERS[panel.shows]().title(panel.title).datasource(SOURCE).unit(panel.unit)
    made.span(panel.width).height(HEIGHTS[panel.shows])
    for index, (legend, expr) in enumerate(panel.queries.items()):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).datasource(SOURCE)
        query.ref_id(chr(ord("A") + index))
        if panel.shows == "table":
            query.instant().format(PromQueryFormat.TABLE)
        elif panel.shows == "chart":
            query.exemplar(exemplar=True)
        made.with_target(query)
    return made


def main() -> None:
    """Write every dashboard."""
    for one in DASHBOARDS:
        (FOLDER / f"{one.name}.json").write_text(built(one), "utf-8")


if __name__ == "__main__":
    main()
