//! The web page that places an order and leads to its trace, and the description of the API.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, web};
use payment_api::event::JSON_SCHEMA;
use service::http::{get, resource};

const PAGE: &str = include_str!("page.html");
const OPENAPI: &str = include_str!("../openapi.json");

/// The page is one file and loads no other.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, with the URL of traces in it.
#[derive(Clone)]
struct Page(String);

/// Adds `/`, `/openapi.json` and `/payment-event.schema.json`; `trace_url` has `{traceId}` in it.
pub(crate) fn page_routes(config: &mut web::ServiceConfig, trace_url: &str) {
    let page = PAGE.replace("@TRACE_URL@", &escaped(trace_url));
    config
        .app_data(web::Data::new(Page(page)))
        .service(resource("/", "GET, HEAD").route(get().to(show)))
        .service(resource("/openapi.json", "GET, HEAD").route(get().to(openapi)))
        .service(resource("/payment-event.schema.json", "GET, HEAD").route(get().to(event_schema)));
}

async fn show(page: web::Data<Page>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(page.0.clone())
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}

async fn event_schema() -> HttpResponse {
    HttpResponse::Ok().content_type("application/schema+json").body(JSON_SCHEMA)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::order::Order;

    fn description() -> Value {
        serde_json::from_str(OPENAPI).unwrap()
    }

    #[test]
    fn the_description_has_exactly_the_routes_that_are_served() {
        let described: BTreeSet<_> = description()["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|m| (m.clone(), path.clone()))
            })
            .collect();
        let served: BTreeSet<_> =
            crate::http::ROUTES.iter().map(|(m, path, _)| (m.to_lowercase(), (*path).to_owned())).collect();
        assert_eq!(described, served);
    }

    #[test]
    fn the_example_of_the_description_is_a_valid_order() {
        let schemas = &description()["components"]["schemas"];
        let example = serde_json::to_vec(&schemas["NewOrder"]["examples"][0]).unwrap();
        assert_eq!(Order::parse(&example).unwrap().total.to_string(), "99.98");
        let codes: Vec<_> = payment_api::Currency::ALL.iter().map(|currency| currency.code()).collect();
        assert_eq!(schemas["Currency"]["enum"], serde_json::json!(codes));
    }

    #[test]
    fn the_version_of_the_description_is_ours() {
        assert_eq!(description()["info"]["version"], crate::SERVICE.version);
    }
}
