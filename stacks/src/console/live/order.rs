//! One order as its log lines tell it.

use serde::Serialize;

use crate::logs::Line;

/// Where an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// A service works on it.
    #[default]
    Moving,
    /// Its e-mail was sent.
    Mailed,
    /// An attempt to send its e-mail has failed.
    Retrying,
    /// The gateway has refused it.
    Refused,
    /// Its answer was 5xx.
    Failed,
    /// Its e-mail is a dead letter, or held.
    Dead,
}

/// An order of the live list. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Order {
    pub(super) trace: String,
    pub(super) order: Option<String>,
    /// When the request began.
    pub(super) at: f64,
    pub(super) state: State,
    /// The status of the answer.
    pub(super) status: Option<u64>,
    /// Milliseconds until the answer.
    pub(super) took: Option<f64>,
    pub(super) declined: bool,
    /// True if the answer repeats an earlier one.
    pub(super) repeated: bool,
    pub(super) settled: Option<f64>,
    pub(super) published: Option<f64>,
    pub(super) received: Option<f64>,
    pub(super) sent: Option<f64>,
    /// Attempts to send the e-mail.
    pub(super) attempts: u64,
    pub(super) error: Option<String>,
}

impl Order {
    pub(super) fn new(trace: &str, at: f64) -> Self {
        Self { trace: trace.to_owned(), at, ..Self::default() }
    }

    /// Learns from a line; true if it was about an order.
    pub(super) fn learn(&mut self, line: &Line, at: f64) -> bool {
        let number = |name: &str| line.number(name);
        let is_true = |name: &str| line.is_true(name);
        match (line.service.as_str(), line.message.as_str()) {
            ("order-gateway", "request answered") if line.text("http.route") == Some("/create-order") => {
                let took = number("event.duration").unwrap_or_default() / 1e6;
                let status = number("http.response.status_code").map(|status| status as u64);
                (self.at, self.took, self.status) = (at - took, Some(took), status);
                match status {
                    Some(500..) => self.state = State::Failed,
                    // A declined order has an e-mail, too.
                    Some(400..) if status != Some(402) => self.state = State::Refused,
                    _ => {}
                }
            }
            ("order-gateway", "order placed") => self.repeated = is_true("order.replayed"),
            ("payment-service", "payment settled") => {
                self.settled = Some(at);
                self.declined = line.text("payment.outcome") == Some("declined");
            }
            ("payment-service", "event published") => self.published = Some(at),
            ("email-service", "event received") => self.received = Some(at),
            ("email-service", "sending e-mail") => {
                self.attempts = self.attempts.max(number("email.attempt").unwrap_or(1.0) as u64);
                self.become_state(State::Moving);
            }
            ("email-service", "e-mail sent") => {
                (self.sent, self.error) = (Some(at), None);
                self.state = State::Mailed;
            }
            ("email-service", "e-mail not sent, it will be tried again") => {
                self.become_state(State::Retrying);
                self.error = line.text("error.message").map(str::to_owned);
            }
            ("email-service", "e-mail given up: a dead letter")
            | ("email-service", "e-mail held: it may have been sent or not") => {
                self.become_state(State::Dead);
                self.error = line.text("error.message").map(str::to_owned);
            }
            _ => return false,
        }
        if let Some(order) = line.order() {
            self.order = Some(order.to_owned());
        }
        true
    }

    /// Lines of several services arrive out of order, and a sent e-mail stays sent.
    fn become_state(&mut self, state: State) {
        if self.state != State::Mailed {
            self.state = state;
        }
    }
}
