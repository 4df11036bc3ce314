//! The newest orders, by their traces.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::order::Order;
use crate::logs::Line;

/// Orders that are kept.
pub(super) const MAX_ORDERS: usize = 1000;

/// The orders of the live list, the newest last.
#[derive(Default)]
pub(super) struct Board {
    orders: HashMap<String, Order>,
    /// The traces, the oldest first.
    arrived: VecDeque<String>,
    /// The trace in which each order was placed.
    traces: HashMap<String, String>,
    changed: BTreeSet<String>,
}

impl Board {
    /// Learns from a line.
    pub(super) fn learn(&mut self, line: &Line) {
        let (Some(trace), Some(time)) = (line.trace(), line.time) else { return };
        let at = time.unix_timestamp_nanos() as f64 / 1e6;
        // A replayed e-mail is sent in a trace of its own.
        let placed = line.order().and_then(|order| self.traces.get(order));
        let is_email = line.service == "email-service";
        let trace = placed.filter(|_| is_email).map_or(trace, String::as_str).to_owned();
        let is_new = !self.orders.contains_key(&trace);
        let mut order = self.orders.remove(&trace).unwrap_or_else(|| Order::new(&trace, at));
        let before = order.clone();
        let is_about = order.learn(line, at);
        if is_new && (!is_about || is_email) {
            return;
        }
        if let (Some(id), false) = (&order.order, order.repeated) {
            self.traces.entry(id.clone()).or_insert_with(|| trace.clone());
        }
        if is_new || order != before {
            self.changed.insert(trace.clone());
        }
        self.orders.insert(trace.clone(), order);
        if is_new {
            self.arrived.push_back(trace);
            self.forget();
        }
    }

    fn forget(&mut self) {
        while self.arrived.len() > MAX_ORDERS {
            let Some(oldest) = self.arrived.pop_front() else { return };
            self.changed.remove(&oldest);
            if let Some(order) = self.orders.remove(&oldest).and_then(|order| order.order) {
                self.traces.remove(&order);
            }
        }
    }

    /// The orders that have changed since the last call.
    pub(super) fn changes(&mut self) -> Vec<Order> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|trace| self.orders.get(trace)).cloned().collect()
    }

    /// All orders, the oldest first.
    pub(super) fn all(&self) -> Vec<Order> {
        self.arrived.iter().filter_map(|trace| self.orders.get(trace)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::order::State, *};

    fn line(service: &str, second: u8, trace: &str, rest: &str) -> Line {
        let text =
            format!(r#"{{"@timestamp":"2026-01-02T03:04:{second:02}.000Z","trace.id":"{trace}",{rest}}}"#);
        Line::parse(service, &text)
    }

    fn settled(trace: &str, order: &str) -> Line {
        line("payment-service", 1, trace, &format!(r#""message":"payment settled","order.id":"{order}""#))
    }

    #[test]
    fn the_lines_of_an_order_make_one_row() {
        let mut board = Board::default();
        board.learn(&settled("aa", "o-1"));
        let answered = r#""message":"request answered","http.route":"/create-order","http.response.status_code":201,"event.duration":500000000"#;
        board.learn(&line("order-gateway", 2, "aa", answered));
        board.learn(&line("payment-service", 2, "aa", r#""message":"request answered""#));
        board.learn(&line("email-service", 3, "aa", r#""message":"e-mail sent","order.id":"o-1""#));
        let orders = board.changes();
        assert_eq!(orders.len(), 1);
        let order = &orders[0];
        assert_eq!((order.order.as_deref(), order.status, order.took), (Some("o-1"), Some(201), Some(500.0)));
        assert_eq!(order.state, State::Mailed);
        assert_eq!(order.sent.unwrap() - order.at, 1500.0);
        assert!(board.changes().is_empty());
    }

    #[test]
    fn a_replayed_email_is_of_the_order_that_was_placed() {
        let mut board = Board::default();
        board.learn(&settled("aa", "o-1"));
        let dead = r#""message":"e-mail given up: a dead letter","order.id":"o-1","error.message":"550""#;
        board.learn(&line("email-service", 2, "aa", dead));
        assert_eq!(board.changes()[0].state, State::Dead);
        board.learn(&line("email-service", 9, "bb", r#""message":"e-mail sent","order.id":"o-1""#));
        let order = &board.changes()[0];
        assert_eq!((order.trace.as_str(), order.state, &order.error), ("aa", State::Mailed, &None));
    }

    #[test]
    fn requests_that_are_no_orders_and_old_orders_are_left_out() {
        let mut board = Board::default();
        let found = r#""message":"request answered","http.route":"/orders/{order_id}""#;
        board.learn(&line("order-gateway", 1, "cc", found));
        assert!(board.all().is_empty());
        for number in 0..MAX_ORDERS + 10 {
            board.learn(&settled(&format!("t{number}"), &format!("o{number}")));
        }
        assert_eq!(board.all().len(), MAX_ORDERS);
        assert_eq!((board.all()[0].trace.as_str(), board.traces.len()), ("t10", MAX_ORDERS));
    }
}
