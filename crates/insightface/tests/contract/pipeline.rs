//! Successful extractions.

use std::sync::{Arc, Mutex};

use facefold_core::{Extraction, Extractor, FaceVariant, RejectReason};
use facefold_insightface::{Dialect, InsightfaceError, Options};
use serde_json::{Value, json};

use crate::dialects::{
    BOTH, behaving, connect, face, faces, good, info, is_of, options, picture, server, unit,
};
use crate::mock::{Act, Mock};

fn one(extractor: &dyn Extractor, name: &str) -> Extraction {
    extractor.extract(&[name.as_bytes()]).unwrap().remove(0)
}

fn reason(extraction: &Extraction) -> RejectReason {
    match extraction {
        Extraction::Rejected(rejection) => rejection.reason,
        Extraction::Embedded { .. } => panic!("{extraction:?}"),
    }
}

#[test]
fn an_embedding_has_the_servers_norm_or_none() {
    for (dialect, norm, length) in
        [(Dialect::Rest, Some(20.0), 20.0), (Dialect::FaceDetectionRecognition, None, 1.0)]
    {
        let mock = server(dialect, |_, _| None);
        let extractor = connect(options(dialect, &[&mock])).unwrap();
        let Extraction::Embedded { faces, found } = one(&extractor, "x") else { panic!() };
        assert_eq!((faces.len(), found), (1, 1));
        let face = &faces[0];
        assert!(is_of(&face.embedding, "x"));
        assert_eq!((face.norm, face.embedding.norm()), (norm, length));
        assert_eq!((face.index, face.variant, face.taps.len()), (0, FaceVariant::PLAIN, 0));
        assert_eq!(face.bounding_box, [60.0, 10.0, 140.0, 90.0].into());
        assert_eq!(face.landmarks[4], [115.0, 70.0]);
        assert_eq!((face.luminance, face.sharpness), (100.0, 50.0));
    }
}

#[test]
fn a_picture_without_a_face_is_padded_and_tried_again() {
    for dialect in BOTH {
        // A quarter of the longer side of 200 x 100.
        let mock = server(dialect, move |name, padding| match (name, padding) {
            ("filled", 50) => None,
            _ => Some(Act::ok(faces(dialect, &[]))),
        });
        let extractor = connect(options(dialect, &[&mock])).unwrap();
        let Extraction::Embedded { faces, .. } = one(&extractor, "filled") else { panic!() };
        assert_eq!(faces[0].bounding_box, [10.0, -40.0, 90.0, 40.0].into());
        assert_eq!(faces[0].landmarks[0], [30.0, -20.0]);
        assert_eq!(reason(&one(&extractor, "empty")), RejectReason::NoFace);
    }
}

#[test]
fn the_main_face_is_chosen_here_and_small_ones_are_rejected() {
    let boxes = |boxes: &'static [[i32; 4]]| {
        let faced = move |bbox: &[i32; 4]| {
            let mut face = face(Dialect::Rest, &json!(unit("x")), 20.0);
            face["bbox"] = json!(bbox);
            face
        };
        let listed: Vec<Value> = boxes.iter().map(faced).collect();
        Act::ok(faces(Dialect::Rest, &listed))
    };
    let mock = server(Dialect::Rest, move |name, _| match name {
        // The first is larger and in the corner.
        "two" => Some(boxes(&[[0, 0, 45, 45], [80, 30, 120, 70]])),
        "small" => Some(boxes(&[[95, 45, 110, 60]])),
        _ => None,
    });
    let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
    let Extraction::Embedded { faces, found: 2 } = one(&extractor, "two") else { panic!() };
    assert_eq!(faces[0].bounding_box, [80.0, 30.0, 120.0, 70.0].into());
    assert_eq!(reason(&one(&extractor, "small")), RejectReason::TooSmall);
    assert_eq!(reason(&one(&extractor, "no picture")), RejectReason::NotAPicture);
}

#[test]
fn crops_are_embedded_without_detection() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let mock = Mock::start(move |request| {
        if request.path == "/info" {
            return Act::ok(info("w600k_mbf"));
        }
        if request.header("content-type") != Some("application/json") {
            return Act::Json(415, Value::Null);
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        seen.lock().unwrap().push(body["embed_only"].clone());
        let name = picture(request).map_or_else(|| "probe".to_owned(), |(name, _)| name);
        let face = match name.as_str() {
            "hidden" => json!({ "status": "failed", "traceback": "secret" }),
            name => json!({ "status": "ok", "norm": 3.0, "vec": unit(name), "prob": 1.0,
                "bbox": [0, 0, 112, 112], "size": 112 }),
        };
        Act::ok(json!({ "status": "ok", "data": [{ "status": "ok", "faces": [face] }] }))
    });
    let aligned = Options { aligned: true, ..options(Dialect::Rest, &[&mock]) };
    let extractor = connect(aligned).unwrap();
    assert_eq!(extractor.info().detector, "none");
    let Extraction::Embedded { faces, found: 1 } = one(&extractor, "x") else { panic!() };
    assert!(is_of(&faces[0].embedding, "x"));
    assert_eq!((faces[0].score, faces[0].norm), (1.0, Some(3.0)));
    assert_eq!(faces[0].bounding_box, [0.0, 0.0, 200.0, 100.0].into());
    assert_eq!(reason(&one(&extractor, "hidden")), RejectReason::Undecodable);
    assert!(asked.lock().unwrap().iter().all(|embed_only| *embed_only == json!(true)));

    let other = server(Dialect::FaceDetectionRecognition, |_, _| None);
    let options =
        Options { aligned: true, ..options(Dialect::FaceDetectionRecognition, &[&other]) };
    assert!(matches!(connect(options).err(), Some(InsightfaceError::NoCrops)));
}

#[test]
fn msgpack_is_used_where_the_server_accepts_it() {
    let types = Arc::new(Mutex::new(Vec::new()));
    for speaks in [true, false] {
        let seen = Arc::clone(&types);
        let behave = behaving(Dialect::Rest, "w600k_mbf", |_, _| None);
        let mock = Mock::start(move |asked| {
            let packed = asked.header("content-type") == Some("application/msgpack");
            if asked.path == "/info" {
                return behave(asked);
            }
            // The container compares these headers with one text each.
            let accept = if packed { "application/x-msgpack" } else { "application/json" };
            assert_eq!(asked.header("accept"), Some(accept));
            if packed && !speaks {
                return Act::Json(422, json!({ "detail": "no msgpack here" }));
            }
            let Some((name, _)) = picture(asked) else { return behave(asked) };
            seen.lock().unwrap().push(packed);
            let body = good(Dialect::Rest, &name);
            if !packed {
                return Act::ok(body);
            }
            let headers = vec![("content-type", "application/x-msgpack".to_owned())];
            Act::Full(200, headers, rmp_serde::to_vec_named(&body).unwrap())
        });
        let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
        let Extraction::Embedded { faces, .. } = one(&extractor, "x") else { panic!() };
        assert!(is_of(&faces[0].embedding, "x"));
    }
    assert_eq!(*types.lock().unwrap(), [true, false]);
}

#[test]
fn the_fingerprint_follows_the_models() {
    let fingerprint = |info: Value, aligned: bool| {
        let embedding = json!({ "status": "ok", "norm": 3.0, "vec": unit("x") });
        let mock = Mock::start(move |asked| match asked.path.as_str() {
            "/info" => Act::ok(info.clone()),
            _ if aligned => Act::ok(faces(Dialect::Rest, std::slice::from_ref(&embedding))),
            _ => Act::ok(faces(Dialect::Rest, &[])),
        });
        let options = Options { aligned, ..options(Dialect::Rest, &[&mock]) };
        let extractor = connect(options).unwrap();
        assert_eq!(extractor.info().backend, "insightface");
        extractor.fingerprint().to_string()
    };
    let reference = fingerprint(info("w600k_mbf"), false);
    let mut upgraded = info("w600k_mbf");
    upgraded["version"] = json!("0.9.6");
    assert_eq!(fingerprint(upgraded, false), reference);
    assert_ne!(fingerprint(info("glintr100"), false), reference);
    assert_ne!(fingerprint(info("w600k_mbf"), true), reference);
    let mut smaller = info("w600k_mbf");
    smaller["models"]["max_size"] = json!([320, 320]);
    assert_ne!(fingerprint(smaller, false), reference);

    // Another facefold embeds as this one does.
    let mut facefold = info("w600k_mbf");
    let own = "0123456789abcdef0123456789abcdef";
    facefold["models"]["fingerprint"] = json!(own);
    facefold["models"]["precision"] = json!("f32-equivalent");
    assert_eq!(fingerprint(facefold, false), own);
}

#[test]
fn facefold_as_a_server_pads_and_rejects_by_itself() {
    let mut said = info("w600k_mbf");
    said["models"]["fingerprint"] = json!("0123456789abcdef0123456789abcdef");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let mock = Mock::start(move |request| {
        if request.path == "/info" {
            return Act::ok(said.clone());
        }
        seen.lock().unwrap().extend(picture(request));
        let rejection = json!({ "reason": "low-score", "detail": "best score 0.41" });
        Act::ok(json!({ "data": [{ "status": "ok", "faces": [], "rejection": rejection }] }))
    });
    let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
    let Extraction::Rejected(rejection) = one(&extractor, "x") else { panic!() };
    assert_eq!(
        (rejection.reason, rejection.detail.as_str()),
        (RejectReason::LowScore, "best score 0.41")
    );
    assert_eq!(*asked.lock().unwrap(), [("x".to_owned(), 0)]);
}
