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
    // Whole pixels as clients expect them, and what facefold's own client reads.
    let exact = &found["exact"];
    let landmarks: [[f32; 2]; 5] = serde_json::from_value(exact["landmarks"].clone()).unwrap();
    assert_eq!(landmarks, expected.landmarks);
    let bounding_box: BoundingBox = serde_json::from_value(exact["bbox"].clone()).unwrap();
    assert_eq!(bounding_box, expected.bounding_box);
    let whole: [[i32; 2]; 5] = serde_json::from_value(found["landmarks"].clone()).unwrap();
    assert_eq!(whole, landmarks.map(|point| point.map(|value| value as i32)));
    let whole: [i32; 4] = serde_json::from_value(found["bbox"].clone()).unwrap();
    assert_eq!(whole, <[f32; 4]>::from(bounding_box).map(|edge| edge as i32));
    assert_eq!(found["size"], whole[2] - whole[0]);
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

/// `RecognitionResponse` of the container's own client (`ifr_clients/schemas.py`): what pydantic
/// demands of a reply, where a field without a default must be there, if only as `null`.
fn is_accepted_by_the_client(reply: &Value) {
    let is = |value: Option<&Value>, what: fn(&Value) -> bool| {
        value.is_some_and(|value| value.is_null() || what(value))
    };
    assert!(reply["took"]["total_ms"].is_number(), "{reply}");
    for image in reply["data"].as_array().unwrap() {
        assert!(image["status"].is_string() && is(image.get("took_ms"), Value::is_number));
        for face in image["faces"].as_array().unwrap() {
            for whole in ["num_det", "size"] {
                assert!(is(face.get(whole), Value::is_i64), "{whole} of {face}");
            }
            for number in ["prob", "norm"] {
                assert!(is(face.get(number), Value::is_number), "{number} of {face}");
            }
            for list in ["bbox", "landmarks", "vec"] {
                assert!(is(face.get(list), Value::is_array), "{list} of {face}");
            }
            assert!(face["bbox"].as_array().unwrap().iter().all(Value::is_i64), "{face}");
            assert!(is(face.get("facedata"), Value::is_string), "{face}");
        }
    }
}

/// The requests of `IFRClient.extract` (`ifr_clients/ifr_client.py`), as it writes them.
fn of_the_client(images: &Value, more: &Value) -> Value {
    let mut request = json!({
        "images": images, "threshold": 0.6, "extract_ga": false, "extract_embedding": true,
        "return_face_data": false, "return_landmarks": false, "embed_only": false,
        "limit_faces": 0, "msgpack": false,
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

#[test]
fn the_containers_own_client_can_read_every_reply() {
    let server = Running::start(&options());
    let one = picture(1);
    let data = json!({ "data": [STANDARD.encode(&one)] });
    let ask = |images: &Value, more: Value| {
        let request = of_the_client(images, &more);
        let (kind, body) = if request["msgpack"] == json!(true) {
            ("application/msgpack", rmp_serde::to_vec_named(&request).unwrap())
        } else {
            ("application/json", request.to_string().into_bytes())
        };
        let accept = if kind == "application/msgpack" { "application/x-msgpack" } else { "*/*" };
        let head = format!("content-type: {kind}\r\naccept: {accept}\r\n");
        let reply = Client::connect(server.address).request("POST", "/extract", &head, &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let read: Value = match reply.header("content-type") {
            Some("application/x-msgpack") => rmp_serde::from_slice(&reply.body).unwrap(),
            _ => reply.json(),
        };
        is_accepted_by_the_client(&read);
        read
    };
    for msgpack in [false, true] {
        let plain = ask(&data, json!({ "msgpack": msgpack }));
        let face = &plain["data"][0]["faces"][0];
        assert!(face["landmarks"].is_null() && face["facedata"].is_null(), "{face}");
        assert_eq!(face["vec"].as_array().unwrap().len(), 512);

        let crops = ask(&data, json!({ "msgpack": msgpack, "return_face_data": true }));
        let file = crops["data"][0]["faces"][0]["facedata"].as_str().unwrap();
        let crop = image::load_from_memory(&STANDARD.decode(file).unwrap()).unwrap();
        assert_eq!((crop.width(), crop.height()), (112, 112));

        let embedded = ask(&data, json!({ "msgpack": msgpack, "embed_only": true }));
        assert_eq!(embedded["status"], "ok");
        assert!(embedded["took_ms"].is_number());
        assert_eq!(embedded["data"][0]["faces"][0]["status"], "ok");

        // `mode='paths'`: the demo client prints the traceback of the whole reply.
        let paths =
            ask(&json!({ "urls": ["a.jpg", "http://h/b.jpg"] }), json!({ "msgpack": msgpack }));
        assert!(paths["traceback"].as_str().unwrap().contains("never fetched"), "{paths}");
        let items = paths["data"].as_array().unwrap();
        assert_eq!(items.len(), 2);
        for item in items {
            assert_eq!((&item["status"], &item["faces"]), (&json!("failed"), &json!([])));
            assert!(item["traceback"].as_str().unwrap().contains("images.data"), "{item}");
        }
    }
    // `server_info` prints these.
    let models = &get(server.address, "/info").json()["models"];
    for name in [
        "inference_backend",
        "det_name",
        "rec_name",
        "rec_batch_size",
        "det_batch_size",
        "max_size",
    ] {
        assert!(!models[name].is_null(), "{name}");
    }
    assert_eq!(get(server.address, "/health").json(), json!({ "status": "ok" }));
    let docs = get(server.address, "/docs");
    assert!(docs.header("content-type").unwrap().starts_with("text/html"));
    assert!(docs.text().contains("POST /extract") && docs.text().contains("openapi.json"));
}

#[test]
fn detections_are_drawn_on_a_picture_of_json_or_of_a_form() {
    let server = Running::start(&options());
    let one = picture(1);
    let original = image::load_from_memory(&one).unwrap().into_rgb8();
    let drawn = |reply: &crate::client::Reply| {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("image/jpeg"));
        let drawn = image::load_from_memory(&reply.body).unwrap().into_rgb8();
        assert_eq!(drawn.dimensions(), original.dimensions());
        let far = |(a, b): &(&image::Rgb<u8>, &image::Rgb<u8>)| {
            a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > 60)
        };
        drawn.pixels().zip(original.pixels()).filter(far).count()
    };
    let body = |more: &Value| {
        let mut request = json!({ "images": { "data": [STANDARD.encode(&one)] } });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request.to_string()
    };
    let ask = |more: Value| {
        let body = body(&more);
        post(server.address, "/draw_detections", "application/json", body.as_bytes())
    };
    let all = drawn(&ask(json!({})));
    let fewer = json!({ "draw_landmarks": false, "draw_scores": false, "draw_sizes": false });
    let boxes = drawn(&ask(fewer));
    assert!(all > boxes && boxes > 100, "{all} and {boxes} pixels");

    let part = |name: &str, more: &str, content: &[u8]| {
        let head = format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    let form = [
        part("file", "; filename=\"a.png\"", &one),
        part("draw_landmarks", "", b"false"),
        part("draw_scores", "", b"False"),
        part("draw_sizes", "", b"0"),
        part("threshold", "", b"0.5"),
        b"--x--\r\n".to_vec(),
    ]
    .concat();
    let kind = "multipart/form-data; boundary=x";
    let reply = post(server.address, "/multipart/draw_detections", kind, &form);
    assert_eq!(drawn(&reply), boxes);
    let empty = post(server.address, "/multipart/draw_detections", kind, b"--x--\r\n");
    assert_eq!(empty.status, 422);
    let broken = json!({ "images": { "data": [STANDARD.encode(b"no picture")] } }).to_string();
    let reply = post(server.address, "/draw_detections", "application/json", broken.as_bytes());
    assert_eq!(reply.status, 415);
}
