//! The expressions that show a fault.

use stacks::local::layout::Component::{self, Gateway, Mailer, Payment};

/// What a metric must do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// A counter grows.
    Grow,
    /// A gauge is above this value.
    Exceed(f64),
    /// A gauge is 0.
    Vanish,
    /// The durations of a histogram since the last scrape are longer than these seconds on average.
    Last(f64),
}
use Does::{Exceed, Grow, Last, Vanish};

/// An expression that is judged at each scrape.
pub(super) struct Expression {
    /// How it is written in PromQL.
    pub(super) text: &'static str,
    pub(super) service: Component,
    /// The beginning of its series, and a part that they have.
    pub(super) series: (&'static str, &'static str),
    pub(super) does: Does,
}

const fn expression(
    text: &'static str,
    service: Component,
    series: (&'static str, &'static str),
    does: Does,
) -> Expression {
    Expression { text, service, series, does }
}

/// The expressions, from those that name a cause to those that name an effect.
pub(super) const EXPRESSIONS: &[Expression] = &[
    expression(
        "messaging_published_total{outcome=\"set_aside\"} grows",
        Payment,
        ("messaging_published_total", "set_aside"),
        Grow,
    ),
    expression(
        "messaging_received_total{outcome=\"parked\"} grows",
        Mailer,
        ("messaging_received_total", "parked"),
        Grow,
    ),
    expression("emails_sent_total{outcome=\"dead\"} grows", Mailer, ("emails_sent_total", "dead"), Grow),
    expression("broker_blocked == 1", Payment, ("broker_blocked", ""), Exceed(0.5)),
    expression(
        "telemetry_spool_damaged_bytes_total grows",
        Payment,
        ("telemetry_spool_damaged_bytes_total", ""),
        Grow,
    ),
    expression(
        "telemetry_dropped_total{reason=\"damaged\"} grows",
        Payment,
        ("telemetry_dropped_total", "damaged"),
        Grow,
    ),
    expression("telemetry_retries_total grows", Payment, ("telemetry_retries_total", ""), Grow),
    expression("broker_connected == 0 (payment)", Payment, ("broker_connected", ""), Vanish),
    expression("broker_connected == 0 (mailer)", Mailer, ("broker_connected", ""), Vanish),
    expression(
        "messaging_published_total{outcome=\"failed\"} grows",
        Payment,
        ("messaging_published_total", "failed"),
        Grow,
    ),
    expression("emails_uncertain_total grows", Mailer, ("emails_uncertain_total", ""), Grow),
    expression(
        "emails_sent_total{outcome=\"retried\"} grows",
        Mailer,
        ("emails_sent_total", "retried"),
        Grow,
    ),
    expression(
        "http_client_request_duration_seconds{outcome=\"connect\"} grows",
        Gateway,
        ("http_client_request_duration_seconds_count", "\"connect\""),
        Grow,
    ),
    expression(
        "http_client_request_duration_seconds{outcome=\"timeout\"} grows",
        Gateway,
        ("http_client_request_duration_seconds_count", "\"timeout\""),
        Grow,
    ),
    expression(
        "http_client_request_duration_seconds{outcome=\"unavailable\"} grows",
        Gateway,
        ("http_client_request_duration_seconds_count", "\"unavailable\""),
        Grow,
    ),
    expression(
        "http_client_request_duration_seconds{outcome=\"contract\"} grows",
        Gateway,
        ("http_client_request_duration_seconds_count", "\"contract\""),
        Grow,
    ),
    expression(
        "http_requests{status=\"404\"} grows",
        Gateway,
        ("http_request_duration_seconds_count", "\"404\""),
        Grow,
    ),
    expression(
        "http_requests{status=\"408\"} grows",
        Gateway,
        ("http_request_duration_seconds_count", "\"408\""),
        Grow,
    ),
    expression(
        "http_requests{status=\"409\"} grows",
        Gateway,
        ("http_request_duration_seconds_count", "\"409\""),
        Grow,
    ),
    expression(
        "http_requests{status=\"429\"} grows",
        Gateway,
        ("http_request_duration_seconds_count", "\"429\""),
        Grow,
    ),
    expression(
        "http_requests{status=\"499\"} grows",
        Gateway,
        ("http_request_duration_seconds_count", "\"499\""),
        Grow,
    ),
    expression(
        "http_requests{status=~\"5..\"} grows",
        Gateway,
        ("http_request_duration_seconds_count", "status=\"5"),
        Grow,
    ),
    expression(
        "http_server_active_requests > 100",
        Gateway,
        ("http_server_active_requests", ""),
        Exceed(100.0),
    ),
    expression(
        "messaging_received_total{outcome=\"duplicate\"} grows",
        Mailer,
        ("messaging_received_total", "duplicate"),
        Grow,
    ),
    expression("outbox_oldest_age_seconds > 1", Payment, ("outbox_oldest_age_seconds", ""), Exceed(1.0)),
    expression(
        "email_send_duration_seconds > 0.3 on average",
        Mailer,
        ("email_send_duration_seconds", ""),
        Last(0.3),
    ),
    expression("inbox_queued > 100", Mailer, ("inbox_queued", ""), Exceed(100.0)),
    expression("outbox_pending > 100", Payment, ("outbox_pending", ""), Exceed(100.0)),
];
