//! The body of `POST /create-order`: an order that payment accepts, or a problem of the client.

#![no_main]

use gateway::order::Order;
use libfuzzer_sys::fuzz_target;
use payment_api::http::NewPayment;

fuzz_target!(|body: &[u8]| match Order::parse(body) {
    Ok(order) => {
        let payment = NewPayment {
            order_id: Default::default(),
            customer: order.customer,
            items: order.items,
            amount: order.total.to_string(),
            currency: order.total.currency(),
        };
        assert_eq!(payment.flaws(), [], "the gateway accepts an order that payment refuses");
    }
    Err(problem) => {
        assert!(matches!(problem.status, 400 | 422), "{problem}");
        serde_json::to_vec(&problem).expect("a problem is JSON");
    }
});
