//! The notices in the gateway's alert log.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;

use super::catalogue::Alert;

/// An alert as it was delivered.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notice {
    pub(super) status: Status,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) received_at: OffsetDateTime,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) fingerprint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Firing,
    Resolved,
}

impl Notice {
    /// True if it is about this alert and the service that the drill expects.
    pub(super) fn is(&self, alert: Alert) -> bool {
        let label = |name: &str| self.labels.get(name).map(String::as_str);
        label("alertname") == Some(&alert.to_string()) && label("service") == Some(alert.service())
    }

    /// The text of an annotation; empty if absent.
    pub(super) fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).map_or("", String::as_str)
    }
}

/// The firing notices of an alert that no newer notice resolves, in a log with the newest first.
pub(super) fn firing(notices: &[Notice], alert: Alert) -> Vec<&Notice> {
    let is_newest = |(index, notice): &(usize, &Notice)| {
        !notices[..*index].iter().any(|newer| newer.fingerprint == notice.fingerprint)
    };
    let newest = notices.iter().enumerate().filter(is_newest).map(|(_, notice)| notice);
    newest.filter(|notice| notice.is(alert) && notice.status == Status::Firing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(status: Status, alert: &str, service: &str, fingerprint: &str) -> Notice {
        let labels = [("alertname", alert), ("service", service)];
        Notice {
            status,
            received_at: OffsetDateTime::UNIX_EPOCH,
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            annotations: BTreeMap::new(),
            fingerprint: fingerprint.to_owned(),
        }
    }

    #[test]
    fn the_newest_notice_says_what_fires() {
        let log = [
            notice(Status::Firing, "ServiceDown", "email-service", "b"),
            notice(Status::Resolved, "ServiceDown", "email-service", "a"),
            notice(Status::Firing, "ServiceDown", "order-gateway", "c"),
            notice(Status::Firing, "HighLatency", "email-service", "d"),
            notice(Status::Firing, "ServiceDown", "email-service", "a"),
            notice(Status::Resolved, "ServiceDown", "email-service", "b"),
        ];
        let firing = firing(&log, Alert::ServiceDown);
        assert_eq!(firing.iter().map(|notice| notice.fingerprint.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
