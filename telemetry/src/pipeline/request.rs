//! Requests of OTLP, joined and divided. Those for spans and for log records nest alike, and nothing in an item is
//! looked at.

use prost::Message;
use prost::bytes::Bytes;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    groups: Vec<Group>,
}

/// `ResourceSpans` or `ResourceLogs`.
#[derive(Clone, PartialEq, Message)]
struct Group {
    #[prost(bytes = "bytes", optional, tag = "1")]
    resource: Option<Bytes>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

/// `ScopeSpans` or `ScopeLogs`.
#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(bytes = "bytes", optional, tag = "1")]
    scope: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    items: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

/// A request of one item, without its resource.
pub(crate) fn single(scope: Bytes, item: Vec<u8>) -> Vec<u8> {
    let scope = Scope { scope: Some(scope), items: vec![item.into()], ..Scope::default() };
    let group = Group { scopes: vec![scope], ..Group::default() };
    Request { groups: vec![group] }.encode_to_vec()
}

/// Resource, scope and item of a request of one item.
pub(crate) fn dissect(request: Vec<u8>) -> Option<[Bytes; 3]> {
    let group = Request::decode(Bytes::from(request)).ok()?.groups.pop()?;
    let mut scope = group.scopes.into_iter().next()?;
    Some([group.resource?, scope.scope?, scope.items.pop()?])
}

/// One request of what is in `requests`, items of one resource and scope together, in the order in which they came.
/// `common`, an encoded `Resource`, is added to each resource. What is no request is left out.
pub(super) fn join<'a>(common: &[u8], requests: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut joined = Request::default();
    for request in requests {
        let Ok(request) = Request::decode(Bytes::copy_from_slice(request)) else { continue };
        request.groups.into_iter().for_each(|group| joined.add(group));
    }
    for group in &mut joined.groups {
        // One protobuf message after the other is their union.
        group.resource = Some([common, group.resource.as_deref().unwrap_or_default()].concat().into());
    }
    joined.encode_to_vec()
}

/// The two halves of a request of `items` items, each with how many it has, in their order.
///
/// `None` when there is nothing to divide, or the request has another number of them.
pub(super) fn halves(request: &Bytes, items: u64) -> Option<[(Bytes, u64); 2]> {
    let first = Request::decode(request.clone()).ok()?;
    if items < 2 || first.items() != items {
        return None;
    }
    let (first, second) = first.split_at(items / 2);
    Some([first, second].map(|half| (half.encode_to_vec().into(), half.items())))
}

impl Request {
    fn add(&mut self, group: Group) {
        let is_same =
            |other: &&mut Group| other.resource == group.resource && other.schema_url == group.schema_url;
        match self.groups.iter_mut().find(is_same) {
            Some(same) => group.scopes.into_iter().for_each(|scope| same.add(scope)),
            None => self.groups.push(group),
        }
    }

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
        (self.without_what_is_empty(), rest.without_what_is_empty())
    }

    fn without_what_is_empty(mut self) -> Self {
        for group in &mut self.groups {
            group.scopes.retain(|scope| !scope.items.is_empty());
        }
        self.groups.retain(|group| !group.scopes.is_empty());
        self
    }
}

impl Group {
    fn add(&mut self, mut scope: Scope) {
        let is_same = |other: &&mut Scope| other.scope == scope.scope && other.schema_url == scope.schema_url;
        match self.scopes.iter_mut().find(is_same) {
            Some(same) => same.items.append(&mut scope.items),
            None => self.scopes.push(scope),
        }
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

    #[test]
    fn what_belongs_together_is_joined_in_order_and_gets_what_is_common() {
        let requests = [request(&[&[&[1]]]), request(&[&[], &[&[2]]]), request(&[&[&[3], &[4]]])];
        let mut requests = requests.map(|request| request.encode_to_vec()).to_vec();
        requests.insert(1, b"no protobuf".to_vec());
        let common = KeyValue { key: "common".to_owned(), ..KeyValue::default() };
        let resource = Resource { attributes: vec![common.clone()], ..Resource::default() };
        let joined = join(&resource.encode_to_vec(), requests.iter().map(Vec::as_slice));
        let mut expected = request(&[&[&[1, 3], &[4]], &[&[2]]]);
        for group in &mut expected.resource_logs {
            group.resource.get_or_insert_default().attributes.insert(0, common.clone());
        }
        assert_eq!(ExportLogsServiceRequest::decode(&joined[..]).unwrap(), expected);
    }

    fn divided(request: &ExportLogsServiceRequest, items: u64) -> Option<[ExportLogsServiceRequest; 2]> {
        let halves = halves(&request.encode_to_vec().into(), items)?;
        Some(halves.map(|(half, _)| ExportLogsServiceRequest::decode(half).unwrap()))
    }

    #[test]
    fn the_halves_have_all_items_in_order_each_below_its_resource_and_scope() {
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
    fn a_single_item_and_what_is_no_request_of_so_many_are_not_divided() {
        assert_eq!(divided(&request(&[&[&[1]]]), 1), None);
        assert_eq!(divided(&request(&[&[&[1, 2]]]), 3), None);
        assert_eq!(halves(&Bytes::from_static(b"no protobuf"), 2), None);
        assert_eq!(halves(&Bytes::new(), 0), None);
    }
}
