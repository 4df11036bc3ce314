//! What the services' own `/metrics` say at one time, and what happened between two times.

use serde::Serialize;

use super::quantile::{Buckets, quantile};
use crate::backends::openmetrics::{Sample as Series, samples};

const REQUESTS: &str = "http_request_duration_seconds";
const QUEUE_WAIT: &str = "messaging_queue_wait_seconds";

/// The values of one moment. Counters are sums since the start of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// Milliseconds since the Unix epoch.
    pub(super) at: f64,
    pub(super) gateway: Option<Gateway>,
    pub(super) payment: Option<Payment>,
    pub(super) mailer: Option<Mailer>,
    /// Messages in the queue between payment and the mailer.
    pub(super) queue: Option<f64>,
}

/// What the gateway shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Gateway {
    answers: f64,
    errors: f64,
    durations: Buckets,
    exemplars: Vec<Exemplar>,
}

/// What payment shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Payment {
    outbox: f64,
    declined: f64,
}

/// What the mailer shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Mailer {
    inbox: f64,
    sent: f64,
    retried: f64,
    waits: Vec<Exemplar>,
}

/// A measurement with the trace that it was made in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Exemplar {
    /// Milliseconds since the Unix epoch.
    pub(super) at: f64,
    /// Milliseconds.
    pub(super) value: f64,
    pub(super) trace: String,
}

/// A point of the charts. Rates are per second, durations milliseconds; none where nothing is known.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sample {
    pub(super) at: f64,
    pub(super) orders: Option<f64>,
    pub(super) errors: Option<f64>,
    pub(super) declined: Option<f64>,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) outbox: Option<f64>,
    pub(super) queue: Option<f64>,
    pub(super) inbox: Option<f64>,
    pub(super) sent: Option<f64>,
    pub(super) retried: Option<f64>,
    /// Orders by their durations, those since the sample before.
    pub(super) exemplars: Vec<Exemplar>,
    /// Orders by their times in the queue.
    pub(super) waits: Vec<Exemplar>,
}

impl Gateway {
    pub(super) fn read(page: &str) -> Self {
        let mut gateway = Self::default();
        let of_orders = samples(page).filter(|series| series.labels.get("route") == Some(&"/create-order"));
        for series in of_orders {
            let status = series.labels.get("status").copied().unwrap_or_default();
            match series.name.strip_prefix(REQUESTS) {
                Some("_count") => {
                    gateway.answers += series.value;
                    gateway.errors += if status.starts_with('5') { series.value } else { 0.0 };
                }
                Some("_bucket") => {
                    add(&mut gateway.durations, &series);
                    gateway.exemplars.extend(exemplar(&series));
                }
                _ => {}
            }
        }
        gateway.durations.sort_by(|a, b| a.0.total_cmp(&b.0));
        gateway
    }
}

impl Payment {
    pub(super) fn read(page: &str) -> Self {
        let declined = |series: &Series<'_>| series.labels.get("outcome") == Some(&"declined");
        Self {
            outbox: sum(page, "outbox_pending", |_| true),
            declined: sum(page, "payment_processed_total", declined),
        }
    }
}

impl Mailer {
    pub(super) fn read(page: &str) -> Self {
        let sum_of = |outcome: &'static str| {
            sum(page, "emails_sent_total", move |series| series.labels.get("outcome") == Some(&outcome))
        };
        let waits = samples(page).filter(|series| series.name.strip_prefix(QUEUE_WAIT) == Some("_bucket"));
        Self {
            inbox: sum(page, "inbox_queued", |_| true),
            sent: sum_of("sent"),
            retried: sum_of("retried"),
            waits: waits.filter_map(|series| exemplar(&series)).collect(),
        }
    }
}

/// Messages in the queue `mailer.payments`, by RabbitMQ's metrics for each queue.
pub(super) fn queued(page: &str) -> Option<f64> {
    let mut found = samples(page).filter(|series| {
        series.name.ends_with("queue_messages") && series.labels.get("queue") == Some(&"mailer.payments")
    });
    found.next().map(|series| series.value)
}

fn sum(page: &str, name: &str, is_of: impl Fn(&Series<'_>) -> bool) -> f64 {
    samples(page).filter(|series| series.name == name && is_of(series)).map(|series| series.value).sum()
}

/// Adds a bucket of one status to those of all.
fn add(buckets: &mut Buckets, series: &Series<'_>) {
    let Some(bound) = series.labels.get("le").and_then(|bound| bound.parse::<f64>().ok()) else { return };
    match buckets.iter_mut().find(|(other, _)| *other == bound) {
        Some((_, count)) => *count += series.value,
        None => buckets.push((bound, series.value)),
    }
}

fn exemplar(series: &Series<'_>) -> Option<Exemplar> {
    let (value, at) = series.measured?;
    let trace = (*series.exemplar.get("trace_id")?).to_owned();
    Some(Exemplar { at: at * 1e3, value: value * 1e3, trace })
}

/// The point of the charts for `now`. Rates are since `before`, durations since `earlier`, which is further back: a second
/// has few orders.
pub(super) fn sample(earlier: &Values, before: &Values, now: &Values) -> Sample {
    let seconds = (now.at - before.at) / 1e3;
    // A counter that has fallen is that of a service that was started again.
    let rate = |before: Option<f64>, now: Option<f64>| match (before, now) {
        (Some(before), Some(now)) if seconds > 0.0 => Some(((now - before) / seconds).max(0.0)),
        _ => None,
    };
    let gateway =
        |of: fn(&Gateway) -> f64| rate(before.gateway.as_ref().map(of), now.gateway.as_ref().map(of));
    let mailer = |of: fn(&Mailer) -> f64| rate(before.mailer.as_ref().map(of), now.mailer.as_ref().map(of));
    let took = |share| {
        let (earlier, now) = (earlier.gateway.as_ref()?, now.gateway.as_ref()?);
        quantile(&earlier.durations, &now.durations, share).map(|seconds| seconds * 1e3)
    };
    let new = |exemplars: Option<&Vec<Exemplar>>| -> Vec<Exemplar> {
        exemplars.into_iter().flatten().filter(|exemplar| exemplar.at > before.at).cloned().collect()
    };
    Sample {
        at: now.at,
        orders: gateway(|gateway| gateway.answers),
        errors: gateway(|gateway| gateway.errors),
        declined: rate(
            before.payment.map(|payment| payment.declined),
            now.payment.map(|payment| payment.declined),
        ),
        p50: took(0.5),
        p99: took(0.99),
        outbox: now.payment.map(|payment| payment.outbox),
        queue: now.queue,
        inbox: now.mailer.as_ref().map(|mailer| mailer.inbox),
        sent: mailer(|mailer| mailer.sent),
        retried: mailer(|mailer| mailer.retried),
        exemplars: new(now.gateway.as_ref().map(|gateway| &gateway.exemplars)),
        waits: new(now.mailer.as_ref().map(|mailer| &mailer.waits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(good: u32, failed: u32) -> String {
        let line = |status: &str, le: &str, count: u32, exemplar: &str| {
            format!(
                "{REQUESTS}_bucket{{route=\"/create-order\",status=\"{status}\",le=\"{le}\"}} {count}{exemplar}\n"
            )
        };
        let exemplar = " # {trace_id=\"aa\"} 0.4 1500.5";
        line("201", "0.5", good, exemplar)
            + &line("201", "+Inf", good, "")
            + &line("504", "0.5", 0, "")
            + &line("504", "+Inf", failed, "")
            + &format!("{REQUESTS}_count{{route=\"/create-order\",status=\"201\"}} {good}\n")
            + &format!("{REQUESTS}_count{{route=\"/create-order\",status=\"504\"}} {failed}\n")
            + &format!("{REQUESTS}_count{{route=\"/orders/{{id}}\",status=\"200\"}} 7\n")
    }

    fn values(at: f64, page: &str) -> Values {
        Values { at, gateway: Some(Gateway::read(page)), ..Values::default() }
    }

    #[test]
    fn rates_and_durations_are_those_since_the_sample_before() {
        let (before, now) = (values(1_499_000.0, &page(10, 0)), values(1_501_000.0, &page(14, 2)));
        let sample = sample(&before, &before, &now);
        assert_eq!((sample.orders, sample.errors), (Some(3.0), Some(1.0)));
        assert_eq!(sample.p99, Some(500.0), "the last bound below infinity");
        assert_eq!(sample.exemplars, [Exemplar { at: 1_500_500.0, value: 400.0, trace: "aa".into() }]);
        assert_eq!((sample.outbox, sample.inbox, sample.declined), (None, None, None));
    }

    #[test]
    fn a_service_that_was_started_again_has_no_negative_rate() {
        let (before, now) = (values(0.0, &page(10, 0)), values(1000.0, &page(1, 0)));
        assert_eq!(sample(&before, &before, &now).orders, Some(0.0));
    }

    #[test]
    fn the_queue_of_the_mailer_is_read_from_rabbitmqs_metrics() {
        let page = "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"mailer.parking\"} 1\n\
                    rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"mailer.payments\"} 3\n\
                    rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"mailer.payments\"} 4\n";
        assert_eq!(queued(page), Some(4.0));
        assert_eq!(queued(""), None);
    }
}
