//! What is written is read by `opentelemetry-proto`.

use opentelemetry::Array;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message as _;

use super::*;

/// `opentelemetry/proto/resource/v1/resource.proto`: a message of attributes.
const ATTRIBUTES: u32 = 1;

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_map(Value::F64),
        ".{0,300}".prop_map(|text| Value::String(text.into())),
        any::<Vec<bool>>().prop_map(|values| Value::Array(Array::Bool(values))),
        any::<Vec<i64>>().prop_map(|values| Value::Array(Array::I64(values))),
        any::<Vec<f64>>().prop_map(|values| Value::Array(Array::F64(values))),
        prop::collection::vec(".{0,9}", 0..40)
            .prop_map(|values| { Value::Array(Array::String(values.into_iter().map(Into::into).collect())) }),
    ]
}

proptest! {
    #[test]
    fn attributes_are_written_as_by_the_definition(
        attributes in prop::collection::vec((".{1,200}", any_value()), 0..9)
    ) {
        let mut message = Message::default();
        for (key, value) in &attributes {
            match value {
                Value::String(text) => message.text_attribute(ATTRIBUTES, key, text.as_str()),
                _ => message.attribute(ATTRIBUTES, key, |to| to.value(value)),
            }
        }
        let attribute = |(key, value): (String, Value)| {
            KeyValue { key, value: Some(AnyValue::from(value)), ..KeyValue::default() }
        };
        let attributes = attributes.into_iter().map(attribute).collect();
        let expected = Resource { attributes, ..Resource::default() };
        prop_assert_eq!(message.into_bytes(), expected.encode_to_vec());
    }
}

#[test]
fn a_length_takes_as_many_bytes_as_it_needs() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
        let text = "x".repeat(length);
        let mut message = Message::default();
        message.attribute(ATTRIBUTES, "key", |to| to.display(format_args!("{text}")));
        let read = Resource::decode(message.as_bytes()).unwrap();
        assert_eq!(read.attributes[0].value, Some(AnyValue::from(Value::from(text))), "{length}");
    }
}

#[test]
fn a_text_is_written_alike_whether_it_is_short_or_long() {
    for length in 0..300 {
        let text = "x".repeat(length);
        for key in ["", "key", &text] {
            let [mut one, mut other] = [Message::default(), Message::default()];
            one.text_attribute(ATTRIBUTES, key, &text);
            other.attribute(ATTRIBUTES, key, |to| to.string(&text));
            assert_eq!(one.as_bytes(), other.as_bytes(), "{length}");
        }
    }
}

#[test]
fn a_number_that_is_too_large_is_text() {
    let mut message = Message::default();
    message.attribute(ATTRIBUTES, "largest", |to| to.unsigned(u64::MAX));
    let read = Resource::decode(message.as_bytes()).unwrap();
    let text = any_value::Value::StringValue(u64::MAX.to_string());
    assert_eq!(read.attributes[0].value.as_ref().unwrap().value, Some(text));
}
