//! The AMQP topology: its names, and its definitions.
//!
//! ```text
//!  exchange checkout ── payment.* ──► queue mailer.payments ── dead letters ──► queue mailer.parking
//!        └ alternate: exchange checkout.unrouted ──► queue checkout.unrouted
//! ```

/// Topic exchange; the routing key of an event is its type.
pub const EXCHANGE: &str = "checkout";

/// The alternate exchange, and the queue of the same name behind it: messages that no queue is bound for.
pub const UNROUTED: &str = "checkout.unrouted";

/// The mailer's queue.
pub const MAILER_QUEUE: &str = "mailer.payments";

/// The routing keys that the mailer receives.
pub const MAILER_BINDING: &str = "payment.*";

/// Messages that the mailer can't read, with their original bytes.
pub const PARKING_QUEUE: &str = "mailer.parking";

/// All of it, in RabbitMQ's format of definitions. Publisher and consumer both declare it, so that neither waits for the
/// other.
///
/// JSON has no comments, so the reasons are here:
/// - `x-delivery-limit` of `mailer.payments` is a net for crash loops alone: a message that ends its consumer so often is
///   parked. The attempts to send an e-mail are counted in the mailer's database.
/// - `x-delivery-limit` of `mailer.parking` and `checkout.unrouted`: to list parked messages is to give them back, and an
///   attempt to publish an unrouted event again may fail. The default limit of RabbitMQ 4 would drop them after twenty of
///   these. RabbitMQ 3 has no word for "none".
/// - `x-dead-letter-strategy`: the default loses a dead letter when the broker stops in between; `at-least-once` asks for
///   `reject-publish`.
pub const DEFINITIONS: &str = include_str!("topology.json");

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn queues_whose_messages_are_given_back_have_no_delivery_limit() {
        let definitions: Value = serde_json::from_str(DEFINITIONS).unwrap();
        for queue in definitions["queues"].as_array().unwrap().iter().filter(|q| q["name"] != MAILER_QUEUE) {
            assert_eq!(queue["arguments"]["x-delivery-limit"], i32::MAX, "{queue}");
        }
    }

    #[test]
    fn the_definitions_have_the_names_of_the_contract() {
        let definitions: Value = serde_json::from_str(DEFINITIONS).unwrap();
        let names = |kind: &str| -> Vec<&str> {
            definitions[kind]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["name"].as_str().unwrap())
                .collect()
        };
        assert_eq!(names("exchanges"), [UNROUTED, EXCHANGE]);
        assert_eq!(names("queues"), [UNROUTED, PARKING_QUEUE, MAILER_QUEUE]);
        let bindings: Vec<[&str; 3]> = definitions["bindings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|binding| {
                ["source", "destination", "routing_key"].map(|name| binding[name].as_str().unwrap())
            })
            .collect();
        assert_eq!(bindings, [[UNROUTED, UNROUTED, ""], [EXCHANGE, MAILER_QUEUE, MAILER_BINDING]]);
    }
}
