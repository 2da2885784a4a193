//! The described networks have the sizes, taps and repeatability that the rest relies on.
#![allow(clippy::unwrap_used)]

use facefold_core::Fingerprint;
use facefold_engine::{Network, Op, Shape};
use facefold_vision::networks::{
    Architecture, Untrained, add_backbone_taps, add_network, backbone_taps,
};

fn untrained(architecture: Architecture) -> Network {
    architecture.build(&mut Untrained { seed: 7 })
}

fn parameters(network: &Network) -> usize {
    let tensors = network.layers.iter().flat_map(|layer| layer.op.tensors());
    tensors.map(|(_, _, values)| values.len()).sum()
}

/// The published files hold their parameters, four bytes each, and some ten kilobytes of names.
#[test]
fn parameter_counts_are_those_of_the_published_networks() {
    let counts = Architecture::ALL.map(|architecture| parameters(&untrained(architecture)));
    // w600k_mbf.onnx is 13,616,099 bytes.
    assert!((13_616_099 - 4 * counts[0] as i64).abs() < 30_000, "{}", 4 * counts[0]);
    // w600k_r50.onnx is 174,383,860 bytes.
    assert!((174_383_860 - 4 * counts[3] as i64).abs() < 100_000, "{}", 4 * counts[3]);
    assert!(counts[1] < counts[2] && counts[2] < counts[3] && counts[3] < counts[4]);
}

#[test]
fn every_network_embeds_a_crop_in_512_values() {
    for architecture in Architecture::ALL {
        let network = untrained(architecture);
        let shapes = network.shapes(112, 112).unwrap();
        let embedding = shapes[network.outputs[0].value.0];
        assert_eq!(embedding, Shape { channels: 512, height: 1, width: 1 }, "{architecture}");
    }
}

#[test]
fn taps_are_the_last_two_sums_and_the_last_map() {
    let taps = |architecture| {
        let mut network = untrained(architecture);
        let maps = backbone_taps(&network).unwrap();
        let shapes = network.shapes(112, 112).unwrap();
        let mut found: Vec<(String, usize)> = Vec::new();
        for shape in maps.iter().map(|map| shapes[map.0].to_string()) {
            match found.last_mut() {
                Some((last, count)) if *last == shape => *count += 1,
                _ => found.push((shape, 1)),
            }
        }
        add_backbone_taps(&mut network).unwrap();
        let shapes = network.shapes(112, 112).unwrap();
        let found: Vec<_> = found.iter().map(|(shape, count)| format!("{count} {shape}")).collect();
        (found.join(", "), shapes[network.outputs[1].value.0].channels)
    };
    let expected = "2 256x7x7, 1 512x7x7".to_owned();
    assert_eq!(taps(Architecture::MobileFaceNet), (expected, 2 * (256 + 256 + 512)));
    for iresnet in [Architecture::IResNet18, Architecture::IResNet50, Architecture::IResNet100] {
        assert_eq!(taps(iresnet), ("3 512x7x7".to_owned(), 2 * 3 * 512));
    }
}

#[test]
fn a_network_without_residual_sums_has_no_taps() {
    let mut network = untrained(Architecture::MobileFaceNet);
    network.layers.truncate(6);
    network.outputs.clear();
    let message = backbone_taps(&network).unwrap_err().to_string();
    assert!(message.contains("mobilefacenet") && message.contains("residual sums"), "{message}");
}

#[test]
fn a_fingerprint_sees_weights_and_not_names_or_taps() {
    let of = |network: &Network| add_network(Fingerprint::builder(), "embedding", network).finish();
    let network = untrained(Architecture::MobileFaceNet);
    let mut other = network.clone();
    other.name = "w600k_mbf".to_owned();
    other.layers[0].name = "517".to_owned();
    add_backbone_taps(&mut other).unwrap();
    assert_eq!(of(&network), of(&other));
    if let Op::PRelu(slope) = &mut other.layers[1].op {
        slope[3] += 1e-6;
    }
    assert_ne!(of(&network), of(&other));
}

#[test]
fn untrained_weights_repeat_by_seed() {
    let seeded = |seed| Architecture::MobileFaceNet.build(&mut Untrained { seed });
    assert_eq!(seeded(7), untrained(Architecture::MobileFaceNet));
    assert_ne!(seeded(8), seeded(7));
}

#[test]
fn names_read_back() {
    for architecture in Architecture::ALL {
        assert_eq!(architecture.to_string().parse(), Ok(architecture));
    }
    let error = "resnet".parse::<Architecture>().unwrap_err().to_string();
    assert!(error.contains("`resnet`") && error.contains("iresnet18"), "{error}");
}

#[test]
fn described_networks_come_back_from_a_file() {
    for architecture in [Architecture::MobileFaceNet, Architecture::IResNet18] {
        let network = architecture.build(&mut Untrained { seed: 2 });
        assert_eq!(
            facefold_onnx::import(&facefold_onnx::export(&network, 112, 112).unwrap()).unwrap(),
            network
        );
    }
}
