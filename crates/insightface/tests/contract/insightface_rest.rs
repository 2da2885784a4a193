//! A mock that does what InsightFace-REST does: scales every picture to its `MAX_SIZE`, refuses long
//! bodies (413), answers 500 while cold, closes the connection on `MessagePack` (0.9.0), and runs
//! other models after a while. Every picture ends embedded, or the extraction ends with an error; no
//! embedding of other models is returned.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use facefold_core::{Extraction, Extractor, Face, RejectReason, Rejection};
use facefold_insightface::{
    Attempt, Canvas, Crop, Dialect, Format, InsightfaceExtractor, Options, Picture, Pictures,
    Quality,
};
use serde_json::{Value, json};

use crate::dialects::{Named, info, is_of, options, place, shown, unit};
use crate::mock::{Act, Asked, Mock};

/// Pictures called `name@WIDTHxHEIGHT`. A PNG has a byte a pixel, a JPEG one for every 4.
struct Sized;

struct SizedPicture {
    name: String,
    size: [u32; 2],
}

impl Pictures for Sized {
    fn open(&self, bytes: &[u8]) -> Result<Box<dyn Picture + '_>, Rejection> {
        let text = std::str::from_utf8(bytes).unwrap();
        let no_picture = || Rejection::new(RejectReason::NotAPicture, "no picture");
        let (_, size) = text.split_once('@').ok_or_else(no_picture)?;
        let (width, height) = size.split_once('x').unwrap();
        let size = [width, height].map(|side| side.parse().unwrap());
        Ok(Box::new(SizedPicture { name: text.to_owned(), size }))
    }

    fn is_stored_upright(&self, _: &[u8]) -> bool {
        true
    }

    fn attempts(&self, size: [u32; 2]) -> Vec<Attempt> {
        Named.attempts(size)
    }
}

impl Picture for SizedPicture {
    fn size(&self) -> [u32; 2] {
        self.size
    }

    fn encode(&self, canvas: Canvas, by: u32, format: Format) -> Result<Vec<u8>, Rejection> {
        let [width, height] = canvas.size.map(|side| side / by);
        let pixels = (width * height) as usize;
        let text = format!("png:{}:{}:{by}:{width}:{height};", self.name, canvas.offset);
        let mut bytes = text.into_bytes();
        bytes.resize(if format == Format::Png { pixels } else { pixels / 4 }.max(64), 0);
        Ok(bytes)
    }

    fn crop(&self) -> Result<Crop, Rejection> {
        Ok(Crop {
            png: self.encode(Canvas { offset: 0, size: [112; 2] }, 1, Format::Png)?,
            bounding_box: [0.0, 0.0, 112.0, 112.0].into(),
            landmarks: [[1.0, 2.0]; 5],
            quality: self.quality(&[[0.0; 2]; 5])?,
        })
    }

    fn quality(&self, _: &[[f32; 2]; 5]) -> Result<Quality, Rejection> {
        Ok(Quality { luminance: 100.0, sharpness: 50.0 })
    }
}

/// How the mock is set up.
#[derive(Clone, Copy)]
struct Setup {
    max_size: [u32; 2],
    /// Most bytes of a body.
    limit: usize,
    /// Requests until it is warm.
    cold: usize,
    /// Embeddings until it runs other models.
    changes_after: usize,
}

const SETUP: Setup =
    Setup { max_size: [640, 640], limit: usize::MAX, cold: 0, changes_after: usize::MAX };

/// `resize_image` of InsightFace-REST: by how much it scales.
fn scale(size: [f64; 2], max_size: [u32; 2]) -> f64 {
    let scale = (f64::from(max_size[0]) / size[0]).min(f64::from(max_size[1]) / size[1]);
    if scale > 2.0 { scale * 0.7 } else { scale }
}

/// The face in the middle of a picture, as the container describes it: coordinates are cut to whole
/// pixels, and the norm gives away by how much the picture was scaled in all.
fn face(text: &str, max_size: [u32; 2], network: &str) -> Value {
    let parts: Vec<&str> = text.split(':').collect();
    let [name, numbers @ ..] = parts.as_slice() else { panic!("{text}") };
    let numbers: Vec<f64> = numbers.iter().map(|number| number.parse().unwrap()).collect();
    let [offset, by, width, height] = numbers[..] else { panic!("{text}") };
    let (_, size) = name.split_once('@').unwrap();
    let (full_width, full_height) = size.split_once('x').unwrap();
    let full = [full_width, full_height].map(|side| side.parse::<f64>().unwrap());
    // A quarter from each edge.
    let at = |axis: usize, share: f64| (((full[axis] * share + offset) / by) as i64).max(0);
    let bbox = [at(0, 0.25), at(1, 0.25), at(0, 0.75), at(1, 0.75)];
    let landmarks = vec![[bbox[0], bbox[1]]; 5];
    let scale = scale([width, height], max_size) / by;
    json!({
        "num_det": 0, "prob": 0.9, "bbox": bbox, "size": bbox[2] - bbox[0], "norm": scale * 10.0,
        "vec": unit(&format!("{network} {name}")),
        "landmarks": landmarks,
    })
}

/// Version 0.9.5 but for its encodings: 0.9.0 reads JSON only.
fn container(setup: Setup) -> impl Fn(&Asked) -> Act + Send + Sync + 'static {
    let (asked_so_far, embedded) = (AtomicUsize::new(0), AtomicUsize::new(0));
    move |asked| {
        if asked_so_far.fetch_add(1, Ordering::SeqCst) < setup.cold {
            return Act::Json(500, json!({ "detail": "model is not loaded" }));
        }
        let has_changed = embedded.load(Ordering::SeqCst) >= setup.changes_after;
        let network = if has_changed { "glintr100" } else { "w600k_mbf" };
        if asked.path == "/info" {
            let mut info = info(network);
            info["models"]["max_size"] = json!(setup.max_size);
            return Act::ok(info);
        }
        if asked.header("content-type") == Some("application/msgpack") {
            return Act::Wire(Vec::new());
        }
        if asked.body.len() > setup.limit {
            return Act::Json(413, Value::Null);
        }
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        let text = shown(asked);
        if text.is_some() {
            embedded.fetch_add(1, Ordering::SeqCst);
        }
        if body["embed_only"] == json!(true) {
            let name = text.unwrap_or_else(|| "probe".to_owned());
            let name = name.split(':').next().unwrap().to_owned();
            let item = json!({ "norm": 3.0, "vec": unit(&format!("{network} {name}")),
                "gender": null, "age": null, "status": "ok" });
            return Act::ok(json!({ "took_ms": 1.0, "data": [item], "status": "ok" }));
        }
        let faces: Vec<Value> =
            text.iter().map(|text| face(text, setup.max_size, network)).collect();
        Act::ok(json!({ "took": {}, "data": [{ "status": "ok", "took_ms": 0.1, "faces": faces }] }))
    }
}

fn start(setup: Setup) -> Mock {
    Mock::start(container(setup))
}

fn connect(options: Options) -> InsightfaceExtractor {
    InsightfaceExtractor::connect(options, Box::new(Sized)).unwrap()
}

fn one(extractor: &dyn Extractor, name: &str) -> Face {
    match extractor.extract(&[name.as_bytes()]).unwrap().remove(0) {
        Extraction::Embedded { mut faces, .. } => faces.remove(0),
        Extraction::Rejected(rejection) => panic!("{name}: {rejection:?}"),
    }
}

/// By how much the local extractor scales a picture.
fn local_scale(size: [u32; 2]) -> f32 {
    let longer = size[0].max(size[1]);
    Named.attempts(size)[0].side as f32 / longer as f32
}

#[test]
fn every_picture_is_embedded_at_the_size_that_the_local_detector_sees() {
    // Cold at first; then bodies of up to 400 kB: 300 kB of picture in base64.
    let mock = start(Setup { cold: 5, limit: 400_000, ..SETUP });
    let extractor = connect(options(Dialect::Rest, &[&mock]));
    assert!(extractor.info().execution.contains("detector input 640x640"));
    // The larger ones as JPEG, and the largest one at an eighth.
    for size in
        [[60, 80], [200, 200], [500, 333], [640, 480], [816, 816], [3000, 2000], [6000, 4500]]
    {
        let name = format!("a@{}x{}", size[0], size[1]);
        let face = one(&extractor, &name);
        assert!(is_of(&face.embedding, &format!("w600k_mbf {name}")), "{name}");
        let (found, wanted) = (face.norm.unwrap() / 10.0, local_scale(size));
        assert!((found / wanted - 1.0).abs() < 0.02, "{name}: {found}, here {wanted}");
        let edges = <[f32; 4]>::from(face.bounding_box);
        for (at, share) in [0.25, 0.25, 0.75, 0.75].into_iter().enumerate() {
            let (edge, wanted) = (edges[at], size[at % 2] as f32 * share);
            // Whole pixels of what was sent.
            let tolerance = if size[0] > 1000 { 8.0 } else { 1.0 };
            assert!((edge - wanted).abs() <= tolerance, "{name}: {edge} for {wanted}");
        }
    }
}

#[test]
fn a_picture_that_no_form_is_short_enough_for_stops_the_extraction() {
    let mock = start(Setup { limit: 5_000, ..SETUP });
    let extractor = connect(options(Dialect::Rest, &[&mock]));
    let error = extractor.extract(&[b"a@816x816"]).unwrap_err().to_string();
    assert!(error.contains("raise the limit on bodies"), "{error}");
}

#[test]
fn no_embedding_of_models_that_changed_is_returned() {
    for aligned in [false, true] {
        let mock = start(Setup { changes_after: 45, ..SETUP });
        let extractor = connect(Options { aligned, ..options(Dialect::Rest, &[&mock]) });
        let mut embedded = 0;
        let ended = loop {
            let names: Vec<String> = (0..8).map(|at| format!("{embedded}.{at}@200x200")).collect();
            let bytes: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
            match extractor.extract(&bytes) {
                Ok(outcomes) => {
                    for (name, outcome) in names.iter().zip(outcomes) {
                        let Extraction::Embedded { faces, .. } = outcome else { panic!("{name}") };
                        let of = format!("w600k_mbf {name}");
                        assert!(is_of(&faces[0].embedding, &of), "{name} {}", place(&of));
                    }
                    embedded += 8;
                }
                Err(error) => break error.to_string(),
            }
            assert!(embedded < 100, "the change was not noticed");
        };
        assert!((24..=40).contains(&embedded), "{embedded}");
        let said = "runs other models than at the start: rec_name is glintr100, there w600k_mbf";
        assert!(ended.contains(said), "{ended}");
    }
}

#[test]
fn pictures_of_a_replica_that_changed_go_to_the_other() {
    let same = start(SETUP);
    let changes = start(Setup { changes_after: 20, ..SETUP });
    let extractor = connect(options(Dialect::Rest, &[&same, &changes]));
    for block in 0..12 {
        let names: Vec<String> = (0..8).map(|at| format!("{block}.{at}@200x200")).collect();
        let bytes: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        for (name, outcome) in names.iter().zip(extractor.extract(&bytes).unwrap()) {
            let Extraction::Embedded { faces, .. } = outcome else { panic!("{name}") };
            assert!(is_of(&faces[0].embedding, &format!("w600k_mbf {name}")), "{name}");
        }
    }
    assert!(changes.requests() > 20, "{}", changes.requests());
}

#[test]
fn crops_are_embedded_by_0_9_0_which_closes_the_connection_on_msgpack() {
    let mock = start(Setup { cold: 2, ..SETUP });
    let options = Options { aligned: true, ..options(Dialect::Rest, &[&mock]) };
    let face = one(&connect(options), "crop@112x112");
    assert!(is_of(&face.embedding, "w600k_mbf crop@112x112"));
    assert_eq!(face.norm, Some(3.0));
}

#[test]
fn a_server_that_dies_before_it_is_confirmed_is_asked_again() {
    // A picture is embedded, and then the models that did it cannot be confirmed for a while.
    let dead = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&dead);
    let behave = container(SETUP);
    let mock = Mock::start(move |asked| {
        let is_check = asked.path == "/info" && seen.load(Ordering::SeqCst) > 0;
        if is_check && seen.fetch_add(1, Ordering::SeqCst) < 4 {
            return Act::Wire(Vec::new());
        }
        if shown(asked).is_some() {
            let _ = seen.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
        }
        behave(asked)
    });
    let extractor = connect(options(Dialect::Rest, &[&mock]));
    assert!(is_of(&one(&extractor, "a@200x200").embedding, "w600k_mbf a@200x200"));
    assert!(dead.load(Ordering::SeqCst) > 3);
}
