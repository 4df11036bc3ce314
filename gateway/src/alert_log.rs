//! The actor AlertLog: the newest notices of Alertmanager, so that one can see that an alert arrives.
//!
//! Receives [`Record`] and [`Recent`] from `alerts`, and writes one log line for each notice. What it keeps is bounded,
//! and gone after a restart: Alertmanager knows what fires, and the log file keeps the lines.

use std::collections::{BTreeMap, VecDeque};

use actix::prelude::*;
use serde::Serialize;
use slog::{Logger, info, warn};
use telemetry::Traced;
use time::OffsetDateTime;

/// Notices that are kept.
pub const KEPT: usize = 200;

/// One alert at the moment when Alertmanager told about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What became of it.
    pub status: Status,
    /// When the gateway heard of it.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// Since when it fires.
    #[serde(with = "time::serde::rfc3339")]
    pub starts_at: OffsetDateTime,
    /// When it was over; of one that is resolved.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<OffsetDateTime>,
    /// Which alert, and about what: its identity.
    pub labels: BTreeMap<String, String>,
    /// What it says to people.
    pub annotations: BTreeMap<String, String>,
    /// Alertmanager's name for the labels.
    pub fingerprint: String,
}

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does.
    Firing,
    /// Not any more.
    Resolved,
}

/// Keep these notices, the oldest first.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Record(pub Vec<Notice>);

/// The notices that are kept, the newest first.
#[derive(Message)]
#[rtype(result = "Vec<Notice>")]
pub struct Recent;

/// The keeper of notices.
pub struct AlertLog {
    notices: VecDeque<Notice>,
    log: Logger,
}

impl Actor for AlertLog {
    type Context = Context<Self>;
}

impl Handler<Traced<Record>> for AlertLog {
    type Result = ();

    fn handle(&mut self, Traced { span, message }: Traced<Record>, _: &mut Self::Context) {
        span.in_scope(|| message.0.into_iter().for_each(|notice| self.record(notice)));
    }
}

impl Handler<Recent> for AlertLog {
    type Result = Vec<Notice>;

    fn handle(&mut self, _: Recent, _: &mut Self::Context) -> Self::Result {
        self.notices.iter().rev().cloned().collect()
    }
}

impl AlertLog {
    /// An empty log.
    pub fn new(log: &Logger) -> Self {
        Self { notices: VecDeque::with_capacity(KEPT), log: log.new(slog::o!("actor" => "alert_log")) }
    }

    fn record(&mut self, notice: Notice) {
        let log = self.log.new(slog::o!(
            "event.kind" => "alert",
            "rule.name" => notice.label("alertname"),
            "alert.service" => notice.label("service"),
            "alert.severity" => notice.label("severity"),
            "alert.summary" => notice.annotations.get("summary").cloned().unwrap_or_default(),
            "alert.fingerprint" => notice.fingerprint.clone(),
        ));
        match notice.status {
            Status::Firing => warn!(log, "alert fires"),
            Status::Resolved => info!(log, "alert resolved"),
        }
        if self.notices.len() == KEPT {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }
}

impl Notice {
    fn label(&self, name: &str) -> String {
        self.labels.get(name).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use telemetry::testing::Capture;

    use super::*;

    fn notice(number: usize, status: Status) -> Notice {
        let text = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        Notice {
            status,
            received_at: OffsetDateTime::UNIX_EPOCH,
            starts_at: OffsetDateTime::UNIX_EPOCH,
            ends_at: None,
            labels: text("alertname", "ServiceDown"),
            annotations: text("summary", "a service is down"),
            fingerprint: number.to_string(),
        }
    }

    #[actix_rt::test]
    async fn the_newest_are_kept_and_come_first() {
        let seen = Capture::start();
        let log = AlertLog::new(&seen.log()).start();
        let notices = (0..KEPT + 3).map(|number| notice(number, Status::Firing)).collect();
        log.send(Traced::new(Record(notices))).await.unwrap();
        let recent = log.send(Recent).await.unwrap();
        assert_eq!(recent.len(), KEPT);
        let [first, last] = [&recent[0], &recent[KEPT - 1]].map(|notice| notice.fingerprint.as_str());
        assert_eq!((first, last), ((KEPT + 2).to_string().as_str(), "3"));
    }

    #[actix_rt::test]
    async fn each_notice_is_a_line_of_constant_words() {
        let seen = Capture::start();
        let log = AlertLog::new(&seen.log()).start();
        let notices = vec![notice(1, Status::Firing), notice(1, Status::Resolved)];
        log.send(Traced::new(Record(notices))).await.unwrap();
        let lines = seen.lines();
        let words: Vec<_> = lines.iter().map(|line| (&line["message"], &line["log.level"])).collect();
        assert_eq!(
            words,
            [(&"alert fires".into(), &"warn".into()), (&"alert resolved".into(), &"info".into())]
        );
        for line in &lines {
            assert_eq!((&line["rule.name"], &line["event.kind"]), (&"ServiceDown".into(), &"alert".into()));
            assert_eq!(line["alert.summary"], "a service is down");
        }
    }
}
