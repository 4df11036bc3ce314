//! The cases in which each question is recorded: an answer, nothing found, and an error.

use crate::backends::{
    Series, elasticsearch, loki,
    prometheus::selector,
    questions::{Api, Asked, Question},
};

const UNKNOWN_TRACE: &str = "00000000000000000000000000000001";
const UNKNOWN_ORDER: &str = "00000000-0000-7000-8000-000000000001";
const COUNTER: Series = Series { service: "order-gateway", name: "orders_created_total", labels: &[] };
const EMAILS: Series = Series { service: "email-service", name: "emails_sent_total", labels: &[] };
const NOTHING: Series = Series { service: "order-gateway", name: "no_such_metric", labels: &[] };
pub(super) const HISTOGRAM: Series = Series {
    service: "order-gateway",
    name: "http_request_duration_seconds",
    labels: &[("route", "/create-order")],
};

/// The order that is asked about.
pub(super) struct Facts {
    pub(super) trace: String,
    pub(super) order: String,
}

/// The files, without their endings, and what each is the answer to.
pub(super) fn cases(api: Api, facts: &Facts) -> Vec<(String, Asked)> {
    let of = |question: Question| {
        let named = move |(ending, asked): (&str, Asked)| (format!("{}{ending}", question.name()), asked);
        questioned(question, facts).into_iter().map(named)
    };
    Question::of(api).flat_map(of).collect()
}

fn questioned(question: Question, facts: &Facts) -> Vec<(&'static str, Asked)> {
    let trace = |id| Asked::trace(question, id);
    match question {
        Question::JaegerTrace | Question::TempoTrace | Question::EmbeddedTrace => vec![
            ("", trace(&facts.trace)),
            ("-not-found", trace(UNKNOWN_TRACE)),
            ("-bad-id", trace("not-an-id")),
        ],
        Question::LokiLines => vec![
            ("", Asked::lines(&loki::of_traces(&[&facts.trace]))),
            ("-nothing", Asked::lines(&loki::of_traces(&[UNKNOWN_TRACE]))),
            ("-error", Asked::lines("{service_name=~\".+\"")),
        ],
        Question::PrometheusQuery => {
            let sum = |series| Asked::series(&format!("sum({})", selector(series, "")));
            vec![
                ("", sum(&COUNTER)),
                ("-series", Asked::series(&selector(&EMAILS, ""))),
                ("-nothing", sum(&NOTHING)),
                ("-error", Asked::series("sum(orders_created_total{")),
            ]
        }
        Question::PrometheusExemplars => vec![
            ("", Asked::exemplars(&selector(&HISTOGRAM, "_bucket"))),
            ("-nothing", Asked::exemplars(&selector(&NOTHING, "_bucket"))),
        ],
        Question::MailpitSearch => {
            vec![("", Asked::emails(&facts.order)), ("-nothing", Asked::emails(UNKNOWN_ORDER))]
        }
        Question::MailpitMessage => {
            vec![("", Asked::message("latest")), ("-not-found", Asked::message("nothing"))]
        }
        Question::ElasticsearchSearch => {
            let of =
                |(indices, fields): (&str, &[&str]), trace: &str| Asked::documents(indices, &[trace], fields);
            vec![
                ("-lines", of(elasticsearch::LINES, &facts.trace)),
                ("-spans", of(elasticsearch::SPANS, &facts.trace)),
                ("-nothing", of(elasticsearch::SPANS, UNKNOWN_TRACE)),
            ]
        }
        Question::GrafanaDataSources | Question::ServiceMetrics => vec![("", Asked::plain(question))],
    }
}
