//! The two dialects from the server's side, and pictures that need no decoder.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use facefold_core::{Embedding, RejectReason, Rejection};
use facefold_insightface::{
    Attempt, Canvas, Crop, Dialect, Format, InsightfaceError, InsightfaceExtractor, Options,
    Picture, Pictures, Quality, RetryPolicy,
};
use serde_json::{Value, json};

use crate::mock::{Act, Asked, Mock};

pub const BOTH: [Dialect; 2] = [Dialect::Rest, Dialect::FaceDetectionRecognition];

/// The "PNG" of a picture is its name and padding in plain text, so that the server can distinguish
/// pictures apart.
pub struct Named;

struct NamedPicture(String);

impl Pictures for Named {
    fn open(&self, bytes: &[u8]) -> Result<Box<dyn Picture + '_>, Rejection> {
        match std::str::from_utf8(bytes) {
            Ok("no picture") => Err(Rejection::new(RejectReason::NotAPicture, "no picture")),
            Ok(name) => Ok(Box::new(NamedPicture(name.to_owned()))),
            Err(_) => Err(Rejection::new(RejectReason::NotAPicture, "no text")),
        }
    }

    fn is_stored_upright(&self, _: &[u8]) -> bool {
        true
    }

    fn attempts(&self, [width, height]: [u32; 2]) -> Vec<Attempt> {
        let longer = width.max(height);
        let side = |longer: u32| longer.clamp(256, 640).next_multiple_of(32);
        let (padding, padded) = (longer / 4, longer + longer / 4 * 2);
        vec![Attempt { padding: 0, side: side(longer) }, Attempt { padding, side: side(padded) }]
    }
}

impl Picture for NamedPicture {
    fn size(&self) -> [u32; 2] {
        [200, 100]
    }

    fn encode(&self, canvas: Canvas, _: u32, _: Format) -> Result<Vec<u8>, Rejection> {
        Ok(format!("png:{}:{};", self.0, canvas.offset).into_bytes())
    }

    fn crop(&self) -> Result<Crop, Rejection> {
        Ok(Crop {
            png: self.encode(Canvas::padded([112; 2], 0), 1, Format::Png)?,
            bounding_box: [0.0, 0.0, 200.0, 100.0].into(),
            landmarks: [[1.0, 2.0]; 5],
            quality: self.quality(&[[0.0; 2]; 5])?,
        })
    }

    fn quality(&self, _: &[[f32; 2]; 5]) -> Result<Quality, Rejection> {
        Ok(Quality { luminance: 100.0, sharpness: 50.0 })
    }
}

/// The name and padding of the picture that is asked about; nothing for the client's probe.
pub fn picture(asked: &Asked) -> Option<(String, u32)> {
    let text = shown(asked)?;
    let (name, padding) = text.rsplit_once(':')?;
    Some((name.to_owned(), padding.parse().unwrap()))
}

/// What a picture of the tests says of itself.
pub fn shown(asked: &Asked) -> Option<String> {
    let base64 = |text: &Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
    let bytes = match (asked.path.as_str(), asked.header("content-type")) {
        ("/extract", Some("application/json")) => {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            base64(&body["images"]["data"][0])
        }
        ("/", _) => {
            let pickled: String = serde_json::from_slice(&asked.body).unwrap();
            base64(&serde_json::from_str::<Value>(&pickled).unwrap()["image"]["py/b64"])
        }
        _ => asked.body.clone(),
    };
    let start = bytes.windows(4).position(|window| window == b"png:")? + 4;
    let length = bytes[start..].iter().position(|byte| *byte == b';')?;
    Some(String::from_utf8(bytes[start..start + length].to_vec()).unwrap())
}

/// Where the embedding of a picture of this name has its one value that is not zero.
pub fn place(name: &str) -> usize {
    name.bytes().fold(7, |place, byte| (31 * place + usize::from(byte)) % 512)
}

pub fn is_of(embedding: &Embedding, name: &str) -> bool {
    embedding.as_slice().iter().position(|value| *value > 0.5) == Some(place(name))
}

pub fn unit(name: &str) -> Vec<f64> {
    let mut values = vec![0.0; 512];
    values[place(name)] = 1.0;
    values
}

pub fn info(network: &str) -> Value {
    json!({
        "version": "0.9.5.0",
        "models": {
            "inference_backend": "onnx", "det_name": "scrfd_500m_bnkps", "rec_name": network,
            "max_size": [640, 640], "rec_batch_size": 1, "force_fp16": false,
        },
        "defaults": {},
    })
}

/// A face with these values, wherever a face can be.
pub fn face(dialect: Dialect, values: &Value, norm: f64) -> Value {
    let landmarks = [[80, 30], [120, 30], [100, 50], [85, 70], [115, 70]];
    match dialect {
        Dialect::Rest => json!({
            "num_det": 0, "prob": 0.9, "bbox": [60, 10, 140, 90], "size": 80, "norm": norm,
            "vec": values, "landmarks": landmarks,
        }),
        Dialect::FaceDetectionRecognition => {
            let array = |values: Value| json!({ "py/object": "numpy.ndarray", "dtype": "float32", "values": values });
            json!({
                "bbox": array(json!([60, 10, 140, 90])), "det_score": 0.9,
                "landmark": array(json!(landmarks)), "normed_embedding": array(values.clone()),
            })
        }
    }
}

pub fn faces(dialect: Dialect, faces: &[Value]) -> Value {
    match dialect {
        Dialect::Rest => json!({ "took": {}, "data": [{ "status": "ok", "faces": faces }] }),
        Dialect::FaceDetectionRecognition => json!({ "face_detection_recognition": faces }),
    }
}

/// The successful response for a picture.
pub fn good(dialect: Dialect, name: &str) -> Value {
    faces(dialect, &[face(dialect, &json!(unit(name)), 20.0)])
}

/// A server that behaves, but for what `differently` does with the pictures it chooses.
pub fn server(
    dialect: Dialect,
    differently: impl Fn(&str, u32) -> Option<Act> + Send + Sync + 'static,
) -> Mock {
    Mock::start(behaving(dialect, "w600k_mbf", differently))
}

pub fn behaving(
    dialect: Dialect,
    network: &'static str,
    differently: impl Fn(&str, u32) -> Option<Act> + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Act + Send + Sync + 'static {
    move |asked| match (dialect, asked.method.as_str(), asked.path.as_str()) {
        (Dialect::Rest, "GET", "/info") => Act::ok(info(network)),
        (Dialect::Rest, "POST", "/extract") | (Dialect::FaceDetectionRecognition, "POST", "/") => {
            match picture(asked) {
                None => Act::ok(faces(dialect, &[])),
                Some((name, padding)) => {
                    differently(&name, padding).unwrap_or_else(|| Act::ok(good(dialect, &name)))
                }
            }
        }
        _ => Act::Json(404, json!({ "detail": "Not Found" })),
    }
}

/// Options for a test: quick to give up.
pub fn options(dialect: Dialect, mocks: &[&Mock]) -> Options {
    Options {
        dialect,
        retry: RetryPolicy {
            connect: Duration::from_millis(800),
            response: Duration::from_millis(800),
            outage: Duration::from_millis(800),
            first_delay: Duration::from_millis(2),
            longest_delay: Duration::from_millis(40),
            attempts: 2,
        },
        ..Options::new(mocks.iter().map(|mock| mock.url()).collect())
    }
}

pub fn connect(options: Options) -> Result<InsightfaceExtractor, InsightfaceError> {
    InsightfaceExtractor::connect(options, Box::new(Named))
}
