//! The dialect of an insightface container.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use facefold_core::{BoundingBox, Embedding};
use serde::Serialize;
use serde_json::{Value, json};

use crate::client::{Client, get, post};
use crate::support::{Running, face, options, picture};

/// The request that the container's own client sends.
fn request(pictures: &[&[u8]]) -> Value {
    let data: Vec<String> = pictures.iter().map(|bytes| STANDARD.encode(bytes)).collect();
    json!({
        "images": { "data": data }, "threshold": 0.6, "embed_only": false,
        "return_face_data": false, "return_landmarks": true, "extract_embedding": true,
        "extract_ga": false, "detect_masks": false, "limit_faces": 0, "min_face_size": 0,
        "verbose_timings": false, "msgpack": false, "img_req_headers": {},
    })
}

fn assert_is(found: &Value, bytes: &[u8]) {
    let expected = face(bytes);
    let vec: Vec<f32> = serde_json::from_value(found["vec"].clone()).unwrap();
    let unit = Embedding::new(vec).unwrap();
    assert!((unit.norm() - 1.0).abs() < 1e-5);
    assert!(unit.cosine(&expected.embedding) >= 0.999_999);
    assert_eq!(found["norm"].as_f64().unwrap() as f32, expected.norm.unwrap());
    let landmarks: [[f32; 2]; 5] = serde_json::from_value(found["landmarks"].clone()).unwrap();
    assert_eq!(landmarks, expected.landmarks);
    let bounding_box: BoundingBox = serde_json::from_value(found["bbox"].clone()).unwrap();
    assert_eq!(bounding_box, expected.bounding_box);
    assert_eq!((&found["num_det"], &found["prob"]), (&json!(0), &json!(1.0)));
}

#[test]
fn json_gives_unit_embeddings_norms_and_landmarks() {
    let server = Running::start(&options());
    let (one, two) = (picture(1), picture(2));
    let body = request(&[&one, b"no picture", &two]).to_string();
    let reply = post(server.address, "/extract", "application/json", body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = reply.json();
    assert!(reply["took"]["total_ms"].as_f64().unwrap() > 0.0);
    let data = reply["data"].as_array().unwrap();
    assert_eq!(data.len(), 3);
    assert_is(&data[0]["faces"][0], &one);
    assert_is(&data[2]["faces"][0], &two);
    assert_eq!(data[1]["status"], "failed");
    let line = data[1]["traceback"].as_str().unwrap();
    assert!(line.starts_with("not-a-picture: ") && !line.contains('\n'), "{line}");
    assert_eq!(data[1]["rejection"]["reason"], "not-a-picture");
}

/// The same in `MessagePack`, with the pictures as bytes.
#[derive(Serialize)]
struct Packed {
    images: PackedPictures,
    embed_only: bool,
    return_landmarks: bool,
}

#[derive(Serialize)]
struct PackedPictures {
    data: Vec<Binary>,
}

struct Binary(Vec<u8>);

impl Serialize for Binary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

#[test]
fn messagepack_gives_the_same() {
    let server = Running::start(&options());
    let one = picture(1);
    let packed = Packed {
        images: PackedPictures { data: vec![Binary(one.clone())] },
        embed_only: true,
        return_landmarks: true,
    };
    let body = rmp_serde::to_vec_named(&packed).unwrap();
    let headers = "content-type: application/msgpack\r\naccept: application/x-msgpack\r\n";
    let reply = Client::connect(server.address).request("POST", "/extract", headers, &body);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-msgpack")));
    let reply: Value = rmp_serde::from_slice(&reply.body).unwrap();
    assert_eq!(reply["data"][0]["status"], "ok");
    assert_is(&reply["data"][0]["faces"][0], &one);
}

#[test]
fn base64_is_read_in_every_form_in_json_and_in_messagepack() {
    let server = Running::start(&options());
    let one = picture(1);
    let plain = STANDARD.encode(&one);
    let lines: Vec<&str> =
        plain.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect();
    let forms = [
        plain.clone(),
        format!("data:image/png;base64,{plain}"),
        lines.join("\r\n"),
        plain.trim_end_matches('=').to_owned(),
        plain.replace('+', "-").replace('/', "_"),
    ];
    let reply = |kind: &str, body: &[u8]| post(server.address, "/extract", kind, body).json();
    let body = json!({ "images": { "data": forms }, "return_landmarks": true }).to_string();
    let from_json = reply("application/json", body.as_bytes());
    let binary: Vec<Binary> = forms.iter().map(|form| Binary(form.clone().into_bytes())).collect();
    let packed = Packed {
        images: PackedPictures { data: binary },
        embed_only: false,
        return_landmarks: true,
    };
    let from_bytes = reply("application/msgpack", &rmp_serde::to_vec_named(&packed).unwrap());
    let texts = json!({ "images": { "data": forms }, "return_landmarks": true });
    let from_texts = reply("application/msgpack", &rmp_serde::to_vec_named(&texts).unwrap());
    for reply in [from_json, from_bytes, from_texts] {
        let data = reply["data"].as_array().unwrap();
        assert_eq!(data.len(), forms.len());
        for item in data {
            assert_is(&item["faces"][0], &one);
        }
    }
}

#[test]
fn urls_and_malformed_requests_are_refused() {
    let server = Running::start(&options());
    let ask = |body: &str| post(server.address, "/extract", "application/json", body.as_bytes());
    assert_eq!(ask(r#"{"images":{"urls":["file:///etc/passwd"]}}"#).status, 422);
    assert_eq!(ask("{").status, 422);
    assert_eq!(ask(r#"{"images":{"data":[7]}}"#).status, 422);
    let many = vec![""; 65];
    assert_eq!(ask(&json!({ "images": { "data": many } }).to_string()).status, 413);
    let wrong = post(server.address, "/extract", "text/plain", b"{}");
    assert_eq!(wrong.status, 415);
    // Not base64, and nothing at all: the item fails, the others do not.
    let good = STANDARD.encode(picture(1));
    let body = json!({ "images": { "data": ["***", good, ""] } }).to_string();
    let data = ask(&body).json()["data"].as_array().unwrap().clone();
    let statuses: Vec<&Value> = data.iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, ["failed", "ok", "failed"]);
    let said = data[0]["traceback"].as_str().unwrap();
    assert!(said.starts_with("not-a-picture: not base64"), "{said}");
    assert_eq!(data[2]["rejection"]["reason"], "empty");
    assert_eq!(ask(r#"{"images":{"data":[]}}"#).json()["data"], json!([]));
}

#[test]
fn info_is_equal_on_every_replica() {
    let (one, two) = (Running::start(&options()), Running::start(&options()));
    let info = get(one.address, "/info").json();
    assert_eq!(info, get(two.address, "/info").json());
    assert_eq!(info["models"]["det_name"], "none");
    assert!(info["models"]["rec_name"].as_str().is_some_and(|name| !name.is_empty()));
    assert_eq!(info["models"]["fingerprint"].as_str().map(str::len), Some(32));
}
