//! SQL that fills the SQLite files of payment and mailer with settled orders: none of them is work that is left.

/// The time over which the orders are spread, up to now, in milliseconds: less than payment keeps keys and events.
const SPAN: u64 = 60_000_000;
const CONTEXT: &str = r#"{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;

/// Fills payment's file with so many payments, each with its key and its published event.
pub fn payments(orders: u64) -> String {
    format!(
        "INSERT INTO payments (order_id, outcome, reason, amount_minor, currency, trace_id, settled_at) \
         WITH {} SELECT id, 'succeeded', NULL, 4999, 'USD', lower(hex(randomblob(16))), at FROM orders;\n\
         INSERT INTO idempotency (key, fingerprint, order_id, created_at) \
         SELECT lower(hex(randomblob(16))), lower(hex(randomblob(32))), order_id, settled_at FROM payments ORDER BY 1;\n\
         INSERT INTO outbox (event_id, order_id, routing_key, payload, trace_context, created_at, attempts, published_at) \
         SELECT replace(order_id, '-7000-', '-7001-'), order_id, 'payment.succeeded', {}, '{CONTEXT}', settled_at, 1, \
         settled_at + 9 FROM payments;\n",
        orders_of(orders),
        payload("order_id")
    )
}

/// Fills the mailer's file with so many events whose e-mail was sent.
pub fn emails(orders: u64) -> String {
    format!(
        "INSERT INTO inbox (event_id, order_id, payload, trace_context, received_at, queued_at, state, attempts, due_at, sent_at) \
         WITH {} SELECT replace(id, '-7000-', '-7001-'), id, {}, '{CONTEXT}', at + 9, at + 9, 'sent', 1, at + 9, at + 99 \
         FROM orders;\n",
        orders_of(orders),
        payload("id")
    )
}

/// The table `orders (id, at)`; the ids are UUIDs of version 7, as payment makes them.
fn orders_of(orders: u64) -> String {
    format!(
        "RECURSIVE numbers (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM numbers WHERE i < {orders}), \
         times (i, at) AS (SELECT i, unixepoch() * 1000 - {SPAN} + i * {SPAN} / {orders} FROM numbers), \
         orders (id, at) AS (SELECT printf('%08x-%04x-7000-8000-%012x', at >> 16, at & 65535, i), at FROM times)"
    )
}

fn payload(order: &str) -> String {
    format!(
        "CAST('{{\"specversion\":\"1.0\",\"id\":\"' || replace({order}, '-7000-', '-7001-') || \
         '\",\"source\":\"payment-service\",\"type\":\"payment.succeeded\",\"time\":\"2026-11-28T10:00:00Z\",\
         \"datacontenttype\":\"application/json\",\"data\":{{\"orderId\":\"' || {order} || \
         '\",\"customer\":{{\"email\":\"ada@example.com\"}},\"items\":[{{\"sku\":\"BOOK-1\",\"quantity\":1,\
         \"unitPrice\":\"49.99\"}}],\"amount\":\"49.99\",\"currency\":\"USD\"}}}}' AS BLOB)"
    )
}
