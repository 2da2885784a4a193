//! The engine gives candle's embeddings on real faces, with every kernel and precision that this
//! machine has.
//!
//! Runs where `FACEFOLD_MODELS` names a folder with `scrfd_500m_bnkps.onnx` and `w600k_mbf.onnx`
//! and `FACEFOLD_TEST_DATA` one with `utkface/images`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use candle_core::Device;
use facefold_engine::{Engine, Executor, Images, Kernel, Network, Precision, Shape};
use facefold_testing::{Need, given};
use facefold_vision::align::{Crop, align};
use facefold_vision::candle_executor::CandleExecutor;
use facefold_vision::decode::{Limits, inspect};
use facefold_vision::detect::Detector;
use fs_err as fs;

const CROPS: usize = 200;
const SHAPE: Shape = Shape { channels: 3, height: 112, width: 112 };

/// The most that 1 - cosine to candle's f32 may be.
fn bound(precision: Precision) -> f64 {
    match precision {
        Precision::F32 | Precision::Bf16x3 => 1e-6,
        Precision::Bf16 => 5e-4,
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn network(models: &Path, file: &str) -> Network {
    facefold_onnx::import(&fs::read(models.join(file)).unwrap()).unwrap()
}

/// Aligned faces of pictures spread evenly over the names.
fn crops(models: &Path, pictures: &Path) -> Vec<Crop> {
    let network = network(models, "scrfd_500m_bnkps.onnx");
    let detector =
        Detector::new(&network, Box::new(Engine::with_defaults(&network).unwrap())).unwrap();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(pictures).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    // A few more than are needed: not every picture shows a face that is found.
    let step = paths.len() * 9 / 10 / CROPS;
    let face = |path: PathBuf| {
        let picture = inspect(&fs::read(path).unwrap(), &Limits::default()).ok()?.decode().ok()?;
        let detections = detector.detect(&picture).unwrap();
        align(&picture, &detections.faces.first()?.landmarks).ok()
    };
    paths.into_iter().step_by(step.max(1)).filter_map(face).take(CROPS).collect()
}

#[test]
fn every_kernel_and_precision_agrees_with_candle_on_200_real_crops() {
    let (Some(models), Some(samples)) = (given(Need::Weights), given(Need::Data)) else { return };
    let crops = crops(&models, &samples.join("utkface/images"));
    assert_eq!(crops.len(), CROPS);
    let data: Vec<f32> = crops
        .iter()
        .flat_map(|crop| crop.pixels().iter().map(|&byte| (f32::from(byte) - 127.5) / 127.5))
        .collect();
    let images = Images { data: &data, count: CROPS, shape: SHAPE };
    let network = network(&models, "w600k_mbf.onnx");
    let expected = CandleExecutor::new(&network, &Device::Cpu).unwrap().run(images).unwrap();
    for kernel in Kernel::available() {
        for precision in [Precision::F32, Precision::Bf16x3, Precision::Bf16] {
            // On tiles f32 is computed by the AVX-512 kernels.
            let elsewhere = (kernel, precision) == (Kernel::Amx, Precision::F32);
            if precision.on(kernel) != precision || elsewhere {
                continue;
            }
            let engine = Engine::new(&network, precision, kernel).unwrap();
            let found = engine.run(images).unwrap();
            let rows = expected[0].data.chunks_exact(512).zip(found[0].data.chunks_exact(512));
            let least = rows.map(|(a, b)| cosine(a, b)).fold(1.0, f64::min);
            println!("{}: 1 - cosine at most {:.1e}", engine.describe(), 1.0 - least);
            assert!(1.0 - least <= bound(precision), "{}: {least}", engine.describe());
        }
    }
}
