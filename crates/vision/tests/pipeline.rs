//! The whole pipeline with published weights: fetched, and compared with OpenCV and onnxruntime.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use facefold_core::{Embedding, Extraction, Extractor, Face};
use facefold_testing::{Need, given, skip};
use facefold_vision::models::{BUFFALO_S, Sources, default_directory, fetch, is_complete, status};
use facefold_vision::{Backend, LocalExtractor, LocalOptions};
use fs_err as fs;

/// `count` UTKFace pictures, evenly spread over the names.
fn utkface(shared: &Path, count: usize) -> Vec<PathBuf> {
    let folder = shared.join("utkface/images");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let step = paths.len() / count;
    paths.into_iter().step_by(step.max(1)).take(count).collect()
}

fn main_face(extractor: &LocalExtractor, path: &Path) -> Option<Face> {
    match extractor.extract(&[&fs::read(path).unwrap()]).unwrap().remove(0) {
        Extraction::Embedded { faces, .. } => faces.into_iter().next(),
        Extraction::Rejected(_) => None,
    }
}

/// What `scripts/parity_pipeline.py` says of the main face: embedding and landmarks.
type Peer = (Embedding, Vec<[f32; 2]>);

fn peer_results(python: &Path, models: &Path, paths: &[PathBuf]) -> HashMap<PathBuf, Option<Peer>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/parity_pipeline.py");
    let output = Command::new(python).arg(script).arg(models).args(paths).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    };
    lines
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let path = PathBuf::from(line["path"].as_str().unwrap());
            let face = line.get("embedding").map(|embedding| {
                let landmarks = line["landmarks"].as_array().unwrap();
                let landmarks =
                    landmarks.iter().map(|point| numbers(point).try_into().unwrap()).collect();
                (Embedding::new(numbers(embedding)).unwrap(), landmarks)
            });
            (path, face)
        })
        .collect()
}

#[test]
fn embeddings_agree_with_opencv_and_onnxruntime() {
    let Some(shared) = given(Need::Data) else { return };
    let Some(python) = given(Need::Python) else { return };
    let models = default_directory();
    if !is_complete(&BUFFALO_S, &status(&BUFFALO_S, &models).unwrap()) {
        return skip(Need::Weights);
    }
    let paths = utkface(&shared, 200);
    let peer_results = peer_results(&python, &models, &paths);
    let candle = Backend::Candle(candle_core::Device::Cpu);
    for (backend, paths) in [(Backend::Engine(None), &paths[..]), (candle, &paths[..20])] {
        let options =
            LocalOptions { backend, models: models.clone(), ..LocalOptions::new(&BUFFALO_S) };
        let extractor = LocalExtractor::new(&options).unwrap();
        let mut cosines = Vec::new();
        let mut furthest = 0.0_f32;
        for path in paths {
            match (main_face(&extractor, path), &peer_results[path]) {
                (Some(face), Some((embedding, landmarks))) => {
                    cosines.push(face.embedding.cosine(embedding));
                    for (a, b) in face.landmarks.iter().zip(landmarks) {
                        furthest = furthest.max((a[0] - b[0]).hypot(a[1] - b[1]));
                    }
                }
                (None, None) => {}
                (ours, theirs) => panic!(
                    "{}: found here {}, there {}",
                    path.display(),
                    ours.is_some(),
                    theirs.is_some()
                ),
            }
        }
        let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
        let least = cosines.iter().copied().fold(1.0, f64::min);
        println!(
            "{}: {} faces, cosine mean {mean:.6}, least {least:.6}, landmarks within {furthest:.3} px",
            extractor.info().execution,
            cosines.len()
        );
        assert!(cosines.len() * 100 >= paths.len() * 95, "{} faces", cosines.len());
        assert!(mean >= 0.999, "{mean}");
    }
}

#[test]
fn buffalo_s_comes_from_some_source() {
    let Some(_) = given(Need::Network) else { return };
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources { caches: Vec::new(), ..Sources::default() };
    let fetched = fetch(&BUFFALO_S, directory.path(), &sources, &mut |_| {}).unwrap();
    println!("{fetched:?}");
    let models = directory.path().to_owned();
    let options = LocalOptions { models, ..LocalOptions::new(&BUFFALO_S) };
    let info = LocalExtractor::new(&options).unwrap().info().clone();
    assert_eq!((info.model.as_str(), info.embedding_length), ("buffalo_s", 512));
    let again = fetch(&BUFFALO_S, directory.path(), &sources, &mut |_| {}).unwrap();
    assert_eq!(again.source, None);
}
