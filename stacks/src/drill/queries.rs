//! The query that decides what an incident is, in the language of each backend that can tell.

use super::catalogue::Alert;
use crate::backends::stack::Kind;

/// One query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    /// The language that it is written in.
    pub(super) language: &'static str,
    /// The query.
    pub(super) text: &'static str,
}

const PROMQL: &str = "PromQL";

impl Query {
    /// Whether Prometheus answers it.
    pub(super) fn is_promql(self) -> bool {
        self.language == PROMQL
    }
}

/// What to ask the backends of this stack.
pub(super) fn decisive(alert: Alert, kind: Kind) -> Vec<Query> {
    let promql = Some(Query { language: PROMQL, text: promql(alert) });
    let logql = logql(alert).map(|text| Query { language: "LogQL", text });
    let traceql = traceql(alert).map(|text| Query { language: "TraceQL", text });
    let kql = Some(Query { language: "KQL", text: kql(alert) });
    let asked = match kind {
        Kind::Local => [promql, None, None],
        Kind::Classic => [promql, logql, None],
        Kind::Lgtm => [promql, logql, traceql],
        Kind::Elk => [kql, None, None],
    };
    asked.into_iter().flatten().collect()
}

fn promql(alert: Alert) -> &'static str {
    match alert {
        Alert::HighErrorRate => {
            r#"sum by (job, route, status) (rate(http_request_duration_seconds_count{status=~"5.."}[1m])) > 0"#
        }
        Alert::ServiceDown => "up == 0",
        Alert::HighLatency => {
            "histogram_quantile(0.95, sum by (job, route, le) (rate(http_request_duration_seconds_bucket[1m]))) > 1"
        }
        Alert::QueueProcessingFailures => {
            r#"inbox_queued > 0 and on (job) sum by (job) (rate(emails_sent_total[1m])) == 0"#
        }
        Alert::TelemetryLoss => {
            "sum by (job, signal, destination) (telemetry_queued) > 0 \
             and sum by (job, signal, destination) (rate(telemetry_exported_total[1m])) == 0"
        }
    }
}

fn logql(alert: Alert) -> Option<&'static str> {
    match alert {
        Alert::HighErrorRate => Some(r#"{service_name="payment-service"} |= "payment not settled""#),
        Alert::ServiceDown => Some(r#"{service_name="email-service"} |= "stopping""#),
        Alert::HighLatency => {
            Some(r#"{service_name="payment-service"} |= "request answered" | event_duration > 1000000000"#)
        }
        Alert::QueueProcessingFailures => {
            Some(r#"sum(count_over_time({service_name="email-service"} |= "e-mail sent" [1m]))"#)
        }
        // The log lines arrive; that spans don't is told by the metrics alone.
        Alert::TelemetryLoss => None,
    }
}

fn traceql(alert: Alert) -> Option<&'static str> {
    match alert {
        Alert::HighErrorRate => {
            Some(r#"{ resource.service.name = "payment-service" && kind = server && status = error }"#)
        }
        Alert::HighLatency => Some(r#"{ name = "settle payment" && duration > 1s }"#),
        // What does not happen leaves no span.
        Alert::ServiceDown | Alert::QueueProcessingFailures | Alert::TelemetryLoss => None,
    }
}

fn kql(alert: Alert) -> &'static str {
    match alert {
        Alert::HighErrorRate => r#"service.name : "payment-service" and message : "payment not settled""#,
        Alert::ServiceDown => r#"service.name : "email-service" and message : "stopping""#,
        Alert::HighLatency => r#"service.name : "payment-service" and event.duration > 1000000000"#,
        Alert::QueueProcessingFailures => {
            r#"service.name : "email-service" and message : "simulation changed""#
        }
        Alert::TelemetryLoss => r#"processor.event : "transaction""#,
    }
}
