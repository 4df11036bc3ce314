//! The table of all questions to servers: a client can ask nothing else, and `stacks record` asks all of it.

use std::time::{Duration, SystemTime};

use reqwest::{Client, RequestBuilder, header::ACCEPT};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The only format of metrics with exemplars.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";
const JSON: &str = "application/json";
/// Added to the end of a time range, for services whose clock is ahead.
const AHEAD: Duration = Duration::from_secs(60);
/// The age of the oldest lines that are asked for.
const MAX_LINE_AGE: Duration = Duration::from_secs(60 * 60);
/// Lines of one answer: Loki's own default limit.
const MAX_LINES: usize = 5000;
/// The age of the oldest exemplars that are asked for.
const MAX_EXEMPLAR_AGE: Duration = Duration::from_secs(15 * 60);
/// Documents of one search: Elasticsearch's own limit.
const MAX_HITS: usize = 10_000;

/// A kind of server, by the API that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Elasticsearch,
    /// The local stack's trace backend.
    EmbeddedJaeger,
    Grafana,
    Jaeger,
    Loki,
    Mailpit,
    /// Mimir, too.
    Prometheus,
    /// A service of ours.
    Service,
    Tempo,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    ElasticsearchSearch,
    EmbeddedTrace,
    GrafanaDataSources,
    JaegerTrace,
    LokiLines,
    MailpitSearch,
    MailpitMessage,
    PrometheusQuery,
    PrometheusExemplars,
    ServiceMetrics,
    TempoTrace,
}

/// How a question is sent.
#[derive(Clone, Copy)]
enum Send {
    /// In the path and its query.
    Get,
    /// As a form.
    Form,
    /// As the JSON in the field `body`.
    Json,
}

struct Row {
    question: Question,
    api: Api,
    /// The file of the recorded answer, without its ending.
    name: &'static str,
    send: Send,
    /// `{name}` stands for a field.
    path: &'static str,
    accept: &'static str,
}

/// In the order of the variants of [`Question`].
#[rustfmt::skip]
static TABLE: [Row; 11] = [
    Row { question: Question::ElasticsearchSearch, api: Api::Elasticsearch, name: "search", send: Send::Json, path: "/{indices}/_search?ignore_unavailable=true", accept: JSON },
    Row { question: Question::EmbeddedTrace, api: Api::EmbeddedJaeger, name: "trace", send: Send::Get, path: "/api/traces/{trace}", accept: JSON },
    Row { question: Question::GrafanaDataSources, api: Api::Grafana, name: "datasources", send: Send::Get, path: "/api/datasources", accept: JSON },
    Row { question: Question::JaegerTrace, api: Api::Jaeger, name: "trace-v3", send: Send::Get, path: "/api/v3/traces/{trace}", accept: JSON },
    Row { question: Question::LokiLines, api: Api::Loki, name: "query_range", send: Send::Form, path: "/loki/api/v1/query_range", accept: JSON },
    Row { question: Question::MailpitSearch, api: Api::Mailpit, name: "search", send: Send::Get, path: "/api/v1/search", accept: JSON },
    Row { question: Question::MailpitMessage, api: Api::Mailpit, name: "message", send: Send::Get, path: "/api/v1/message/{message}", accept: JSON },
    Row { question: Question::PrometheusQuery, api: Api::Prometheus, name: "query", send: Send::Form, path: "/api/v1/query", accept: JSON },
    Row { question: Question::PrometheusExemplars, api: Api::Prometheus, name: "query_exemplars", send: Send::Form, path: "/api/v1/query_exemplars", accept: JSON },
    Row { question: Question::ServiceMetrics, api: Api::Service, name: "metrics", send: Send::Get, path: "/metrics", accept: OPENMETRICS },
    Row { question: Question::TempoTrace, api: Api::Tempo, name: "trace", send: Send::Get, path: "/api/v2/traces/{trace}", accept: JSON },
];

impl Question {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Every question to one kind of server.
    pub(crate) fn of(api: Api) -> impl Iterator<Item = Self> {
        TABLE.iter().filter(move |row| row.api == api).map(|row| row.question)
    }

    /// The file of the recorded answer, without its ending.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }
}

/// A question with its fields.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    question: Question,
    fields: Vec<(&'static str, String)>,
}

impl Asked {
    /// A trace, of any of the servers that have one.
    pub(crate) fn trace(question: Question, id: &str) -> Self {
        Self { question, fields: vec![("trace", id.to_owned())] }
    }

    /// The lines that a LogQL expression selects.
    pub(crate) fn lines(expression: &str) -> Self {
        let (start, end) = range(MAX_LINE_AGE);
        let fields = vec![
            ("query", expression.to_owned()),
            ("start", start.as_nanos().to_string()),
            ("end", end.as_nanos().to_string()),
            ("limit", MAX_LINES.to_string()),
        ];
        Self { question: Question::LokiLines, fields }
    }

    /// The lines after a time that a LogQL expression selects.
    pub(crate) fn lines_since(expression: &str, time: OffsetDateTime) -> Self {
        let mut asked = Self::lines(expression);
        for (name, value) in &mut asked.fields {
            if *name == "start" {
                *value = time.unix_timestamp_nanos().to_string();
            }
        }
        asked.fields.push(("direction", "forward".to_owned()));
        asked
    }

    /// The series that a PromQL expression selects now.
    pub(crate) fn series(expression: &str) -> Self {
        Self { question: Question::PrometheusQuery, fields: vec![("query", expression.to_owned())] }
    }

    /// The exemplars of the series that a selector selects.
    pub(crate) fn exemplars(selector: &str) -> Self {
        let (start, end) = range(MAX_EXEMPLAR_AGE);
        let fields = vec![
            ("query", selector.to_owned()),
            ("start", start.as_secs().to_string()),
            ("end", end.as_secs().to_string()),
        ];
        Self { question: Question::PrometheusExemplars, fields }
    }

    /// The e-mails with a word in their text.
    pub(crate) fn emails(word: &str) -> Self {
        let fields = vec![("query", word.to_owned()), ("limit", "1".to_owned())];
        Self { question: Question::MailpitSearch, fields }
    }

    /// The e-mail with this id, or with `latest` the newest one.
    pub(crate) fn message(id: &str) -> Self {
        Self { question: Question::MailpitMessage, fields: vec![("message", id.to_owned())] }
    }

    /// Fields of the documents of these traces.
    pub(crate) fn documents(indices: &str, traces: &[&str], fields: &[&str]) -> Self {
        Self::found(indices, &json!({"terms": {"trace.id": traces}}), fields)
    }

    /// Fields of the documents that a query of Elasticsearch finds.
    pub(crate) fn found(indices: &str, query: &Value, fields: &[&str]) -> Self {
        let body: Value = json!({
            "size": MAX_HITS,
            "query": query,
            "_source": false,
            "fields": fields,
        });
        let fields = vec![("indices", indices.to_owned()), ("body", body.to_string())];
        Self { question: Question::ElasticsearchSearch, fields }
    }

    /// A question without fields.
    pub(crate) fn plain(question: Question) -> Self {
        Self { question, fields: Vec::new() }
    }

    /// The request to the server at `url`.
    pub(super) fn request(&self, client: &Client, url: &str) -> RequestBuilder {
        let row = self.question.row();
        let (mut path, mut rest) = (row.path.to_owned(), Vec::new());
        for (name, value) in &self.fields {
            let place = format!("{{{name}}}");
            if path.contains(&place) {
                path = path.replace(&place, value);
            } else {
                rest.push((*name, value));
            }
        }
        let url = url.to_owned() + &path;
        let request = match row.send {
            Send::Get if rest.is_empty() => client.get(url),
            Send::Get => client.get(url).query(&rest),
            Send::Form => client.post(url).form(&rest),
            Send::Json => {
                let body = rest.first().map_or_else(String::new, |(_, body)| (*body).clone());
                client.post(url).header("content-type", JSON).body(body)
            }
        };
        request.header(ACCEPT, row.accept)
    }

    /// The name of the server in messages.
    pub(super) fn server(&self) -> &'static str {
        match self.question.row().api {
            Api::Elasticsearch => "Elasticsearch",
            Api::EmbeddedJaeger => "the trace backend",
            Api::Grafana => "Grafana",
            Api::Jaeger => "Jaeger",
            Api::Loki => "Loki",
            Api::Mailpit => "Mailpit",
            Api::Prometheus => "Prometheus",
            Api::Service => "the service",
            Api::Tempo => "Tempo",
        }
    }
}

/// The time from `age` ago to the end of the present, since the epoch.
fn range(age: Duration) -> (Duration, Duration) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.saturating_sub(age), now + AHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_its_row() {
        for (number, row) in TABLE.iter().enumerate() {
            assert_eq!(row.question as usize, number, "{}", row.path);
        }
        assert_eq!(Question::TempoTrace as usize + 1, TABLE.len());
    }

    #[test]
    fn fields_stand_in_the_path_the_query_or_the_body() {
        let client = Client::new();
        let request = |asked: Asked| asked.request(&client, "http://h").build().unwrap();
        let trace = request(Asked::trace(Question::JaegerTrace, "aa"));
        assert_eq!(trace.url().as_str(), "http://h/api/v3/traces/aa");
        let emails = request(Asked::emails("o-1"));
        assert_eq!(emails.url().as_str(), "http://h/api/v1/search?query=o-1&limit=1");
        let body =
            |asked| String::from_utf8(request(asked).body().unwrap().as_bytes().unwrap().to_vec()).unwrap();
        assert_eq!(body(Asked::series("up")), "query=up");
        assert!(body(Asked::documents("x", &["aa"], &["b"])).starts_with('{'));
    }
}
