//! Our own routes, and the document that describes them.

use std::path::Path;

use facefold_core::DecisionAges;
use facefold_predict::BundleCard;
use facefold_serve::{OPENAPI, ROUTES};
use serde_json::Value;

use crate::client::{Client, Reply, form, get, post};
use crate::schema::assert_conforms;
use crate::support::{Running, bundle as drawn_bundle, face, options, picture};

#[test]
fn predictions_have_probabilities_and_a_distribution() {
    let server = Running::start(&options());
    let reply = post(server.address, "/v1/predict", "image/png", &picture(1));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = reply.json();
    let pictures = reply["pictures"].as_array().unwrap();
    assert_eq!((pictures.len(), &pictures[0]["status"]), (1, &Value::from("ok")));
    let face = &pictures[0]["faces"][0];
    assert_eq!(face["bounding_box"].as_array().unwrap().len(), 4);
    assert_eq!(face["landmarks"].as_array().unwrap().len(), 5);
    let answer = &face["predictions"][0];
    assert_eq!(answer["bundle"], "drawn");
    let sum = |probabilities: &Value| -> f64 {
        probabilities.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum()
    };
    let gender = &answer["gender"];
    let second = |pair: &Value| pair[1].clone();
    let probabilities: Value =
        gender["probabilities"].as_array().unwrap().iter().map(second).collect();
    assert!((sum(&probabilities) - 1.0).abs() < 1e-5, "{gender}");
    assert!(["female", "male"].contains(&gender["label"].as_str().unwrap()));
    assert_eq!(answer["age_group"]["probabilities"].as_array().unwrap().len(), 9);
    let ages = answer["age_distribution"].as_array().unwrap();
    assert_eq!(ages.len(), 117);
    assert!((sum(&answer["age_distribution"]) - 1.0).abs() < 1e-4);
    assert!((0.0..=116.0).contains(&answer["age"].as_f64().unwrap()));
    let at = &answer["thresholds"][0];
    assert_eq!((&at["age"], answer["thresholds"].as_array().unwrap().len()), (&18.into(), 1));
    let over: f64 = ages[18..].iter().map(|share| share.as_f64().unwrap()).sum();
    assert!((at["probability_over"].as_f64().unwrap() - over).abs() < 1e-4, "{at}");
    // The limits of the bundle are both 18, and what decides is not rounded.
    let probabilities: Vec<f32> =
        serde_json::from_value(answer["age_distribution"].clone()).unwrap();
    let ages = DecisionAges::of(&probabilities);
    let decided = match (ages.lower_decile >= 18.0, ages.median < 18.0) {
        (true, _) => "over",
        (false, true) => "under",
        (false, false) => "undecided",
    };
    assert_eq!(at["decision"], decided);
    let familiarity = &answer["familiarity"];
    assert!(familiarity["score"].as_f64().unwrap() > 0.01, "a training face: {familiarity}");
    assert_eq!(familiarity["unfamiliar"], false);
    assert!(answer["age_low"].as_f64().unwrap() <= answer["age_high"].as_f64().unwrap());
}

#[test]
fn a_form_of_many_pictures_keeps_names_order_and_errors() {
    let server = Running::start(&options());
    let (one, two) = (picture(1), picture(2));
    let files: [(&str, &[u8]); 3] =
        [("one.png", &one), ("broken.png", b"GIF89a"), ("two.png", &two)];
    let (kind, body) = form(&files);
    let reply = post(server.address, "/v1/predict?faces=all", &kind, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let pictures = reply.json()["pictures"].as_array().unwrap().clone();
    let results: Vec<_> = pictures.iter().map(|p| (&p["path"], &p["status"])).collect();
    assert_eq!(results[0], (&Value::from("one.png"), &Value::from("ok")));
    assert_eq!(results[1].0, "broken.png");
    assert_ne!(results[1].1, "ok");
    assert_eq!(results[2], (&Value::from("two.png"), &Value::from("ok")));
    // The same predictions as each picture alone.
    for (index, bytes) in [(0, &one), (2, &two)] {
        let alone = post(server.address, "/v1/predict", "image/png", bytes).json();
        assert_eq!(alone["pictures"][0]["faces"], pictures[index]["faces"]);
    }
}

#[test]
fn embeddings_are_those_of_the_extractor_bit_for_bit_however_batched() {
    let server = Running::start(&options());
    let pictures: Vec<Vec<u8>> = (0..24).map(picture).collect();
    let files: Vec<(&str, &[u8])> = pictures.iter().map(|bytes| ("p", bytes.as_slice())).collect();
    let (kind, body) = form(&files);
    let reply = post(server.address, "/v1/embed", &kind, &body).json();
    for (index, bytes) in pictures.iter().enumerate() {
        let found = &reply["pictures"][index]["faces"][0];
        let embedding: Vec<f32> = serde_json::from_value(found["embedding"].clone()).unwrap();
        let expected = face(bytes);
        assert_eq!(embedding, expected.embedding.as_slice(), "picture {index}");
        assert_eq!(found["norm"].as_f64().unwrap() as f32, expected.embedding.norm());
    }
    // Workers took several at once.
    let metrics = get(server.address, "/metrics").text();
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).trim().parse().unwrap()
    };
    assert_eq!(value("facefold_batch_pictures_sum"), 24.0);
    assert!(value("facefold_batch_pictures_count") < 24.0);
    assert_eq!(value("facefold_pictures_total{outcome=\"embedded\"}"), 24.0);
}

#[test]
fn request_errors_have_distinct_statuses() {
    let server = Running::start(&options());
    let at = server.address;
    let good = picture(1);
    let cut = &good[..good.len() / 2];
    // A BMP header that promises 30,000 x 30,000 pixels of 3 bytes.
    let side = 30_000_u32.to_le_bytes();
    let bomb = [
        b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".as_slice(),
        &side,
        &side,
        &[1, 0, 24, 0],
        &[0; 24],
    ];
    let bomb = bomb.concat();
    let (form_kind, empty_form) = form(&[]);
    let cases: [(&str, &str, &[u8], u16); 9] = [
        ("/v1/predict", "image/png", b"no picture", 415),
        ("/v1/predict", "text/plain", &good, 415),
        ("/v1/predict", "multipart/form-data", &good, 415),
        ("/v1/predict", "image/png", b"", 422),
        ("/v1/predict", "image/png", cut, 422),
        ("/v1/predict?faces=some", "image/png", &good, 422),
        ("/v1/predict", &form_kind, &empty_form, 422),
        ("/v1/predict", "image/bmp", &bomb, 413),
        ("/v1/embed", "image/png", cut, 422),
    ];
    for (path, kind, body, status) in cases {
        let reply = post(at, path, kind, body);
        assert_eq!(reply.status, status, "{path} {kind}: {}", reply.text());
        assert!(!reply.code().is_empty());
    }
    let files: Vec<(&str, &[u8])> = (0..65).map(|_| ("p", good.as_slice())).collect();
    let (kind, body) = form(&files);
    assert_eq!(post(at, "/v1/predict", &kind, &body).status, 413);
    let reply = get(at, "/v1/predict");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
}

#[test]
fn models_has_the_metrics_of_the_bundles() {
    let server = Running::start(&options());
    let models = get(server.address, "/v1/models").json();
    let bundle = &models["bundles"][0];
    assert_eq!(models["model"], "untrained");
    assert_eq!(bundle["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(bundle["metrics"]["age"]["validation"]["regression"]["mean_absolute_error"], 9.9);
    assert_eq!(bundle["licence"], "none");
    assert_eq!(bundle["fingerprint"], models["fingerprint"]);
    // The same card as `facefold bundle show`.
    let card = serde_json::to_value(BundleCard::new("drawn", &drawn_bundle())).unwrap();
    assert_eq!(*bundle, card);
}

#[test]
fn the_page_has_a_strict_content_security_policy() {
    let server = Running::start(&options());
    for (path, kind) in
        [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]
    {
        let reply = get(server.address, path);
        assert_eq!(reply.status, 200);
        assert!(reply.header("content-type").unwrap().starts_with(kind));
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        let text = reply.text();
        assert!(!text.contains("http://") && !text.contains("https://"), "{path} names a host");
    }
}

#[test]
fn the_document_describes_every_route_and_no_other() {
    let server = Running::start(&options());
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    assert_eq!(get(server.address, "/openapi.json").json(), document);
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.push((method.clone(), path.clone()));
        }
    }
    let mut routes: Vec<(String, String)> =
        ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned())).to_vec();
    routes.sort();
    described.sort();
    assert_eq!(described, routes);
    // And every route exists: its status is not 404.
    let mut client = Client::connect(server.address);
    for (method, path) in ROUTES.iter().filter(|(_, path)| !path.contains('{')) {
        let reply = client.request(&method.to_uppercase(), path, "", b"");
        assert!(![404, 405].contains(&reply.status) || *path == "/v1/compare", "{method} {path}");
    }
}

#[test]
fn responses_are_as_the_document_says() {
    let mut options = options();
    options.results = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results"));
    let server = Running::start(&options);
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let schema = |path: &str, method: &str, status: &str| {
        let response = &document["paths"][path][method]["responses"][status];
        let content = response["content"].as_object().expect("a content");
        content.values().next().expect("a media type")["schema"].clone()
    };
    let check = |path: &str, method: &str, reply: &Reply| {
        let schema = schema(path, method, &reply.status.to_string());
        assert_conforms(&document, &schema, &reply.json());
    };
    let (kind, body) = form(&[("one.png", &picture(1)), ("broken.png", b"GIF89a")]);
    for path in ["/v1/predict", "/v1/embed"] {
        let several = post(server.address, &format!("{path}?faces=all"), &kind, &body);
        assert_eq!(several.status, 200, "{}", several.text());
        check(path, "post", &several);
        check(path, "post", &post(server.address, path, "image/png", b"no picture"));
    }
    check("/v1/explain", "post", &post(server.address, "/v1/explain", "image/png", &picture(1)));
    for path in ["/v1/models", "/v1/results", "/info"] {
        check(path, "get", &get(server.address, path));
    }
    let report = get(server.address, "/v1/results/utkface-folds");
    check("/v1/results/{name}", "get", &report);
    check("/v1/results/{name}", "get", &get(server.address, "/v1/results/none"));
}

#[test]
fn clients_can_be_generated_from_the_document() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut names = std::collections::HashSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
            assert!(!name.is_empty() && names.insert(name), "{method} {path}");
            // Generators take a type from a media type without `*` only.
            let body = operation["requestBody"]["content"].as_object().into_iter().flatten();
            for (kind, content) in body {
                assert!(!kind.contains('*'), "{method} {path}: {kind}");
                assert!(content["schema"].is_object(), "{method} {path}: {kind}");
            }
        }
    }
}

#[test]
fn behind_a_proxy_all_is_below_the_base_path() {
    let mut options = options();
    options.base_path = "/tools/faces".parse().unwrap();
    options.tokens = vec!["a-token".to_owned()];
    let server = Running::start(&options);
    let at = server.address;
    let page = get(at, "/tools/faces/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let redirect = get(at, "/tools/faces");
    // Relative to the address that was asked for, whichever host and scheme the proxy has.
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("faces/")));
    for path in ["/health", "/page.js", "/openapi.json"] {
        assert_eq!(get(at, &format!("/tools/faces{path}")).status, 200, "{path}");
        assert_eq!(get(at, path).status, 401, "{path}");
    }
    // Routes that need a token need it there, and are counted by their names below the base path.
    let mut client = Client::connect(at);
    let token = "authorization: Bearer a-token\r\n";
    assert_eq!(get(at, "/tools/faces/v1/models").status, 401);
    assert_eq!(client.request("GET", "/tools/faces/v1/models", token, b"").status, 200);
    assert_eq!(client.request("GET", "/v1/models", token, b"").status, 404);
    let metrics = client.request("GET", "/tools/faces/metrics", token, b"").text();
    assert!(metrics.contains("\"/v1/models\""), "{metrics}");
}

#[test]
fn no_address_of_the_page_begins_at_the_root() {
    let server = Running::start(&options());
    for path in ["/", "/page.js", "/page.css"] {
        let text = get(server.address, path).text();
        for start in ["\"/", "`/", "'/", "(/"] {
            let found = text
                .match_indices(start)
                .find(|(at, _)| text[at + 2..].starts_with(|next: char| next.is_ascii_lowercase()));
            assert!(found.is_none(), "{path}: {:?}", found.map(|(at, _)| &text[at..at + 30]));
        }
    }
}
