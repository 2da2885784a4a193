//! The dialect of the container `face-detection-recognition`: `POST /` with jsonpickle both ways.
//!
//! Taken from `app.py` of its repository, version 0.1. It shows its detector a square of 640
//! pixels, takes RGB where ArcFace expects BGR, gives no norm and has no `/info`: its embeddings
//! are worth comparing with each other only, and whether replicas are the same cannot be checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::error::Failure;
use crate::faces::{BadEmbedding, DetectedFace, FaceResponse, embedded};
use crate::jsonpickle::{self, Value};
use crate::nan;
use crate::transport::{HttpResponse, RequestBody};

/// The detector that `app.py` names.
pub const DETECTOR: &str = "retinaface_r50_v1";

/// The embedding network that `app.py` names.
pub const NETWORK: &str = "arcface_r100_v1";

pub(crate) fn request_body(picture: &[u8]) -> RequestBody {
    let pickled = json!({ "image": { "py/b64": STANDARD.encode(picture) } }).to_string();
    // The body is a JSON string that holds a JSON document.
    let body = json!(pickled).to_string().into_bytes();
    RequestBody { path: "/", content_type: "application/json", accept: "application/json", body }
}

pub(crate) fn face_response(response: &HttpResponse) -> Result<FaceResponse, Failure> {
    let unreadable = |found: String| Failure::Unreadable(found);
    let root = jsonpickle::parse(&nan::to_null(&response.body))
        .map_err(|error| unreadable(error.to_string()))?;
    let faces = root.get("face_detection_recognition");
    let Some(Value::List(faces)) = faces else {
        return Err(unreadable("no list face_detection_recognition".to_owned()));
    };
    let faces: Result<Vec<DetectedFace>, String> = faces.iter().map(found).collect();
    faces.map(FaceResponse::Faces).map_err(unreadable)
}

fn found(face: &Value) -> Result<DetectedFace, String> {
    let numbers = |name: &str| face.get(name).and_then(Value::numbers);
    let exactly = |name: &str, count: usize| {
        numbers(name)
            .filter(|found| found.len() == count && found.iter().all(|value| value.is_finite()))
            .ok_or_else(|| format!("a face without {count} finite numbers as {name}"))
    };
    let score = exactly("det_score", 1)?[0];
    if !(0.0..=1.0).contains(&score) {
        return Err(format!("a face with det_score {score}"));
    }
    let bounding_box = exactly("bbox", 4)?;
    let landmarks = exactly("landmark", 10)?;
    let embedding = numbers("normed_embedding").ok_or(BadEmbedding::NoList);
    Ok(DetectedFace {
        bounding_box: <[f32; 4]>::into(std::array::from_fn(|index| bounding_box[index] as f32)),
        landmarks: std::array::from_fn(|point| {
            std::array::from_fn(|axis| landmarks[2 * point + axis] as f32)
        }),
        score: score as f32,
        embedding: embedding.and_then(|values| embedded(&values, None)),
    })
}

#[cfg(test)]
mod tests {
    use super::{face_response, request_body};
    use crate::faces::FaceResponse;
    use crate::transport::HttpResponse;
    use serde_json::{Value, json};

    #[test]
    fn the_request_is_a_text_with_a_pickled_dictionary() {
        let request_body = request_body(b"\x89PNG");
        // In Python: json.dumps(jsonpickle.encode({"image": b"\x89PNG"})), but for spaces.
        let text: String = serde_json::from_slice(&request_body.body).unwrap();
        let pickled: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(pickled, json!({ "image": { "py/b64": "iVBORw==" } }));
        assert_eq!(request_body.path, "/");
    }

    #[test]
    fn faces_are_read_from_every_form_of_arrays_without_a_norm() {
        for golden in [
            include_str!("jsonpickle/golden/plain.json"),
            include_str!("jsonpickle/golden/extension.json"),
        ] {
            let body = golden.as_bytes().to_vec();
            // Flask serves a text as HTML.
            let response =
                HttpResponse { content_type: "text/html; charset=utf-8".to_owned(), body };
            let FaceResponse::Faces(faces) = face_response(&response).unwrap() else { panic!() };
            assert_eq!(faces.iter().map(|face| face.score).collect::<Vec<_>>(), [0.8125, 0.75]);
            assert_eq!(faces[0].bounding_box, [58.0, 95.0, 38.0, 104.0].into());
            assert_eq!(faces[1].landmarks[0], [112.710_16, 153.289_61]);
            for face in faces {
                let embedded = face.embedding.unwrap();
                assert!((embedded.embedding.norm() - 1.0).abs() < 1e-6);
                assert_eq!(embedded.norm, None);
            }
        }
    }
}
