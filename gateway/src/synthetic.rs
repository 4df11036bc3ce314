//! Synthetic orders: those of `stacks prove`, `stacks load` and other tools of ours. The attribute of the semantic
//! conventions marks them in all signals, so that a query can leave them out.

use actix_web::HttpRequest;
use actix_web::http::header::USER_AGENT;
use slog::{Logger, o};
use telemetry::propagation::annotate;

const SYNTHETIC_TYPE: &str = "user_agent.synthetic.type";

/// Marks the current span where the user agent is synthetic, and returns a logger that marks its lines as well.
///
/// The mark changes nothing but telemetry, so that any client may set it.
pub(crate) fn mark(request: &HttpRequest, log: &Logger) -> Logger {
    let Some(kind) = synthetic_type(request) else { return log.clone() };
    annotate(SYNTHETIC_TYPE, kind);
    log.new(o!(SYNTHETIC_TYPE => kind))
}

fn synthetic_type(request: &HttpRequest) -> Option<&'static str> {
    let agent = request.headers().get(USER_AGENT)?.to_str().ok()?;
    (agent.starts_with("omnitrace-") && agent.ends_with("(synthetic)")).then_some("test")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_user_agent_of_ours_marked_synthetic_is_synthetic() {
        let kind = |agent: &'static str| {
            synthetic_type(&TestRequest::default().insert_header((USER_AGENT, agent)).to_http_request())
        };
        assert_eq!(kind("omnitrace-prove/0.1.0 (synthetic)"), Some("test"));
        for other in ["omnitrace-prove/0.1.0", "curl/8.0 (synthetic)", "Mozilla/5.0", ""] {
            assert_eq!(kind(other), None, "{other}");
        }
        assert_eq!(synthetic_type(&TestRequest::default().to_http_request()), None);
    }
}
