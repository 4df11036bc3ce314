//! Requests of OTLP, filled and divided. Those for spans and for log records nest alike, and nothing in an item is
//! looked at.

use prost::Message;
use prost::bytes::Bytes;

use crate::otlp;

/// Bytes of a request that are not in its items, for each of these: a key and a length.
const FRAME: usize = 4;

/// `ExportTraceServiceRequest` or `ExportLogsServiceRequest`, and what nests in them.
mod tag {
    pub(super) const GROUPS: u32 = 1;
    pub(super) const RESOURCE: u32 = 1;
    pub(super) const SCOPES: u32 = 2;
    pub(super) const SCOPE: u32 = 1;
    pub(super) const ITEMS: u32 = 2;
    pub(super) const SCHEMA_URL: u32 = 3;
}

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

/// A request without items: who speaks, in each of the ways that an item can be said.
#[derive(Clone, Debug)]
pub(crate) struct Template(Request);

impl Template {
    /// A way for each of these `Resource`s, encoded.
    pub(crate) fn of(resources: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let group = |resource: Vec<u8>| Group {
            resource: Some(resource.into()),
            scopes: vec![Scope::default()],
            ..Group::default()
        };
        Self(Request { groups: resources.into_iter().map(group).collect() })
    }

    /// What is left of a request of one item without it, and the item.
    pub(crate) fn from_one(request: Vec<u8>) -> Option<(Self, Bytes)> {
        let mut request = Request::decode(Bytes::from(request)).ok()?;
        let item = request.groups.first_mut()?.scopes.first_mut()?.items.pop()?;
        Some((Self(request), item))
    }

    /// As a request, which is what it is.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    /// `None` for what is no request.
    pub(super) fn decode(encoded: Vec<u8>) -> Option<Self> {
        Request::decode(Bytes::from(encoded)).ok().map(Self)
    }

    /// A request of `items`, in their order. The first byte of each is the number of the way in which it is said.
    pub(crate) fn fill<'a>(&self, items: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let groups = &self.0.groups;
        let mut filled = vec![Vec::new(); groups.len()];
        let mut room = self.0.encoded_len() + 2 * FRAME * groups.len();
        for item in items {
            let Some((way, item)) = item.split_first() else { continue };
            let Some(items) = filled.get_mut(usize::from(*way)) else { continue };
            items.push(item);
            room += FRAME + item.len();
        }
        let mut request = otlp::Message::after(Vec::with_capacity(room));
        for (group, items) in groups.iter().zip(filled).filter(|(_, items)| !items.is_empty()) {
            request.message(tag::GROUPS, |to| group.write(&items, to));
        }
        request.into_bytes()
    }
}

impl Group {
    /// Writes it with `items` in its first scope.
    fn write(&self, items: &[&[u8]], to: &mut otlp::Message) {
        if let Some(resource) = &self.resource {
            to.bytes(tag::RESOURCE, resource);
        }
        if let Some(scope) = self.scopes.first() {
            to.message(tag::SCOPES, |to| scope.write(items, to));
        }
        write_url(tag::SCHEMA_URL, &self.schema_url, to);
    }
}

impl Scope {
    fn write(&self, items: &[&[u8]], to: &mut otlp::Message) {
        if let Some(scope) = &self.scope {
            to.bytes(tag::SCOPE, scope);
        }
        items.iter().for_each(|item| to.bytes(tag::ITEMS, item));
        write_url(tag::SCHEMA_URL, &self.schema_url, to);
    }
}

fn write_url(field: u32, url: &str, to: &mut otlp::Message) {
    if !url.is_empty() {
        to.bytes(field, url.as_bytes());
    }
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
    fn items_are_put_in_order_where_they_belong_and_what_belongs_nowhere_is_left_out() {
        let resources = ["warn", "info", "debug"].map(|level| Resource {
            attributes: vec![KeyValue { key: level.to_owned(), ..KeyValue::default() }],
            ..Resource::default()
        });
        let template = Template::of(resources.clone().map(|resource| resource.encode_to_vec()));
        // As it comes back from a process that has ended.
        let template = Template::decode(template.encode()).unwrap();
        let item = |way: u8, time: u64| {
            let [mut group] = request(&[&[&[time]]]).resource_logs.try_into().unwrap();
            [&[way][..], &group.scope_logs.remove(0).log_records.remove(0).encode_to_vec()].concat()
        };
        let items = [item(2, 1), item(0, 2), Vec::new(), item(2, 3), item(7, 4)];
        let filled = template.fill(items.iter().map(Vec::as_slice));
        let filled = ExportLogsServiceRequest::decode(&filled[..]).unwrap();
        let seen = filled.resource_logs.iter().map(|group| {
            let times = group.scope_logs[0].log_records.iter().map(|record| record.time_unix_nano);
            (group.resource.clone().unwrap(), times.collect::<Vec<_>>())
        });
        let [warn, _, debug] = resources;
        assert_eq!(seen.collect::<Vec<_>>(), [(warn, vec![2]), (debug, vec![1, 3])]);
    }

    #[test]
    fn what_surrounds_an_item_is_found_in_a_request_of_one() {
        let one = request(&[&[&[1]]]);
        let (template, item) = Template::from_one(one.encode_to_vec()).unwrap();
        let item = [&[0], &item[..]].concat();
        assert_eq!(template.fill([&item[..]]), one.encode_to_vec());
        assert!(Template::from_one(request(&[&[&[]]]).encode_to_vec()).is_none());
        assert!(Template::from_one(b"no protobuf".to_vec()).is_none());
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
