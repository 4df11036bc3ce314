//! The query that shows the cause of an incident, in the language of each backend that can.

use super::catalogue::Alert;
use crate::stack::{Language, Stack};

/// A query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    pub(super) language: Language,
    pub(super) text: &'static str,
}

impl Query {
    /// The name of its language.
    pub(super) fn language_name(self) -> &'static str {
        match self.language {
            Language::PromQl => "PromQL",
            Language::LogQl => "LogQL",
            Language::TraceQl => "TraceQL",
            Language::Kql => "KQL",
        }
    }
}

/// The queries for the backends of this stack.
pub(super) fn decisive(alert: Alert, stack: Stack) -> Vec<Query> {
    let query = |language: &Language| {
        let text = match language {
            Language::PromQl => Some(promql(alert)),
            Language::LogQl => logql(alert),
            Language::TraceQl => traceql(alert),
            Language::Kql => Some(kql(alert)),
        };
        text.map(|text| Query { language: *language, text })
    };
    stack.facts().languages.iter().filter_map(query).collect()
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
        // Log lines still arrive; the loss of spans is in the metrics alone.
        Alert::TelemetryLoss => None,
    }
}

fn traceql(alert: Alert) -> Option<&'static str> {
    match alert {
        Alert::HighErrorRate => {
            Some(r#"{ resource.service.name = "payment-service" && kind = server && status = error }"#)
        }
        Alert::HighLatency => Some(r#"{ name = "settle payment" && duration > 1s }"#),
        // A missing event leaves no span.
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
