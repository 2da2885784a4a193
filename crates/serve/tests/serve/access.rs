//! Who may come in: tokens, names of hosts, and pages of other sites.

use crate::client::{Client, form, get, post};
use crate::support::{Running, options, picture};

#[test]
fn a_token_is_required_except_for_the_page_and_health() {
    let mut options = options();
    options.tokens = vec!["a secret".to_owned(), "another".to_owned()];
    let server = Running::start(&options);
    for path in ["/health", "/ready", "/", "/page.js", "/page.css", "/openapi.json", "/docs"] {
        assert_eq!(get(server.address, path).status, 200, "{path}");
    }
    for path in ["/v1/models", "/metrics", "/info", "/v1/results", "/v1/results/x", "/nothing"] {
        let reply = get(server.address, path);
        assert_eq!(
            (reply.status, reply.header("www-authenticate")),
            (401, Some("Bearer")),
            "{path}"
        );
    }
    assert_eq!(post(server.address, "/v1/predict", "image/png", &picture(1)).status, 401);
    let mut client = Client::connect(server.address);
    for (header, status) in [
        ("authorization: Bearer a secret\r\n", 200),
        ("authorization: bearer another\r\n", 200),
        ("authorization: Bearer a secre\r\n", 401),
        ("authorization: Basic a secret\r\n", 401),
    ] {
        assert_eq!(client.request("GET", "/v1/models", header, b"").status, status, "{header}");
    }
}

#[test]
fn without_a_token_only_same_origin_requests_from_localhost_are_allowed() {
    let server = Running::start(&options());
    let ask = |text: &str| {
        let mut client = Client::connect(server.address);
        client.send(text.as_bytes());
        client.reply().expect("a response").status
    };
    assert_eq!(ask("GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1:80\r\n\r\n"), 200);
    assert_eq!(ask("GET /v1/models HTTP/1.1\r\nhost: example.org\r\n\r\n"), 421);
    let post = "POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n";
    assert_eq!(ask(&format!("{post}sec-fetch-site: cross-site\r\ncontent-length: 0\r\n\r\n")), 403);
    assert_eq!(
        ask(&format!("{post}sec-fetch-site: same-origin\r\ncontent-length: 0\r\n\r\n")),
        422
    );
}

#[test]
fn cross_site_forms_are_refused() {
    let server = Running::start(&options());
    let (kind, body) = form(&[("a.png", &picture(1))]);
    let own = format!("http://localhost:{}", server.address.port());
    let ask = |more: &str| {
        let mut client = Client::connect(server.address);
        let host = format!("localhost:{}", server.address.port());
        let head = format!(
            "POST /v1/predict HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\n{more}\
             content-length: {}\r\n\r\n",
            body.len()
        );
        client.send(&[head.as_bytes(), &body].concat());
        client.reply().expect("a response").status
    };
    for more in [
        "origin: http://example.org\r\n",
        "origin: null\r\n",
        "origin: http://localhost:1\r\n",
        "origin: http://example.org\r\nsec-fetch-site: cross-site\r\n",
        "origin: http://example.org\r\nsec-fetch-site: same-origin\r\n",
        "origin: http://example.org\r\nx-forwarded-host: localhost\r\n",
    ] {
        assert_eq!(ask(more), 403, "{more}");
    }
    assert_eq!(ask(""), 200);
    assert_eq!(ask(&format!("origin: {own}\r\n")), 200);
    assert_eq!(ask(&format!("origin: {own}\r\nsec-fetch-site: same-origin\r\n")), 200);
    // Behind a proxy that gives the server another name than the page was loaded by.
    let proxied = "origin: https://faces.example.org\r\nx-forwarded-host: faces.example.org\r\n";
    assert_eq!(ask(proxied), 200);
}

#[test]
fn pages_of_other_sites_may_call_only_where_their_origin_is_allowed() {
    let picture = picture(1);
    let ask = |server: &Running, method: &str, more: &str, body: &[u8]| {
        let mut client = Client::connect(server.address);
        let head = format!("content-type: image/png\r\n{more}");
        client.request(method, "/v1/embed", &head, body)
    };
    let preflight = "access-control-request-method: POST\r\norigin: https://app.example.org\r\n";
    let origin = "origin: https://app.example.org\r\nsec-fetch-site: cross-site\r\n";

    let closed = Running::start(&options());
    let reply = ask(&closed, "OPTIONS", preflight, b"");
    assert!(reply.status >= 400 && reply.header("access-control-allow-origin").is_none());
    let reply = ask(&closed, "POST", origin, &picture);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None));
    assert!(reply.header("vary").is_none());

    let mut options = options();
    options.allowed_origins = vec!["https://app.example.org/".to_owned()];
    options.tokens = vec!["a secret".to_owned()];
    let open = Running::start(&options);
    let reply = ask(&open, "OPTIONS", preflight, b"");
    let allowed = Some("https://app.example.org");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, allowed));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert!(reply.header("access-control-allow-methods").unwrap().contains("POST"));
    let token = format!("{origin}authorization: Bearer a secret\r\n");
    let reply = ask(&open, "POST", &token, &picture);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, allowed));
    assert_eq!(reply.header("vary"), Some("origin"));
    // An error can be read too; another site is refused as before; a token is still needed.
    assert_eq!(ask(&open, "POST", &token, b"").header("access-control-allow-origin"), allowed);
    assert_eq!(ask(&open, "POST", origin, &picture).status, 401);
    let other = token.replace("app.example", "evil.example");
    let reply = ask(&open, "POST", &other, &picture);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None));

    options.allowed_origins = vec!["*".to_owned()];
    assert_eq!(ask(&Running::start(&options), "POST", &other, &picture).status, 200);
}
