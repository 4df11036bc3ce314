//! Divides a request of OTLP. Requests of all signals nest alike: groups by resource, by scope, items.

use prost::Message;
use prost::bytes::Bytes;

/// `ExportTraceServiceRequest`, `ExportLogsServiceRequest` or `ExportMetricsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    groups: Vec<Group>,
}

/// `ResourceSpans`, `ResourceLogs` or `ResourceMetrics`.
#[derive(Clone, PartialEq, Message)]
struct Group {
    #[prost(bytes = "bytes", optional, tag = "1")]
    resource: Option<Bytes>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

/// `ScopeSpans`, `ScopeLogs` or `ScopeMetrics`.
#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(bytes = "bytes", optional, tag = "1")]
    scope: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    items: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

/// The two halves of a request of `items` items in their order, each with the number of its items.
///
/// `None` for a single item, and for a request with another number of them.
pub(super) fn halves(request: &Bytes, items: u64) -> Option<[(Bytes, u64); 2]> {
    let first = Request::decode(request.clone()).ok()?;
    if items < 2 || first.items() != items {
        return None;
    }
    let (first, second) = first.split_at(items / 2);
    Some([first, second].map(|half| (half.encode_to_vec().into(), half.items())))
}

impl Request {
    fn items(&self) -> u64 {
        self.groups.iter().flat_map(|group| &group.scopes).map(|scope| scope.items.len() as u64).sum()
    }

    fn split_at(mut self, mut at: u64) -> (Self, Self) {
        let mut rest = self.clone();
        for (mine, theirs) in self.groups.iter_mut().zip(&mut rest.groups) {
            for (mine, theirs) in mine.scopes.iter_mut().zip(&mut theirs.scopes) {
                let kept = usize::try_from(at).map_or(mine.items.len(), |at| at.min(mine.items.len()));
                mine.items.truncate(kept);
                theirs.items.drain(..kept);
                at -= kept as u64;
            }
        }
        (self.without_empty_groups(), rest.without_empty_groups())
    }

    fn without_empty_groups(mut self) -> Self {
        for group in &mut self.groups {
            group.scopes.retain(|scope| !scope.items.is_empty());
        }
        self.groups.retain(|group| !group.scopes.is_empty());
        self
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{
        AnyValue, InstrumentationScope, KeyValue, any_value::Value,
    };
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::resource::v1::Resource;

    use super::*;

    /// Records by resource and scope; each of them is known by its time.
    fn request(groups: &[&[&[u64]]]) -> ExportLogsServiceRequest {
        let record = |time: &u64| LogRecord {
            time_unix_nano: *time,
            trace_id: vec![7; 16],
            body: Some(AnyValue { value: Some(Value::StringValue(format!("line {time}"))) }),
            ..LogRecord::default()
        };
        let scope = |(number, times): (usize, &&[u64])| ScopeLogs {
            scope: Some(InstrumentationScope { name: format!("scope {number}"), ..Default::default() }),
            log_records: times.iter().map(record).collect(),
            schema_url: "https://schema.example/scope".to_owned(),
        };
        let group = |(number, scopes): (usize, &&[&[u64]])| ResourceLogs {
            resource: Some(Resource {
                attributes: vec![KeyValue { key: format!("resource {number}"), ..KeyValue::default() }],
                ..Resource::default()
            }),
            scope_logs: scopes.iter().enumerate().map(scope).collect(),
            schema_url: "https://schema.example/resource".to_owned(),
        };
        ExportLogsServiceRequest { resource_logs: groups.iter().enumerate().map(group).collect() }
    }

    fn divided(request: &ExportLogsServiceRequest, items: u64) -> Option<[ExportLogsServiceRequest; 2]> {
        let halves = halves(&request.encode_to_vec().into(), items)?;
        Some(halves.map(|(half, _)| ExportLogsServiceRequest::decode(half).unwrap()))
    }

    #[test]
    fn halves_keep_order_resource_and_scope() {
        let whole = request(&[&[&[1, 2], &[3]], &[&[4, 5, 6, 7]]]);
        let [first, second] = divided(&whole, 7).unwrap();
        assert_eq!(first, request(&[&[&[1, 2], &[3]]]));
        let mut expected = request(&[&[], &[&[4, 5, 6, 7]]]);
        expected.resource_logs.remove(0);
        assert_eq!(second, expected);

        let [first, second] = divided(&request(&[&[&[1, 2, 3]]]), 3).unwrap();
        assert_eq!([first, second], [request(&[&[&[1]]]), request(&[&[&[2, 3]]])]);
    }

    #[test]
    fn a_single_item_or_another_number_is_not_divided() {
        assert_eq!(divided(&request(&[&[&[1]]]), 1), None);
        assert_eq!(divided(&request(&[&[&[1, 2]]]), 3), None);
        assert_eq!(halves(&Bytes::from_static(b"no protobuf"), 2), None);
        assert_eq!(halves(&Bytes::new(), 0), None);
    }
}
