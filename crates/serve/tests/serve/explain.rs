//! Occlusion maps over HTTP.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::{form, get, post};
use crate::support::{Running, options, picture};

#[test]
fn a_face_is_explained_with_a_map_a_head() {
    let server = Running::start(&options());
    let bytes = picture(1);
    let reply = post(server.address, "/v1/explain", "image/png", &bytes);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = reply.json();
    let results = post(server.address, "/v1/predict", "image/png", &bytes).json();
    let face = &results["pictures"][0]["faces"][0];
    assert_eq!(reply["bounding_box"], face["bounding_box"]);
    let explanations = reply["explanations"].as_array().unwrap();
    let tasks: Vec<&str> = explanations.iter().map(|one| one["task"].as_str().unwrap()).collect();
    assert_eq!(tasks, ["gender", "age-group", "age"]);
    let answer = &face["predictions"][0];
    assert_eq!(explanations[0]["label"], answer["gender"]["label"]);
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let near = |a: &serde_json::Value, b: &serde_json::Value| (number(a) - number(b)).abs() < 1e-4;
    assert!(near(&explanations[0]["prediction"], &answer["gender"]["probability"]));
    assert!(near(&explanations[2]["prediction"], &answer["age"]));
    for one in explanations {
        let rows = one["grid"].as_array().unwrap();
        assert_eq!((rows.len(), rows[0].as_array().unwrap().len()), (12, 12));
        let png = one["overlay"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
        let map = image::load_from_memory(&STANDARD.decode(png).unwrap()).unwrap();
        assert_eq!((map.width(), map.height()), (448, 448));
    }
    // Bounds of the decrease of the prediction.
    let gender = &explanations[0];
    assert!(
        number(&gender["max"]) <= number(&gender["prediction"]) && number(&gender["min"]) >= -1.0
    );
}

#[test]
fn rejections_have_the_same_status_in_explain_and_predict() {
    let server = Running::start(&options());
    let at = server.address;
    let good = picture(1);
    let cases: [(&str, &str, &[u8], u16); 6] = [
        ("/v1/explain", "image/png", b"no picture", 415),
        ("/v1/explain", "text/plain", &good, 415),
        ("/v1/explain", "image/png", &good[..good.len() / 2], 422),
        ("/v1/explain?face_index=-1", "image/png", &good, 422),
        ("/v1/explain?face_index=99", "image/png", &good, 422),
        ("/v1/explain?faces=all", "image/png", &good, 422),
    ];
    for (path, kind, body, status) in cases {
        let reply = post(at, path, kind, body);
        assert_eq!(reply.status, status, "{path} {kind}: {}", reply.text());
    }
    let (kind, body) = form(&[("one", &good), ("two", &good)]);
    assert_eq!(post(at, "/v1/explain", &kind, &body).status, 413);
}

#[test]
fn concurrent_explanations_get_429() {
    let server = Running::start(&options());
    let address = server.address;
    let bytes = picture(1);
    let ask = move || {
        let bytes = picture(1);
        post(address, "/v1/explain", "image/png", &bytes)
    };
    let all: Vec<_> = (0..6).map(|_| std::thread::spawn(ask)).collect();
    let replies: Vec<_> = all.into_iter().map(|thread| thread.join().unwrap()).collect();
    let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
    assert!(count(200) >= 1 && count(429) >= 1 && count(200) + count(429) == 6);
    let busy = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert!(busy.header("retry-after").is_some());
    // Its turn is free again, and other requests were never held up.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(post(address, "/v1/explain", "image/png", &bytes).status, 200);
    assert_eq!(get(address, "/health").status, 200);
}
