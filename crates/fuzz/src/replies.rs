//! What comes over HTTP: responses of insightface containers, and forms with pictures.

use bytes::Bytes;
use facefold_insightface::rest::Info;
use facefold_insightface::{Dialect, EMBEDDING_LENGTH, jsonpickle};
use futures_util::FutureExt as _;

const PLAIN: &[u8] = include_bytes!("../../insightface/src/jsonpickle/golden/plain.json");
const EXTENSION: &[u8] = include_bytes!("../../insightface/src/jsonpickle/golden/extension.json");

pub(crate) fn jsonpickle(bytes: &[u8]) {
    if let Ok(value) = jsonpickle::parse(bytes) {
        let _ = value.numbers();
    }
    answered(Dialect::FaceDetectionRecognition, false, "application/json", bytes);
}

/// Both with one embedding of a few numbers: a fuzzer is slow with long inputs.
pub(crate) fn jsonpickle_seeds() -> Vec<Vec<u8>> {
    let small =
        r#"{"a": [1, NaN, null, true], "b": {"py/tuple": ["x"]}, "c": {"py/b64": "iVBORw=="}}"#;
    [PLAIN, EXTENSION].map(<[u8]>::to_vec).into_iter().chain([small.into()]).collect()
}

/// The first byte says what the rest is: `MessagePack` or JSON, of crops or of pictures, or `/info`.
pub(crate) fn rest(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    if kind & 4 == 4 {
        if let Ok(info) = serde_json::from_slice::<Info>(body) {
            assert_eq!(info.differences(&info), None);
        }
        return;
    }
    let content_type = if kind & 1 == 0 { "application/json" } else { "application/x-msgpack" };
    answered(Dialect::Rest, kind & 2 == 2, content_type, body);
}

fn answered(dialect: Dialect, aligned: bool, content_type: &str, body: &[u8]) {
    let answer = dialect.embeddings_in(aligned, content_type, body.to_vec());
    let Ok(embeddings) = answer else { return };
    for embedding in embeddings.into_iter().flatten() {
        assert_eq!(embedding.as_slice().len(), EMBEDDING_LENGTH);
        assert!(embedding.as_slice().iter().all(|value| value.is_finite()));
    }
}

pub(crate) fn rest_seeds() -> Vec<Vec<u8>> {
    let face = |values: &str| {
        format!(
            r#"{{"prob": 0.9, "bbox": [1, 2, 30.5, 40], "norm": 20.5, "vec": [{values}],
            "landmarks": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]}}"#
        )
    };
    let reply = |faces: &str| {
        format!(
            r#"{{"took": {{"total_ms": 1.5}}, "data": [{{"status": "ok", "faces": [{faces}]}}]}}"#
        )
    };
    let whole = reply(&face(&["0.04419417"; EMBEDDING_LENGTH].join(",")));
    let short = reply(&face("1, NaN, null"));
    let rejected = r#"{"data": [{"status": "failed", "faces": [],
        "rejection": {"reason": "no-face", "detail": "none"}}]}"#;
    let info = r#"{"version": "0.9.5", "models": {"det_name": "scrfd", "rec_name": "arcface",
        "max_size": [640, 640], "inference_backend": "onnx", "force_fp16": false}}"#;
    let with = |kind: u8, body: &[u8]| [&[kind], body].concat();
    // Made by rmp_serde from the JSON `{"data": [{"status": "ok", "faces": [{"vec": [0.5]}]}]}`.
    let packed = b"\x81\xa4data\x91\x82\xa6status\xa2ok\xa5faces\x91\x81\xa3vec\x91\xca\x3f\0\0\0";
    vec![
        with(0, whole.as_bytes()),
        with(2, whole.as_bytes()),
        with(0, short.as_bytes()),
        with(0, rejected.as_bytes()),
        with(3, packed),
        with(4, info.as_bytes()),
    ]
}

/// The input is a content type, a line end and a body.
pub(crate) fn multipart(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (content_type, body) = bytes.split_at(end);
    let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
    let content_type = String::from_utf8_lossy(content_type);
    let most = 4;
    let pictures = facefold_serve::pictures_in(&content_type, body.clone(), most);
    // The whole body is there, so that nothing is waited for.
    let Ok(pictures) = pictures.now_or_never().unwrap() else { return };
    assert!((1..=most).contains(&pictures.len()));
    let length: usize = pictures.iter().map(|(_, picture)| picture.len()).sum();
    assert!(length <= body.len());
}

pub(crate) fn multipart_seeds() -> Vec<Vec<u8>> {
    let form = "multipart/form-data; boundary=xyz\n--xyz\r\n\
                Content-Disposition: form-data; name=\"a\"; filename=\"b.jpg\"\r\n\
                Content-Type: image/jpeg\r\n\r\nnot a picture\r\n--xyz\r\n\
                Content-Disposition: form-data; name=\"c\"; filename*=utf-8''d%20.png\r\n\r\n\r\n--xyz--\r\n";
    vec![form.into(), b"image/jpeg\n\xff\xd8".to_vec(), b"application/octet-stream\n".to_vec()]
}
