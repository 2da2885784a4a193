//! The published ONNX files come in as the networks that DESIGN and papers say they are.
//!
//! Set `FACEFOLD_MODELS` to a folder with `w600k_mbf.onnx` and `scrfd_500m_bnkps.onnx`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use facefold_engine::{Network, Op, Shape};
use facefold_testing::{Need, skip};
use facefold_vision::networks::{Architecture, Untrained, backbone_taps};

fn published(file: &str, need: Need) -> Option<Network> {
    let path = std::env::var_os("FACEFOLD_MODELS").map(|folder| PathBuf::from(folder).join(file));
    let Some(path) = path.filter(|path| path.is_file()) else {
        skip(need);
        return None;
    };
    Some(facefold_onnx::import(&fs_err::read(path).unwrap()).unwrap())
}

fn count_ops(network: &Network) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for layer in &network.layers {
        *counts.entry(layer.op.name()).or_default() += 1;
    }
    counts
}

#[test]
fn w600k_mbf_has_its_layers() {
    let Some(network) = published("w600k_mbf.onnx", Need::Weights) else { return };
    let expected = [
        ("add", 12),
        ("affine", 1),
        ("convolution", 49),
        ("flatten", 1),
        ("linear", 1),
        ("prelu", 34),
    ];
    assert_eq!(count_ops(&network), BTreeMap::from(expected));
    let output = &network.outputs[0];
    assert_eq!(output.name, "embedding");
    let shapes = network.shapes(112, 112).unwrap();
    assert_eq!(shapes[output.value.0], Shape { channels: 512, height: 1, width: 1 });
}

#[test]
fn scrfd_500m_has_nine_maps() {
    let Some(network) = published("scrfd_500m_bnkps.onnx", Need::Weights) else {
        return;
    };
    let expected = [("add", 4), ("convolution", 60), ("relu", 41), ("sigmoid", 3), ("upsample", 2)];
    assert_eq!(count_ops(&network), BTreeMap::from(expected));
    let shapes = network.shapes(320, 640).unwrap();
    let found: Vec<(String, Shape)> = network
        .outputs
        .iter()
        .map(|output| (output.name.clone(), shapes[output.value.0]))
        .collect();
    let map = |name: &str, stride: usize, values: usize| {
        let shape = Shape { channels: 2 * values, height: 320 / stride, width: 640 / stride };
        (format!("{name}_{stride}"), shape)
    };
    let expected: Vec<(String, Shape)> = [("score", 1), ("bbox", 4), ("kps", 10)]
        .iter()
        .flat_map(|&(name, values)| [8, 16, 32].map(|stride| map(name, stride, values)))
        .collect();
    assert_eq!(found, expected);
}

/// Everything but the weights' values and the names.
fn structure(network: &Network) -> Vec<String> {
    let layers = network.layers.iter();
    layers
        .map(|layer| {
            let geometry = match &layer.op {
                Op::Convolution(c) => {
                    format!("stride {} padding {} groups {}", c.stride, c.padding, c.groups)
                }
                _ => String::new(),
            };
            let shapes: Vec<_> =
                layer.op.tensors().into_iter().map(|(name, shape, _)| (name, shape)).collect();
            format!("{} {geometry} {shapes:?} of {:?}", layer.op.name(), layer.inputs)
        })
        .collect()
}

#[test]
fn w600k_mbf_is_the_described_mobile_facenet() {
    let Some(network) = published("w600k_mbf.onnx", Need::Weights) else { return };
    let described = Architecture::MobileFaceNet.build(&mut Untrained { seed: 0 });
    assert_eq!(structure(&network), structure(&described));
}

#[test]
fn w600k_r50_is_the_described_iresnet() {
    let Some(network) = published("w600k_r50.onnx", Need::LargeWeights) else { return };
    let described = Architecture::IResNet50.build(&mut Untrained { seed: 0 });
    assert_eq!(count_ops(&network), count_ops(&described));
}

#[test]
fn w600k_mbf_taps_are_the_measured_maps() {
    let Some(network) = published("w600k_mbf.onnx", Need::Weights) else { return };
    let taps = backbone_taps(&network).unwrap();
    let names: Vec<&str> = taps.iter().map(|tap| network.layers[tap.0 - 1].name.as_str()).collect();
    assert_eq!(names, ["494", "505", "509"]);
}
