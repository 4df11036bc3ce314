//! The actor AlertLog: the newest notices of Alertmanager, which show that an alert arrives.
//!
//! Receives [`RecordNotices`] and [`ListNotices`] from `alerts`, and writes one log line for each notice. It keeps a bounded
//! number of them and loses them at a restart: Alertmanager knows which alerts fire, and the log file keeps the lines.

use std::collections::{BTreeMap, VecDeque};

use actix::prelude::*;
use serde::Serialize;
use slog::{Logger, info, warn};
use telemetry::Traced;
use time::OffsetDateTime;

/// Record the notices of one notification, the oldest first.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RecordNotices {
    /// Its notices.
    pub notices: Vec<Notice>,
    /// What else it was about.
    pub omitted: Omitted,
}

/// The alerts of a notification that have no notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omitted {
    /// None.
    None,
    /// So many, which Alertmanager has left out.
    Alerts(u64),
    /// Those in the rest of a notification that was too large.
    Rest,
}

/// List the notices, the newest first.
#[derive(Message)]
#[rtype(result = "Vec<Notice>")]
pub struct ListNotices;

/// Notices that are kept.
pub const MAX_NOTICES: usize = 200;

/// One alert in one notification of Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Whether the alert fires.
    pub status: Status,
    /// When the gateway received it.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// When the alert began to fire.
    #[serde(with = "time::serde::rfc3339")]
    pub starts_at: OffsetDateTime,
    /// When the alert was resolved.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<OffsetDateTime>,
    /// The labels, which identify the alert.
    pub labels: BTreeMap<String, String>,
    /// The texts for people.
    pub annotations: BTreeMap<String, String>,
    /// Alertmanager's hash of the labels.
    pub fingerprint: String,
}

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It fires.
    Firing,
    /// It was resolved.
    Resolved,
}

/// A bounded list of notices.
pub struct AlertLog {
    notices: VecDeque<Notice>,
    log: Logger,
}

impl Actor for AlertLog {
    type Context = Context<Self>;
}

impl Handler<Traced<RecordNotices>> for AlertLog {
    type Result = ();

    fn handle(&mut self, Traced { span, message }: Traced<RecordNotices>, _: &mut Self::Context) {
        let RecordNotices { notices, omitted } = message;
        span.in_scope(|| {
            let recorded = notices.len();
            notices.into_iter().for_each(|notice| self.record(notice));
            let omitted = match omitted {
                Omitted::None => return,
                Omitted::Alerts(alerts) => Some(alerts),
                Omitted::Rest => None,
            };
            warn!(self.log, "notification cut, some alerts have no notice: ask Alertmanager for them";
                "omnitrace.alerts.recorded" => recorded, "omnitrace.alerts.omitted" => omitted);
        });
    }
}

impl Handler<ListNotices> for AlertLog {
    type Result = Vec<Notice>;

    fn handle(&mut self, _: ListNotices, _: &mut Self::Context) -> Self::Result {
        self.notices.iter().rev().cloned().collect()
    }
}

impl AlertLog {
    /// An empty log.
    pub fn new(log: &Logger) -> Self {
        Self {
            notices: VecDeque::with_capacity(MAX_NOTICES),
            log: log.new(slog::o!("omnitrace.actor" => "alert_log")),
        }
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
        if self.notices.len() == MAX_NOTICES {
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
    async fn the_newest_notices_are_kept_and_come_first() {
        let seen = Capture::start();
        let log = AlertLog::new(&seen.log()).start();
        let notices = (0..MAX_NOTICES + 3).map(|number| notice(number, Status::Firing)).collect();
        log.send(Traced::new(RecordNotices { notices, omitted: Omitted::None })).await.unwrap();
        let recent = log.send(ListNotices).await.unwrap();
        assert_eq!(recent.len(), MAX_NOTICES);
        let [first, last] = [&recent[0], &recent[MAX_NOTICES - 1]].map(|notice| notice.fingerprint.as_str());
        assert_eq!((first, last), ((MAX_NOTICES + 2).to_string().as_str(), "3"));
    }

    #[actix_rt::test]
    async fn each_notice_is_a_line_with_a_constant_message() {
        let seen = Capture::start();
        let log = AlertLog::new(&seen.log()).start();
        let notices = vec![notice(1, Status::Firing), notice(1, Status::Resolved)];
        log.send(Traced::new(RecordNotices { notices, omitted: Omitted::None })).await.unwrap();
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
