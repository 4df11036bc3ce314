//! The number of items in an export request, without a look into them: cheap enough for measurements.

use prost::{DecodeError, Message};

/// An export request of spans or of log records: both nest alike.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(bytes = "vec", repeated, tag = "2")]
    items: Vec<Vec<u8>>,
}

/// The number of spans or log records in the body of an export request.
pub(super) fn count(body: &[u8]) -> Result<usize, DecodeError> {
    let request = Request::decode(body)?;
    let scopes = request.resources.iter().flat_map(|resource| &resource.scopes);
    Ok(scopes.map(|scope| scope.items.len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_all_scopes_and_resources_are_counted() {
        let scope = Scope { items: vec![b"\x0a\x01a".to_vec(); 3] };
        let resource = Resource { scopes: vec![scope.clone(), scope] };
        let body = Request { resources: vec![resource.clone(), resource] }.encode_to_vec();
        assert_eq!(count(&body), Ok(12));
        assert!(count(&body[..body.len() - 1]).is_err());
    }
}
