//! Follows the log lines of the stack.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        ask::{Answer, State},
        shared::Shared,
    },
    state::Live,
};
use crate::{
    backends::lines::Which,
    logs::Line,
    stack::{
        Backends, Stack,
        operator::{self, Asked, Service},
    },
};

/// Time between two questions for new lines: files are followed, servers are asked.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// Lines that may arrive later than newer ones.
const LATE: Duration = Duration::from_secs(5);
/// How far back the first question goes.
const BEFORE: Duration = Duration::from_secs(15 * 60);
/// Time between two questions that lines have caused.
const SETTLE: Duration = Duration::from_millis(700);
/// What is asked for without a cause: lines may be lost, and services start again.
const ANYWAY: Duration = Duration::from_secs(60);

/// Messages after which a topic is asked for again.
const CAUSES: [(&str, &[&str]); 3] = [
    ("alerts", &["alert fires", "alert resolved", "listening"]),
    ("simulation", &["simulation changed", "listening"]),
    (
        "letters",
        &[
            "e-mail given up: a dead letter",
            "e-mail held: it may have been sent or not",
            "event parked: it can't be read",
            "e-mails put back",
            "parked messages put back",
            "dead letters discarded",
            "listening",
        ],
    ),
];

/// Follows the lines until the process ends.
pub(super) async fn follow(shared: Arc<Shared>, live: Arc<Live>) {
    let mut topics =
        CAUSES.map(|(topic, messages)| Topic { topic, messages, due: Some(Instant::now()), asked: None });
    let mut since = OffsetDateTime::now_utc() - BEFORE;
    let mut followed: Option<Arc<Backends>> = None;
    loop {
        let backends = match &followed {
            Some(backends) => Ok(backends.clone()),
            None => shared.backends().await,
        };
        let mut pause = PAUSE.1;
        match backends {
            Err(error) => {
                let failed: Answer<()> = Answer::to("lines", None, async { Err(error) }).await;
                shared.hub.set("feed", &failed);
            }
            Ok(backends) => {
                if backends.stack == Stack::Local {
                    pause = PAUSE.0;
                }
                let which = Which::Since(since - LATE);
                let find = async { Ok(Some(backends.logs.find(&which).await?)) };
                let answer = Answer::to("lines", Some(backends.logs.query(&which)), find).await;
                followed = (answer.state != State::Failed).then_some(backends);
                let Answer { part, state, reason, query, found, .. } = answer;
                // The time differs with each answer, and is not shown.
                shared.hub.set("feed", &Answer::<()> { part, state, took: 0, reason, query, found: None });
                let mut lines = found.unwrap_or_default();
                lines.sort_by_key(|line| line.time);
                take(&live, &lines, &mut topics);
                since = lines.iter().filter_map(|line| line.time).max().unwrap_or(since);
                let changed = live.board().changes();
                if !changed.is_empty() {
                    shared.hub.add("orders", &changed);
                }
            }
        }
        for topic in &mut topics {
            topic.ask_if_due(&shared).await;
        }
        sleep(pause).await;
    }
}

fn take(live: &Live, lines: &[Line], topics: &mut [Topic]) {
    let mut board = live.board();
    for line in lines {
        board.learn(line);
        for topic in topics.iter_mut().filter(|topic| topic.messages.contains(&&*line.message)) {
            topic.due.get_or_insert(Instant::now() + SETTLE);
        }
    }
}

/// A topic that is asked for when lines say that it has changed.
struct Topic {
    topic: &'static str,
    messages: &'static [&'static str],
    due: Option<Instant>,
    asked: Option<Instant>,
}

impl Topic {
    async fn ask_if_due(&mut self, shared: &Shared) {
        let is_old = self.asked.is_none_or(|asked| asked.elapsed() > ANYWAY) && shared.hub.is_watched();
        if !is_old && self.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        (self.due, self.asked) = (None, Some(Instant::now()));
        refresh(shared, self.topic).await;
    }
}

/// Asks for a topic, and shows the answer.
pub(in crate::console) async fn refresh(shared: &Shared, topic: &'static str) {
    let read = async |part: &'static str, service: Service, path: &str| -> Answer<Value> {
        let mut answer = Answer::to(part, None, async {
            operator::ask(&shared.places()?, Asked::to_read(service, &[path])).await.map(Some)
        })
        .await;
        answer.took = 0;
        answer
    };
    match topic {
        "alerts" => shared.hub.set(topic, &read("alerts", Service::Gateway, "alerts").await),
        "letters" => shared.hub.set(topic, &read("letters", Service::Mailer, "dead-letters").await),
        _ => {
            let payment = read("payment", Service::Payment, "simulation").await;
            let mailer = read("mailer", Service::Mailer, "simulation").await;
            shared.hub.set(topic, &json!({"payment": payment, "mailer": mailer}));
        }
    }
}
