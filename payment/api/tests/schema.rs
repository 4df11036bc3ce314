//! The published JSON Schema of the event.

use std::path::Path;

use payment_api::event::{JSON_SCHEMA, PaymentEvent};

#[test]
fn the_published_schema_is_that_of_the_types() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("payment-event.schema.json");
    let schema = serde_json::to_string_pretty(&PaymentEvent::schema()).unwrap() + "\n";
    if JSON_SCHEMA != schema {
        let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("payment-event.schema.json");
        std::fs::write(&new, schema).unwrap();
        panic!("{} is not up to date: copy {} there", file.display(), new.display());
    }
}
