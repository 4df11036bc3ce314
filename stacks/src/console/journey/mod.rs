//! The journey of one order: everything that the backends of the stack know about it, one part after the other as they
//! answer, each with its question and its state.

mod missing;
mod parts;
mod subject;

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, future::join, stream::FuturesUnordered};
use reqwest::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;

pub(super) use self::subject::Subject;
use self::{
    missing::{Kind, lacks_of_lines, lacks_of_trace},
    parts::{LineView, SpanView},
};
use super::{
    ask::{Answer, State},
    shared::Shared,
};
use crate::{
    backends::lines::{Query, Which},
    dead_letters::MAX_LISTED,
    http,
    logs::Line,
    stack::{
        Backends, Places,
        operator::{self, Asked, Service, unsampled},
    },
};

/// Traces of one order: its own, and one for each replay of its dead letter.
const MAX_TRACES: usize = 20;

/// One trace of the journey.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TraceView {
    id: String,
    spans: Vec<SpanView>,
    /// What an order of this kind has and this trace lacks.
    missing: Vec<String>,
}

/// The lines of the journey.
#[derive(Serialize)]
struct LinesView {
    lines: Vec<LineView>,
    /// The services that have written none.
    missing: Vec<String>,
}

/// Asks everything about a subject, and sends each part as a line of JSON. Ends early if the receiver is gone.
pub(super) async fn tell(shared: Arc<Shared>, subject: Subject, to: Sender<String>) {
    let backends = match shared.backends().await {
        Ok(backends) => backends,
        Err(error) => {
            let failed: Answer<()> = Answer::to("stack", None, async { Err(error) }).await;
            let _ = send(&to, &failed).await;
            return;
        }
    };
    let journey = Journey { shared: &shared, backends: &backends, to: &to };
    // An error means that the page has closed the response.
    let _ = journey.tell(subject).await;
}

struct Journey<'a> {
    shared: &'a Shared,
    backends: &'a Backends,
    to: &'a Sender<String>,
}

impl Journey<'_> {
    async fn tell(&self, subject: Subject) -> Result<()> {
        let (mut order, mut traces) = (subject.order(), BTreeSet::from_iter(subject.trace()));
        let first = self.lines(&subject.which()).await;
        learn(&first, &mut order, &mut traces);
        let state = match &order {
            Some(order) => Some(self.order(order).await),
            None => None,
        };
        if let Some(trace) = state.as_ref().and_then(|state| state.found.as_ref()?["traceId"].as_str()) {
            traces.insert(trace.to_owned());
        }
        // A replayed e-mail has a trace of its own, and the lines of a request do not all name the order.
        let by_order = match (&order, &subject) {
            (Some(order), Subject::Trace(_) | Subject::Message(_)) => {
                Some(self.lines(&Which::Order(order.clone())).await)
            }
            _ => None,
        };
        if let Some(lines) = &by_order {
            learn(lines, &mut order, &mut traces);
        }
        let traces: Vec<String> = traces.into_iter().take(MAX_TRACES).collect();
        send(self.to, &json!({"part": "subject", "order": order, "traces": traces})).await?;
        if let Some(state) = &state {
            send(self.to, state).await?;
        }
        let kind = state.as_ref().and_then(|state| state.found.as_ref()).map_or(Kind::Unknown, Kind::of);
        let is_over = kind != Kind::Unknown;
        let named = [Some(&first), by_order.as_ref()].into_iter().flatten();
        let named: Vec<Line> = named.filter_map(|lines| lines.found.clone()).flatten().collect();
        let lines = self.tell_lines(named, &traces, &first, is_over);
        let rest = join(self.tell_traces(&traces, kind), self.tell_emails(order.as_deref()));
        let (lines, (spans, emails)) = join(lines, rest).await;
        lines.and(spans).and(emails)?;
        send(self.to, &json!({"part": "done"})).await
    }

    async fn lines(&self, which: &Which) -> Answer<Vec<Line>> {
        let find =
            async { Ok(Some(self.backends.logs.find(which).await?).filter(|lines| !lines.is_empty())) };
        Answer::to("lines", Some(self.backends.logs.query(which)), find).await
    }

    /// The lines of the traces and those that name the order, each once and by time.
    async fn tell_lines(
        &self,
        named: Vec<Line>,
        traces: &[String],
        first: &Answer<Vec<Line>>,
        is_order: bool,
    ) -> Result<()> {
        let mut answer = match traces {
            [] => Answer { found: None, query: first.query.clone(), reason: first.reason.clone(), ..*first },
            traces => self.lines(&Which::Traces(traces.to_vec())).await,
        };
        let mut lines: Vec<LineView> =
            answer.found.take().into_iter().flatten().chain(named).map(LineView::from).collect();
        lines.sort_by(|a, b| a.order_by(b));
        lines.dedup();
        if !lines.is_empty() && answer.state == State::Nothing {
            answer.state = State::Found;
        }
        let missing = if is_order { lacks_of_lines(&lines) } else { Vec::new() };
        let Answer { part, state, took, reason, query, .. } = answer;
        send(self.to, &Answer { part, state, took, reason, query, found: Some(LinesView { lines, missing }) })
            .await
    }

    async fn tell_traces(&self, traces: &[String], kind: Kind) -> Result<()> {
        let ask = async |id: &String| {
            let question = async {
                let found = self.backends.traces.trace(id).await?;
                Ok(found.map(|trace| TraceView {
                    id: id.clone(),
                    missing: lacks_of_trace(&trace, kind),
                    spans: trace.spans.into_iter().map(SpanView::from).collect(),
                }))
            };
            Answer::to("trace", Some(self.backends.traces.query(id)), question).await
        };
        let mut asked: FuturesUnordered<_> = traces.iter().map(ask).collect();
        while let Some(answer) = asked.next().await {
            send(self.to, &answer).await?;
        }
        Ok(())
    }

    async fn tell_emails(&self, order: Option<&str>) -> Result<()> {
        let Some(order) = order else { return Ok(()) };
        let email =
            Answer::to("email", Some(self.backends.inbox.query(order)), self.backends.inbox.email(order));
        let query = Query { language: "shell", text: "make dead-letters".into() };
        let letters = Answer::to("letters", Some(query), async {
            let asked =
                Asked { limit: Some(MAX_LISTED), ..Asked::to_read(Service::Mailer, &["dead-letters"]) };
            let letters = operator::ask(&self.shared.places()?, asked).await?;
            let of_order = |letter: &&Value| letter["orderId"] == order;
            let letters: Vec<Value> =
                letters.as_array().into_iter().flatten().filter(of_order).cloned().collect();
            Ok(Some(letters).filter(|letters| !letters.is_empty()))
        });
        let (email, letters) = join(email, letters).await;
        send(self.to, &email).await?;
        send(self.to, &letters).await
    }

    /// What the gateway answers about an order.
    async fn order(&self, id: &str) -> Answer<Value> {
        let url = format!("{}/orders/{id}", self.backends.gateway);
        let query = Query { language: "shell", text: format!("curl {url}") };
        let question = async {
            let Places { client, .. } = self.shared.places()?;
            let response = match client.get(&url).header("traceparent", unsampled()).send().await {
                Err(error) => bail!("cannot ask the gateway: it {}", http::brief(&error)),
                Ok(response) => response,
            };
            let status = response.status();
            let body: Value = response.json().await.context("cannot read the gateway's answer")?;
            match status {
                StatusCode::OK => Ok(Some(body)),
                StatusCode::NOT_FOUND => Ok(None),
                status => {
                    bail!("cannot ask the gateway: it answered {status}: {}", http::plain(&body["detail"]))
                }
            }
        };
        Answer::to("order", Some(query), question).await
    }
}

/// Learns the order and its traces from lines.
fn learn(answer: &Answer<Vec<Line>>, order: &mut Option<String>, traces: &mut BTreeSet<String>) {
    let lines = answer.found.iter().flatten();
    // Only lines that name the order: one trace of a client may hold several orders.
    for line in lines {
        if order.is_none() {
            *order = line.order().map(str::to_owned);
        }
        if line.order().is_some() && line.order() == order.as_deref() {
            traces.extend(line.trace().map(str::to_owned));
        }
    }
}

async fn send(to: &Sender<String>, part: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(part).context("cannot write a part as JSON")? + "\n";
    to.send(line).await.context("the page has gone")
}
