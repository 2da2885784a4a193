//! Every operation against the plain executor, with the CPU's kernels and with portable ones.

use candle_core::Device;
use facefold_core::rng::seeded;
use facefold_engine::{Convolution, Executor, Images, Network, Op, Reference, Shape, ValueId};
use rand::Rng;

use super::{CandleExecutor, Kernels};

fn random(count: usize, purpose: &str) -> Vec<f32> {
    let mut generator = seeded(3, purpose);
    (0..count).map(|_| generator.random_range(-1.0..1.0)).collect()
}

fn convolution(
    [input_channels, output_channels, groups]: [usize; 3],
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
) -> Op {
    let count = output_channels * input_channels / groups * kernel[0] * kernel[1];
    let purpose = format!("{output_channels} {groups} {kernel:?} {stride}");
    Op::Convolution(Convolution {
        weight: random(count, &purpose),
        bias: random(output_channels, &purpose),
        input_channels,
        output_channels,
        kernel,
        stride,
        padding,
        groups,
    })
}

/// The largest difference from the plain executor over all outputs, for a batch of two, relative
/// to the output's largest value or to 1.
fn difference(network: &Network, side: [usize; 2], kernels: Kernels) -> f32 {
    let shape = Shape { channels: network.input_channels, height: side[0], width: side[1] };
    let data = random(2 * shape.size(), "pictures");
    let images = Images { data: &data, count: 2, shape };
    let candle = CandleExecutor::with_kernels(network, &Device::Cpu, kernels).unwrap();
    let found = candle.run(images).unwrap();
    let expected = Reference::new(network).run(images).unwrap();
    assert_eq!(found.len(), expected.len());
    let mut largest = 0.0_f32;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.count, found.shape), (expected.count, expected.shape));
        assert_eq!(found.data.len(), expected.data.len());
        let size = expected.data.iter().fold(1.0, |size: f32, value| size.max(value.abs()));
        for (a, b) in found.data.iter().zip(&expected.data) {
            largest = largest.max((a - b).abs() / size);
        }
    }
    largest
}

fn assert_agrees(name: &str, network: &Network, side: [usize; 2]) {
    for kernels in [Kernels::Cpu, Kernels::Portable] {
        let difference = difference(network, side, kernels);
        assert!(difference < 1e-5, "{name}, {kernels:?}: off by {difference}");
    }
}

fn single(op: Op, input_channels: usize) -> Network {
    let mut network = Network::new("single", input_channels);
    let value = network.push("layer", op, &[ValueId::INPUT]);
    network.output("value", value);
    network
}

#[test]
fn convolutions_agree_with_the_definition() {
    for (name, op) in [
        ("pointwise", convolution([8, 6, 1], [1, 1], 1, 0)),
        ("pointwise, stride 2", convolution([8, 6, 1], [1, 1], 2, 0)),
        ("dense", convolution([8, 6, 1], [3, 3], 1, 1)),
        ("dense, stride 2", convolution([8, 6, 1], [3, 3], 2, 1)),
        ("dense, no padding, not square", convolution([8, 6, 1], [3, 1], 1, 0)),
        ("depthwise", convolution([8, 8, 8], [3, 3], 1, 1)),
        ("depthwise, stride 2", convolution([8, 8, 8], [3, 3], 2, 1)),
        ("depthwise, five by five", convolution([8, 8, 8], [5, 5], 1, 2)),
        ("depthwise, stride 3", convolution([8, 8, 8], [3, 3], 3, 0)),
        ("groups of two", convolution([8, 8, 4], [3, 3], 1, 1)),
        ("groups that widen", convolution([8, 16, 4], [3, 3], 2, 1)),
    ] {
        let network = single(op, 8);
        assert_agrees(name, &network, [9, 12]);
        assert_agrees(name, &network, [8, 7]);
    }
}

#[test]
fn a_map_of_several_strips_of_patches_agrees() {
    let network = single(convolution([64, 4, 1], [3, 3], 1, 1), 64);
    assert_agrees("strips", &network, [40, 40]);
}

#[test]
fn layers_without_kernels_agree_with_the_definition() {
    let pool = |kernel, stride, padding, ceil| Op::MaxPool { kernel, stride, padding, ceil };
    let mean = |kernel, stride, padding, ceil| Op::AveragePool { kernel, stride, padding, ceil };
    for op in [
        Op::PRelu(random(5, "slope")),
        Op::Relu,
        Op::Sigmoid,
        Op::Affine { scale: random(5, "scale"), shift: random(5, "shift") },
        Op::Upsample(2),
        pool(3, 2, 1, false),
        pool(2, 2, 0, true),
        mean(2, 2, 0, true),
        mean(3, 2, 1, true),
        mean(3, 1, 1, false),
        Op::Flatten,
        Op::Moments,
    ] {
        let name = format!("{op:?}");
        assert_agrees(&name, &single(op, 5), [7, 10]);
    }
}

/// A value that is read again later, or is an output, must survive the layers that could compute
/// in place.
#[test]
fn values_survive_until_their_last_use() {
    let mut network = Network::new("branches", 4);
    let x = network.push("conv", convolution([4, 4, 1], [3, 3], 1, 1), &[ValueId::INPUT]);
    let row = network.push("flat", Op::Flatten, &[x]);
    let one = network.push("one", Op::Concat, &[x]);
    let y = network.push("prelu", Op::PRelu(random(4, "slope")), &[x]);
    let affine = Op::Affine { scale: random(4, "scale"), shift: random(4, "shift") };
    let z = network.push("affine", affine, &[y]);
    let sum = network.push("sum", Op::Add, &[y, z]);
    let twice = network.push("twice", Op::Add, &[sum, sum]);
    let all = network.push("all", Op::Concat, &[one, twice, z]);
    let weight = random(7 * 4 * 30, "weight");
    let linear = Op::Linear { weight, bias: random(7, "bias") };
    let linear = network.push("linear", linear, &[row]);
    network.output("sum", sum);
    network.output("all", all);
    network.output("linear", linear);
    network.output("picture", ValueId::INPUT);
    assert_agrees("branches", &network, [5, 6]);
}

#[test]
fn taps_agree_with_the_definition() {
    let mut network = Network::new("taps", 3);
    let x = network.push("conv", convolution([3, 8, 1], [3, 3], 2, 1), &[ValueId::INPUT]);
    let y = network.push("prelu", Op::PRelu(random(8, "slope")), &[x]);
    network.output("map", y);
    network.add_taps(&[x, y]);
    assert_agrees("two taps", &network, [12, 12]);
}

#[test]
fn a_batch_that_does_not_hold_its_pictures_is_refused() {
    let network = single(Op::Relu, 3);
    let executor = CandleExecutor::new(&network, &Device::Cpu).unwrap();
    let shape = Shape { channels: 3, height: 4, width: 4 };
    let error = executor.run(Images { data: &[0.0; 50], count: 1, shape }).unwrap_err();
    assert!(error.to_string().contains("48") && error.to_string().contains("50"), "{error}");
}

/// The same bits alone, in batches, from a pool of any size and from several threads at once.
#[test]
fn bits_do_not_depend_on_batch_or_threads() {
    let mut network = Network::new("bits", 3);
    let x = network.push("stem", convolution([3, 64, 1], [3, 3], 1, 1), &[ValueId::INPUT]);
    let x = network.push("pointwise", convolution([64, 96, 1], [1, 1], 1, 0), &[x]);
    let x = network.push("dense", convolution([96, 96, 1], [3, 3], 2, 1), &[x]);
    let x = network.push("flatten", Op::Flatten, &[x]);
    let weight = random(128 * 96 * 24 * 24, "weight");
    let linear = Op::Linear { weight, bias: random(128, "bias") };
    let x = network.push("linear", linear, &[x]);
    network.output("embedding", x);
    let executor = CandleExecutor::new(&network, &Device::Cpu).unwrap();
    let shape = Shape { channels: 3, height: 48, width: 48 };
    let data = random(8 * shape.size(), "pictures");
    let run = |data: &[f32]| {
        let images = Images { data, count: data.len() / shape.size(), shape };
        executor.run(images).unwrap().remove(0).data
    };
    let alone: Vec<f32> = data.chunks(shape.size()).flat_map(run).collect();
    for batch in [3, 8] {
        let batched: Vec<f32> = data.chunks(batch * shape.size()).flat_map(run).collect();
        assert_eq!(batched, alone, "batches of {batch}");
    }
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| run(&data)), alone, "a pool of {threads}");
    }
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| run(&data))).collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), alone);
        }
    });
}
