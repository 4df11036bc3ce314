//! Paths, methods and queries.

use super::case::{Case, Harmless, Problem, case};

pub(super) fn cases() -> Vec<Case> {
    [paths(), methods(), queries()].into_iter().flatten().collect()
}

fn paths() -> Vec<Case> {
    let nothing = |line: &str| {
        let name: String = line.chars().take(40).collect();
        case(&name, line, "", b"", Problem(404, "/problems/not-found"))
    };
    vec![
        nothing("POST /orders"),
        nothing("POST /process-payment"),
        nothing("POST /create-order/"),
        nothing("POST //create-order"),
        nothing("POST /Create-Order"),
        nothing("POST /create-order;a=b"),
        nothing("GET /../../etc/passwd"),
        nothing("GET /orders/../metrics"),
        nothing("GET /orders/7"),
        nothing("GET /orders/"),
        nothing("GET /orders/%zz"),
        nothing("GET /orders/%00"),
        nothing("GET /orders/%2e%2e%2f"),
        nothing("GET /orders/%c0%af"),
        nothing("GET /orders/%0d%0aset-cookie:a"),
        nothing("GET /orders/'%20OR%201=1"),
        nothing(&format!("GET /orders/{}", "a".repeat(10_000))),
        nothing("GET http://example.org/nothing"),
    ]
}

fn methods() -> Vec<Case> {
    let wrong = |line: &str| case(line, line, "", b"", Problem(405, "/problems/method-not-allowed"));
    vec![
        wrong("GET /create-order"),
        wrong("PUT /create-order"),
        wrong("DELETE /orders/7"),
        wrong("TRACE /create-order"),
        wrong("BREW /create-order"),
        wrong("post /create-order"),
        wrong("POST /openapi.json"),
        wrong("CONNECT /create-order").closing(),
        case("options of everything", "OPTIONS *", "", b"", Problem(404, "/problems/not-found")),
        case("options of an order", "OPTIONS /orders/7", "", b"", Harmless(204)),
    ]
}

fn queries() -> Vec<Case> {
    let wrong = |line: &str| {
        let name: String = line.chars().take(40).collect();
        case(&name, line, "", b"", Problem(400, "/problems/query-invalid"))
    };
    vec![
        wrong("POST /create-order?dryRun=true"),
        wrong("POST /create-order?a=1&a=1"),
        wrong("POST /create-order?%zz"),
        wrong("GET /orders/7?limit=-1"),
        wrong(&format!("GET /orders/7?{}", "a=1&".repeat(1000))),
    ]
}
