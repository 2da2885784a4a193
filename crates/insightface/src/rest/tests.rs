//! Bodies as InsightFace-REST 0.9.5 takes and gives them.

use serde_json::{Value, json};

use super::{Encoding, ImageBytes, face_response, info, request_body};
use crate::error::Failure;
use crate::faces::{BadEmbedding, FaceResponse};
use crate::transport::HttpResponse;

fn response(body: &Value) -> HttpResponse {
    HttpResponse {
        content_type: "application/json".to_owned(),
        body: body.to_string().into_bytes(),
    }
}

fn unit() -> Vec<f64> {
    let mut values = vec![0.0; 512];
    (values[3], values[500]) = (0.6, -0.8);
    values
}

fn face() -> Value {
    json!({
        "num_det": 0, "prob": 0.87, "bbox": [10, 20, 90, 110], "size": 80, "norm": 21.5,
        "vec": unit(), "landmarks": [[30, 50], [70, 50], [50, 70], [35, 90], [65, 90]],
        "gender": null, "age": null, "mask": null, "mask_probs": null, "scale": 1.0,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut face = face();
    face[name] = value;
    face
}

fn items(items: &[Value]) -> Value {
    json!({ "took": { "total_ms": 12.5 }, "data": items })
}

fn ok(faces: &[Value]) -> Value {
    items(&[json!({ "status": "ok", "took_ms": 3.1, "faces": faces })])
}

#[test]
fn the_json_body_is_the_documented_one() {
    let request_body = request_body(b"\x89PNG", false, Encoding::Json);
    let body: Value = serde_json::from_slice(&request_body.body).unwrap();
    let expected = json!({
        "images": { "data": ["iVBORw=="] }, "threshold": 0.5, "embed_only": false,
        "return_face_data": false, "return_landmarks": true, "extract_embedding": true,
        "extract_ga": false, "detect_masks": false, "limit_faces": 0, "min_face_size": 0,
        "verbose_timings": false, "msgpack": false, "img_req_headers": {},
    });
    assert_eq!(body, expected);
    assert_eq!((request_body.path, request_body.accept), ("/extract", "application/json"));
}

#[test]
fn the_msgpack_body_holds_the_bytes_as_they_are() {
    let request_body = request_body(b"\x89PNG", true, Encoding::Msgpack);
    assert_eq!(request_body.content_type, "application/msgpack");
    assert_eq!(request_body.accept, "application/x-msgpack");
    // fixmap of 13; "images": fixmap of 1; "data": fixarray of 1; bin8 of 4 bytes:
    // msgpack.packb({"images": {"data": [b"\x89PNG"]}})[1:] in Python begins so.
    let start = b"\x8d\xa6images\x81\xa4data\x91\xc4\x04\x89PNG";
    assert_eq!(&request_body.body[..start.len()], start);
    assert!(matches!(ImageBytes::Raw(b"x"), ImageBytes::Raw(_)));
}

#[test]
fn faces_are_equal_from_json_and_msgpack() {
    let body = ok(&[face()]);
    let from_json = face_response(&response(&body), false).unwrap();
    let msgpack = HttpResponse {
        content_type: "application/x-msgpack".to_owned(),
        body: rmp_serde::to_vec_named(&body).unwrap(),
    };
    assert_eq!(face_response(&msgpack, false).unwrap(), from_json);
    let FaceResponse::Faces(faces) = from_json else { panic!("{from_json:?}") };
    assert_eq!(faces.len(), 1);
    assert_eq!(faces[0].bounding_box, [10.0, 20.0, 90.0, 110.0].into());
    assert_eq!(faces[0].landmarks[3], [35.0, 90.0]);
    let embedded = faces[0].embedding.as_ref().unwrap();
    assert_eq!(embedded.norm, Some(21.5));
    assert!((embedded.embedding.as_slice()[3] - 0.6 * 21.5).abs() < 1e-5);
}

#[test]
fn invalid_embeddings_are_classified() {
    let embedding = |face: Value| {
        let read = face_response(&response(&ok(&[face])), false).unwrap();
        let FaceResponse::Faces(mut faces) = read else { panic!("{read:?}") };
        faces.remove(0).embedding.map(|embedded| embedded.norm)
    };
    assert_eq!(embedding(with("vec", json!([1.0, 0.0]))), Err(BadEmbedding::Length(2)));
    assert_eq!(embedding(with("vec", json!("array"))), Err(BadEmbedding::NoList));
    assert_eq!(embedding(with("vec", Value::Null)), Err(BadEmbedding::NoList));
    assert_eq!(embedding(with("vec", json!({ "nan": 1 }))), Err(BadEmbedding::NoList));
    assert_eq!(embedding(with("norm", json!(0))), Err(BadEmbedding::Norm(0.0)));
    assert_eq!(embedding(with("norm", Value::Null)), Ok(None));
    let mut values: Vec<Value> = unit().into_iter().map(Value::from).collect();
    values[9] = Value::Null;
    assert_eq!(embedding(with("vec", Value::from(values))), Err(BadEmbedding::NotFinite(9)));
}

#[test]
fn pythons_nan_is_not_finite() {
    let body = ok(&[face()]).to_string().replacen("0.0", "NaN", 1);
    let response =
        HttpResponse { content_type: "application/json".to_owned(), body: body.into_bytes() };
    let FaceResponse::Faces(faces) = face_response(&response, false).unwrap() else { panic!() };
    assert_eq!(faces[0].embedding, Err(BadEmbedding::NotFinite(0)));
}

#[test]
fn failures_are_found_at_every_level() {
    let failed = json!({ "status": "failed", "traceback": "File \"/app/secret.py\"" });
    assert_eq!(
        face_response(&response(&items(std::slice::from_ref(&failed))), false),
        Err(Failure::Item)
    );
    // embed_only: an item that is ok, around a face that failed.
    let hidden = ok(&[failed]);
    assert_eq!(face_response(&response(&hidden), true), Err(Failure::Item));
    assert_eq!(face_response(&response(&hidden), false), Err(Failure::Item));
    let outer = json!({ "status": "failed", "traceback": "…", "took_ms": 1, "data": [] });
    assert_eq!(face_response(&response(&outer), true), Err(Failure::Item));
}

#[test]
fn crops_have_one_embedding_each() {
    let face = json!({ "status": "ok", "norm": 2.0, "vec": unit(), "prob": 1.0,
        "bbox": [0, 0, 112, 112], "size": 112 });
    let outer = |faces: &[Value]| {
        json!({ "status": "ok", "took_ms": 2.0,
            "data": [{ "status": "ok", "took_ms": 0, "faces": faces }] })
    };
    let one = face_response(&response(&outer(std::slice::from_ref(&face))), true).unwrap();
    assert!(matches!(one, FaceResponse::Crop(Ok(embedded)) if embedded.norm == Some(2.0)));
    for faces in [&[][..], &[face.clone(), face]] {
        let read = face_response(&response(&outer(faces)), true);
        assert!(matches!(read, Err(Failure::Unreadable(_))), "{read:?}");
    }
}

#[test]
fn before_0_9_5_the_item_of_a_crop_is_the_face_itself() {
    // `embed_crops` of src/api_trt/modules/processing.py appends the dictionary of the face.
    let face = json!({ "norm": 2.0, "vec": unit(), "gender": null, "age": null, "status": "ok" });
    let outer = |item: &Value| json!({ "took_ms": 2.0, "data": [item], "status": "ok" });
    let read = face_response(&response(&outer(&face)), true).unwrap();
    assert!(matches!(read, FaceResponse::Crop(Ok(embedded)) if embedded.norm == Some(2.0)));
    let failed = json!({ "status": "failed", "traceback": "…" });
    assert_eq!(face_response(&response(&outer(&failed)), true), Err(Failure::Item));
}

#[test]
fn responses_to_another_request_are_unreadable() {
    let item = json!({ "status": "ok", "faces": [] });
    for body in [
        items(&[]),
        items(&[item.clone(), item]),
        ok(&[with("landmarks", Value::Null)]),
        ok(&[with("landmarks", json!([[1, 2], [3, 4]]))]),
        ok(&[with("bbox", json!([1, 2, 3]))]),
        ok(&[with("prob", json!(1.5))]),
        json!({ "detail": "Not Found" }),
        json!({ "data": "File /app/secret.py" }),
        json!([]),
    ] {
        let read = face_response(&response(&body), false);
        let Err(Failure::Unreadable(found)) = read else { panic!("{body}: {read:?}") };
        assert!(!found.contains("secret"), "{found}");
    }
}

#[test]
fn facefold_reports_why_there_is_no_face() {
    let reason = |status: &str, reason: &str| {
        let rejection = json!({ "reason": reason, "detail": "because\u{1b}[31m" });
        let item = json!({ "status": status, "faces": [], "rejection": rejection });
        match face_response(&response(&items(&[item])), false) {
            Ok(FaceResponse::Rejected(rejection)) => {
                assert_eq!(rejection.detail, "because[31m");
                rejection.reason.to_string()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason("ok", "low-score"), "low-score");
    assert_eq!(reason("failed", "animated"), "animated");
    assert_eq!(reason("failed", "unreadable"), "undecodable");
}

#[test]
fn replicas_are_compared_by_what_changes_embeddings() {
    let read = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({
            "version": "0.9.5.0", "tensorrt_version": null, "log_level": "INFO",
            "models": {
                "inference_backend": "onnx", "det_name": "scrfd_10g_gnkps", "rec_name": "glintr100",
                "max_size": [640, 640], "ga_name": null, "mask_detector": null, "rec_batch_size": 1,
                "det_batch_size": 1, "force_fp16": false, "triton_uri": null,
            },
            "defaults": { "det_thresh": 0.6 },
        });
        change(&mut body);
        info(&response(&body)).unwrap()
    };
    let reference = read(&|_| {});
    let batches = read(&|body| body["models"]["rec_batch_size"] = json!(64));
    assert_eq!(batches.differences(&reference), None);
    let other = read(&|body| body["models"]["rec_name"] = json!("w600k_r50"));
    let differences = other.differences(&reference).unwrap();
    assert_eq!(differences, "rec_name is w600k_r50, there glintr100");
    let half = read(&|body| body["models"]["force_fp16"] = json!(true));
    assert!(half.differences(&reference).is_some());
    assert!(info(&response(&json!({ "status": "ok" }))).is_err());
    let odd = json!({ "models": { "det_name": "a\u{1b}[2J", "rec_name": "b" } });
    assert!(info(&response(&odd)).is_err());
}
