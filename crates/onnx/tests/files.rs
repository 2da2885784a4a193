//! Networks survive being written as ONNX and read back, and corrupt files never panic.
#![allow(clippy::unwrap_used)]

use facefold_core::rng::seeded;
use facefold_engine::{Convolution, Network, Op, ValueId};
use facefold_onnx::{export, import};
use proptest::prelude::*;
use rand::Rng;

fn random(count: usize) -> Vec<f32> {
    let mut generator = seeded(1, "onnx files");
    (0..count).map(|_| generator.random_range(-1.0..1.0)).collect()
}

/// One of every layer that a file can hold.
fn every_layer() -> Network {
    let mut network = Network::new("every", 3);
    let convolution = Op::Convolution(Convolution {
        weight: random(8 * 3 * 3 * 3),
        bias: random(8),
        input_channels: 3,
        output_channels: 8,
        kernel: [3, 3],
        stride: 2,
        padding: 1,
        groups: 1,
    });
    let x = network.push("conv", convolution, &[ValueId::INPUT]);
    let x = network.push("prelu", Op::PRelu(random(8)), &[x]);
    let pool = Op::MaxPool { kernel: 2, stride: 2, padding: 0, ceil: true };
    let small = network.push("max", pool, &[x]);
    let mean = Op::AveragePool { kernel: 3, stride: 1, padding: 1, ceil: false };
    let small = network.push("mean", mean, &[small]);
    let affine = Op::Affine { scale: random(8), shift: random(8) };
    let small = network.push("affine", affine, &[small]);
    let grown = network.push("up", Op::Upsample(2), &[small]);
    let sum = network.push("sum", Op::Add, &[x, grown]);
    let relu = network.push("relu", Op::Relu, &[sum]);
    let both = network.push("both", Op::Concat, &[relu, x]);
    let score = network.push("score", Op::Sigmoid, &[both]);
    let row = network.push("row", Op::Flatten, &[relu]);
    let linear = Op::Linear { weight: random(5 * 8 * 64), bias: random(5) };
    let embedding = network.push("linear", linear, &[row]);
    network.output("score_8", score);
    network.output("embedding", embedding);
    network
}

#[test]
fn every_layer_comes_back_from_a_file() {
    let network = every_layer();
    assert_eq!(import(&export(&network, 16, 16).unwrap()).unwrap(), network);
}

#[test]
fn an_output_may_have_the_name_of_a_layer() {
    let mut network = every_layer();
    network.layers[9].name = "score_8".to_owned();
    let mut read = import(&export(&network, 16, 16).unwrap()).unwrap();
    assert_eq!(read.layers[9].name, "score_8.value");
    read.layers[9].name = "score_8".to_owned();
    assert_eq!(read, network);
}

#[test]
fn a_row_where_a_map_is_needed_is_refused() {
    let mut network = every_layer();
    let row = network.outputs[1].value;
    network.push("odd", Op::Moments, &[row]);
    let message = export(&network, 16, 16).unwrap_err().to_string();
    assert!(message.contains("`odd`") && message.contains("rows"), "{message}");
}

proptest! {
    #[test]
    fn a_corrupt_file_is_an_error_or_a_valid_network(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        // Small weights, so that most changes hit the structure.
        let mut network = every_layer();
        network.layers.truncate(8);
        network.outputs.clear();
        network.output("sum", ValueId(8));
        let mut bytes = export(&network, 16, 16).unwrap();
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        for (place, value) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
        }
        if let Ok(network) = import(&bytes) {
            prop_assert!(network.validate().is_ok());
        }
    }

    #[test]
    fn noise_is_an_error_or_a_network_that_fits(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(network) = import(&bytes) {
            prop_assert!(network.validate().is_ok());
        }
    }
}
