//! candle and onnxruntime give the same embeddings.
//!
//! The comparisons run where `FACEFOLD_PARITY_PYTHON` names a python3 with numpy, pillow and
//! onnxruntime; that with real weights also wants `FACEFOLD_MODELS`, a folder with
//! `w600k_mbf.onnx`, and `FACEFOLD_TEST_DATA`, a folder with `utkface/images`. Golden values
//! stand in for them elsewhere.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/npy.rs"]
mod npy;

use std::path::Path;
use std::process::Command;

use candle_core::Device;
use facefold_engine::{Executor, Images, Network, Shape};
use facefold_testing::{Need, given};
use facefold_vision::candle_executor::CandleExecutor;
use facefold_vision::networks::{Architecture, Untrained};

const CROP: Shape = Shape { channels: 3, height: 112, width: 112 };

/// Runs `scripts/parity.py` and gives what it says; panics where it fails.
fn parity(python: &Path, arguments: &[&Path]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/parity.py");
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    said
}

fn embed(network: &Network, crops: &[u8]) -> Vec<f32> {
    let data: Vec<f32> = crops.iter().map(|&byte| (f32::from(byte) - 127.5) / 127.5).collect();
    let executor = CandleExecutor::new(network, &Device::Cpu).unwrap();
    let count = crops.len() / CROP.size();
    executor.run(Images { data: &data, count, shape: CROP }).unwrap().remove(0).data
}

/// Waves of different lengths and directions, no faces.
fn drawn_crops(count: usize) -> Vec<u8> {
    let value = |i: usize| {
        let (crop, y, x, c) = (i / CROP.size(), i / 336 % 112, i / 3 % 112, i % 3);
        (x * (crop + 1) + y * (3 * c + 2) + x * y / (8 + crop) + 29 * c) % 256
    };
    (0..count * CROP.size()).map(|i| value(i) as u8).collect()
}

#[test]
fn w600k_mbf_agrees_with_onnxruntime_on_200_real_crops() {
    let Some(python) = given(Need::Python) else { return };
    let Some(models) = given(Need::Weights) else { return };
    let Some(samples) = given(Need::Data) else { return };
    let folder = tempfile::tempdir().unwrap();
    let [crops, embeddings] = ["crops.npy", "embeddings.npy"].map(|name| folder.path().join(name));
    parity(&python, &["crops".as_ref(), &samples.join("utkface/images"), &crops]);
    let (count, pixels) = npy::read_crops(&crops).unwrap();
    assert_eq!(count, 200);
    let model = models.join("w600k_mbf.onnx");
    let network = facefold_onnx::import(&fs_err::read(&model).unwrap()).unwrap();
    npy::write_rows(&embeddings, &embed(&network, &pixels), 512).unwrap();
    println!("{}", parity(&python, &["compare".as_ref(), &model, &crops, &embeddings]));
}

#[test]
fn untrained_networks_agree_with_onnxruntime() {
    let Some(python) = given(Need::Python) else { return };
    let folder = tempfile::tempdir().unwrap();
    let [crops, embeddings, model] =
        ["crops.npy", "embeddings.npy", "model.onnx"].map(|name| folder.path().join(name));
    let pixels = drawn_crops(3);
    npy::write_crops(&crops, &pixels).unwrap();
    for architecture in
        [Architecture::MobileFaceNet, Architecture::IResNet18, Architecture::IResNet50]
    {
        let network = architecture.build(&mut Untrained { seed: 7 });
        fs_err::write(&model, facefold_onnx::export(&network, 112, 112).unwrap()).unwrap();
        npy::write_rows(&embeddings, &embed(&network, &pixels), 512).unwrap();
        let said = parity(&python, &["compare".as_ref(), &model, &crops, &embeddings]);
        println!("{architecture}: {said}");
    }
}

/// Made by onnxruntime 1.31.1 from the files that the test above writes:
///
/// ```python
/// crops = numpy.load("crops.npy")[:1]
/// x = ((crops.astype(numpy.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
/// y = onnxruntime.InferenceSession("model.onnx").run(None, {"input": x})[0][0]
/// print(y[:6], numpy.linalg.norm(y))
/// ```
#[test]
fn untrained_networks_give_the_golden_embeddings() {
    for (architecture, golden, norm) in [
        (
            Architecture::MobileFaceNet,
            [1.069_460_5_f32, -0.925_661_86, 2.147_036_3, 0.832_144, -0.961_766_9, -2.399_896_4],
            22.847_305_f32,
        ),
        (
            Architecture::IResNet18,
            [1.700_118, -0.653_435_95, -0.734_535_34, -0.032_693_2, -0.866_320_1, 1.106_040_2],
            18.086_058,
        ),
    ] {
        let network = architecture.build(&mut Untrained { seed: 7 });
        let embedding = embed(&network, &drawn_crops(1));
        let found = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((found / norm - 1.0).abs() < 1e-4, "{architecture}: norm {found}");
        for (found, golden) in embedding.iter().zip(golden) {
            let difference = (found - golden).abs() / norm;
            assert!(difference < 1e-5, "{architecture}: {:?}", &embedding[..6]);
        }
    }
}
