//! Documents that jsonpickle wrote, and documents that it did not write.
//!
//! `golden/plain.json` and `golden/extension.json` were made from random numbers with jsonpickle
//! 4.1.4 and NumPy 2.4.6 (2.0.0 writes `plain.json` byte by byte the same) by these lines, with
//! the argument `plain` or `extension`:
//!
//! ```python
//! import sys
//! import jsonpickle, numpy as np
//! if sys.argv[1] == "extension":
//!     import jsonpickle.ext.numpy
//!     jsonpickle.ext.numpy.register_handlers()
//! rng = np.random.default_rng(7)
//! def face(score):
//!     embedding = rng.standard_normal(512).astype(np.float32)
//!     return {
//!         "bbox": rng.integers(0, 200, 4),
//!         "det_score": np.float32(score),
//!         "notes": {"a": [1, 2], "b": (1, 2)},
//!         "landmark": np.asfortranarray(rng.random((5, 2)) * 200),
//!         "normed_embedding": embedding / np.linalg.norm(embedding),
//!     }
//! print(jsonpickle.encode({"face_detection_recognition": [face(0.8125), face(0.75)]}))
//! ```

use super::{JsonpickleError, Value, parse};

const GOLDEN: [&str; 2] =
    [include_str!("golden/plain.json"), include_str!("golden/extension.json")];

fn numbers(face: &Value, name: &str) -> Vec<f64> {
    face.get(name).and_then(Value::numbers).unwrap()
}

#[test]
fn all_forms_of_arrays_give_the_same_numbers() {
    for document in GOLDEN {
        let root = parse(document.as_bytes()).unwrap();
        let Some(Value::List(faces)) = root.get("face_detection_recognition") else { panic!() };
        // From the same lines: print(face["bbox"], face["landmark"].ravel(), …).
        assert_eq!(numbers(&faces[0], "bbox"), [58.0, 95.0, 38.0, 104.0]);
        assert_eq!(numbers(&faces[1], "bbox"), [162.0, 102.0, 147.0, 22.0]);
        assert_eq!(numbers(&faces[0], "det_score"), [0.8125]);
        assert_eq!(numbers(&faces[1], "det_score"), [0.75]);
        let landmark = numbers(&faces[1], "landmark");
        assert_eq!(landmark.len(), 10);
        assert_eq!(landmark[..2], [112.710_159_910_447_49, 153.289_608_760_340_6]);
        assert_eq!(landmark[9], 35.136_469_152_687_67);
        let embedding = numbers(&faces[1], "normed_embedding");
        assert_eq!(embedding.len(), 512);
        assert_eq!(embedding[0] as f32, 0.028_118_968);
        assert_eq!(embedding[511] as f32, 0.009_032_966);
        let sum: f64 = numbers(&faces[0], "normed_embedding").iter().sum();
        assert!((sum - -3.201_427_886_499_004_7).abs() < 1e-12, "{sum}");
    }
}

#[test]
fn names_outside_of_the_subset_are_refused_everywhere() {
    for document in [
        r#"{"py/object": "os.system", "command": "true"}"#,
        r#"{"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["true"]}]}"#,
        r#"{"a": [1, {"py/reduce": [{"py/type": "subprocess.Popen"}, {"py/tuple": ["true"]}]}]}"#,
        r#"{"py/repr": "os/system('true')"}"#,
        r#"{"py/type": "numpy.ndarray"}"#,
        r#"{"py/set": [1]}"#,
        r#"{"py/state": {}, "a": 1}"#,
        r#"{"py/b64": "AA==", "py/object": "x"}"#,
        r#"{"py/object": "numpy.ndarray", "dtype": "object", "values": []}"#,
        r#"{"py/object": "numpy.ndarray", "base": {}, "offset": 8, "dtype": "float32"}"#,
        r#"{"py/object": "numpy.matrix", "dtype": "float32", "values": [1]}"#,
    ] {
        let read = parse(document.as_bytes());
        assert!(
            matches!(read, Err(JsonpickleError::Tag(_) | JsonpickleError::Form { .. })),
            "{document}: {read:?}"
        );
    }
}

#[test]
fn a_changed_array_is_refused() {
    let plain = GOLDEN[0];
    let changed = |from: &str, to: &str| {
        assert!(plain.contains(from), "{from}");
        parse(plain.replacen(from, to, 1).as_bytes())
    };
    assert_eq!(
        changed(r#""py/id": 6"#, r#""py/id": 7"#).unwrap_err(),
        JsonpickleError::Reference(7)
    );
    for (from, to) in [
        ("[512]", "[511]"),
        ("[5, 2]", "[5, 1000000000]"),
        ("[5, 2]", "[5, -2]"),
        (r#""i8", false"#, r#""O8", false"#),
        (r#"[3, "<""#, r#"[3, ">""#),
        ("numpy.ndarray", "numpy.memmap"),
        ("_reconstruct", "_frombuffer"),
    ] {
        assert!(changed(from, to).is_err(), "{from} to {to}");
    }
}

#[test]
fn zlib_output_is_bounded_by_the_shape() {
    // base64.b64encode(zlib.compress(bytes(64))): 64 bytes where the shape says 8.
    let document = r#"{"py/object": "numpy.ndarray", "values": "eJxjYKAMAAAAQAAB", "shape": [2],
        "dtype": "float32", "byteorder": "<"}"#;
    let read = parse(document.as_bytes());
    assert!(matches!(read, Err(JsonpickleError::Form { .. })), "{read:?}");
}

#[test]
fn uneven_lists_are_no_array() {
    for values in ["[[1, 2], [3]]", "[1, [2]]", "[[1], 2]", r#"["a"]"#, "{}"] {
        let document =
            format!(r#"{{"py/object": "numpy.ndarray", "dtype": "float32", "values": {values}}}"#);
        assert!(parse(document.as_bytes()).is_err(), "{values}");
    }
}

#[test]
fn no_json_and_deep_nesting_are_refused() {
    assert!(matches!(parse(b"<html>"), Err(JsonpickleError::Json(_))));
    let deep = "[".repeat(100_000);
    assert!(matches!(parse(deep.as_bytes()), Err(JsonpickleError::Json(_))));
}
