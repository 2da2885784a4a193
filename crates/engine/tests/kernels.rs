//! Every kernel that this machine has, in every precision, against the reference executor.

use facefold_engine::{
    ByteImages, Convolution, Engine, EngineError, Executor, Images, Kernel, Network, Op, Precision,
    Reference, Shape, Tensor, ValueId,
};
use proptest::prelude::{ProptestConfig, Strategy, prop_assert, proptest};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Largest error against the reference, as a share of the output's largest value.
fn tolerance(precision: Precision) -> f32 {
    match precision {
        // Sums of up to a few thousand products in another order: some 2^-24 for each, with
        // random signs.
        Precision::F32 => 1e-5,
        // Each factor keeps 16 bits: 2^-17 a factor, and the dropped product 2^-18.
        Precision::Bf16x3 => 1e-4,
        // Each factor keeps 8 bits: 2^-9 a factor, over as many layers as the network has.
        Precision::Bf16 => 5e-2,
    }
}

/// The kernels and precisions of this machine, each pair that computes something of its own.
fn engines(network: &Network) -> Result<Vec<Engine>, EngineError> {
    let mut engines = Vec::new();
    for kernel in Kernel::available() {
        for precision in [Precision::F32, Precision::Bf16x3, Precision::Bf16] {
            if precision.on(kernel) == precision
                && (kernel, precision) != (Kernel::Amx, Precision::F32)
            {
                engines.push(Engine::new(network, precision, kernel)?);
            }
        }
    }
    Ok(engines)
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn numbers(&mut self, count: usize, limit: f32) -> Vec<f32> {
        (0..count).map(|_| self.0.random_range(-limit..limit)).collect()
    }

    /// A convolution whose outputs are about as large as its inputs.
    fn convolution(&mut self, geometry: Geometry) -> Op {
        let Geometry { inputs, outputs, kernel, stride, padding, groups } = geometry;
        let depth = inputs / groups * kernel[0] * kernel[1];
        Op::Convolution(Convolution {
            weight: self.numbers(outputs * depth, (3.0 / depth as f32).sqrt()),
            bias: self.numbers(outputs, 0.1),
            input_channels: inputs,
            output_channels: outputs,
            kernel,
            stride,
            padding,
            groups,
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Geometry {
    inputs: usize,
    outputs: usize,
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
    groups: usize,
}

fn square(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Geometry {
    Geometry { inputs, outputs, kernel: [kernel; 2], stride, padding: kernel / 2, groups: 1 }
}

fn compare(network: &Network, shape: Shape, count: usize, seed: u64) -> Result<(), String> {
    let pictures = Draw::new(seed ^ 0x5eed).numbers(count * shape.size(), 1.0);
    let images = Images { data: &pictures, count, shape };
    let expected = Reference::new(network).run(images).map_err(|error| error.to_string())?;
    for engine in engines(network).map_err(|error| error.to_string())? {
        let found = engine.run(images).map_err(|error| error.to_string())?;
        check(&engine.describe(), &expected, &found, engine.precision())?;
        // Each picture alone gives the same bits as in the batch.
        for (i, picture) in pictures.chunks_exact(shape.size()).enumerate() {
            let alone = engine
                .run(Images { data: picture, count: 1, shape })
                .map_err(|error| error.to_string())?;
            for (alone, together) in alone.iter().zip(&found) {
                let size = together.shape.size();
                let part = &together.data[i * size..][..size];
                if alone.data.iter().zip(part).any(|(a, b)| a.to_bits() != b.to_bits()) {
                    return Err(format!("{}: picture {i} depends on its batch", engine.describe()));
                }
            }
        }
    }
    Ok(())
}

fn check(
    name: &str,
    expected: &[Tensor],
    found: &[Tensor],
    precision: Precision,
) -> Result<(), String> {
    let tolerance = tolerance(precision);
    // Rounding errors grow with the terms of a sum, which are drawn of order 1, and not with what
    // is left where they cancel. With 8 bits of mantissa that shows: a single small output of a
    // chain is measured against 0.1.
    let least = if precision == Precision::Bf16 { 0.1 } else { 1e-3 };
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        if (expected.shape, expected.count) != (found.shape, found.count) {
            return Err(format!("{name}: expected {}, found {}", expected.shape, found.shape));
        }
        let scale = expected.data.iter().fold(least, |scale: f32, v| scale.max(v.abs()));
        for (i, (&want, &got)) in expected.data.iter().zip(&found.data).enumerate() {
            let error = (want - got).abs() / scale;
            if error.is_nan() || error > tolerance {
                return Err(format!(
                    "{name}, output {index}, value {i}: expected {want}, found {got}: {error:e} of \
                     the largest value"
                ));
            }
        }
    }
    Ok(())
}

fn geometry() -> impl Strategy<Value = (Geometry, Shape, usize, u64)> {
    let kernel = (1_usize..=5, 1_usize..=5);
    let sides = (1_usize..=24, 1_usize..=24);
    // Depthwise, pairs, four groups, one group.
    let kind = 0_usize..4;
    (
        kind,
        1_usize..=70,
        1_usize..=70,
        kernel,
        1_usize..=3,
        0_usize..=2,
        sides,
        1_usize..=4,
        0_u64..1 << 32,
    )
        .prop_map(|(kind, a, b, kernel, stride, padding, sides, count, seed)| {
            let (inputs, outputs, groups) = match kind {
                0 => (a, a, a),
                1 => (2 * a, 2 * a, a),
                2 => (4 * (a / 4 + 1), 4 * (b / 4 + 1), 4),
                _ => (a, b, 1),
            };
            let kernel = [kernel.0, kernel.1];
            let height = sides.0.max(kernel[0].saturating_sub(2 * padding)).max(1);
            let width = sides.1.max(kernel[1].saturating_sub(2 * padding)).max(1);
            let geometry = Geometry { inputs, outputs, kernel, stride, padding, groups };
            (geometry, Shape { channels: inputs, height, width }, count, seed)
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Fewer for the tools that watch every access to memory.
        cases: std::env::var("PROPTEST_CASES").map_or(96, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// One convolution with what is computed along with it.
    #[test]
    fn convolutions_agree(
        (geometry, shape, count, seed) in geometry(),
        activation in 0..3,
        residual: bool,
        affine: bool,
    ) {
        let mut draw = Draw::new(seed);
        let mut network = Network::new("convolution", shape.channels);
        let other = network.push("other", draw.convolution(geometry), &[ValueId::INPUT]);
        let mut x = network.push("layer", draw.convolution(geometry), &[ValueId::INPUT]);
        x = match activation {
            0 => x,
            1 => network.push("relu", Op::Relu, &[x]),
            _ => network.push("prelu", Op::PRelu(draw.numbers(geometry.outputs, 0.5)), &[x]),
        };
        if residual {
            x = network.push("sum", Op::Add, &[x, other]);
            x = network.push("relu", Op::Relu, &[x]);
        }
        if affine {
            let op = Op::Affine {
                scale: draw.numbers(geometry.outputs, 1.0),
                shift: draw.numbers(geometry.outputs, 0.5),
            };
            let scaled = network.push("affine", op, &[x]);
            network.output("scaled", scaled);
        }
        network.output("x", x);
        let outcome = compare(&network, shape, count, seed);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }

    /// 3x3 windows one pixel apart over channels enough for the form with fewer products: whole and
    /// cut tiles of two by two outputs, in blocks that do and do not end with a picture.
    #[test]
    fn winograd_convolutions_agree(
        (inputs, outputs, padding) in (16_usize..=80, 16_usize..=80, 0_usize..=2),
        sides in (3_usize..=23, 3_usize..=23),
        count in 1_usize..=5,
        seed in 0_u64..1 << 32,
    ) {
        let mut draw = Draw::new(seed);
        let mut network = Network::new("short", inputs);
        let geometry = Geometry { padding, ..square(inputs, outputs, 3, 1) };
        let x = network.push("first", draw.convolution(geometry), &[ValueId::INPUT]);
        let x = network.push("prelu", Op::PRelu(draw.numbers(outputs, 0.5)), &[x]);
        let y = network.push("second", draw.convolution(square(outputs, outputs, 3, 1)), &[x]);
        let sum = network.push("sum", Op::Add, &[y, x]);
        network.output("sum", sum);
        network.output("x", x);
        let shape = Shape { channels: inputs, height: sides.0, width: sides.1 };
        let outcome = compare(&network, shape, count, seed);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }

    /// Chains: one layer's padding and channels meet the next one's windows.
    #[test]
    fn chains_agree(
        channels in proptest::collection::vec(1_usize..=40, 2..5),
        kernels in proptest::collection::vec((0_usize..=2, 1_usize..=2, 0_usize..3), 4),
        sides in (5_usize..=20, 5_usize..=20),
        count in 1_usize..=3,
        seed in 0_u64..1 << 32,
    ) {
        let mut draw = Draw::new(seed);
        let mut network = Network::new("chain", 3);
        let (mut x, mut inputs) = (ValueId::INPUT, 3);
        for (&outputs, &(kernel, stride, kind)) in channels.iter().zip(&kernels) {
            let dense = square(inputs, outputs, 2 * kernel + 1, stride);
            x = network.push("dense", draw.convolution(dense), &[x]);
            x = network.push("prelu", Op::PRelu(draw.numbers(outputs, 0.5)), &[x]);
            if kind > 0 {
                let depthwise = Geometry { groups: outputs, ..square(outputs, outputs, 3, kind) };
                x = network.push("depthwise", draw.convolution(depthwise), &[x]);
            }
            inputs = outputs;
        }
        network.add_taps(&[x]);
        network.output("x", x);
        let shape = Shape { channels: 3, height: sides.0, width: sides.1 };
        let outcome = compare(&network, shape, count, seed);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}

/// The first steps run picture by picture and the rest, from the first heavy layer on, for a block
/// of pictures: maps of one shape that are read on both sides must not take each other's memory.
#[test]
fn maps_read_after_the_heavy_layer_agree() {
    let mut draw = Draw::new(3);
    let mut network = Network::new("late", 3);
    let mut x = network.push("stem", draw.convolution(square(3, 32, 3, 1)), &[ValueId::INPUT]);
    let mut maps = vec![x];
    for _ in 0..4 {
        let y = network.push("first", draw.convolution(square(32, 32, 3, 1)), &[x]);
        let y = network.push("prelu", Op::PRelu(draw.numbers(32, 0.3)), &[y]);
        let y = network.push("second", draw.convolution(square(32, 32, 3, 1)), &[y]);
        x = network.push("sum", Op::Add, &[y, x]);
        maps.push(x);
    }
    // 256 x 32 x 3 x 3 weights on 7 x 6 pixels: heavier than its values.
    let heavy = network.push("heavy", draw.convolution(square(32, 256, 3, 2)), &[x]);
    network.output("heavy", heavy);
    for pair in [[0, 1], [1, 3], [2, 4]] {
        let sum = network.push("late", Op::Add, &pair.map(|map| maps[map]));
        let late = network.push("conv", draw.convolution(square(32, 8, 1, 1)), &[sum]);
        network.output("late", late);
    }
    let shape = Shape { channels: 3, height: 7, width: 6 };
    compare(&network, shape, 11, 3).unwrap();
}

/// A residual network like IResNet, to its flattened end, with taps.
#[test]
fn a_residual_network_agrees() {
    let mut draw = Draw::new(1);
    let mut network = Network::new("residual", 3);
    let stem = network.push("stem", draw.convolution(square(3, 32, 3, 1)), &[ValueId::INPUT]);
    let mut x = network.push("stem.prelu", Op::PRelu(draw.numbers(32, 0.3)), &[stem]);
    let mut taps = Vec::new();
    for (inputs, outputs, stride) in [(32, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)] {
        let affine =
            Op::Affine { scale: draw.numbers(inputs, 1.0), shift: draw.numbers(inputs, 0.5) };
        let y = network.push("bn", affine, &[x]);
        let y = network.push("first", draw.convolution(square(inputs, outputs, 3, 1)), &[y]);
        let y = network.push("prelu", Op::PRelu(draw.numbers(outputs, 0.3)), &[y]);
        let y = network.push("second", draw.convolution(square(outputs, outputs, 3, stride)), &[y]);
        let shortcut = if stride == 2 {
            network.push("shortcut", draw.convolution(square(inputs, outputs, 1, 2)), &[x])
        } else {
            x
        };
        x = network.push("sum", Op::Add, &[y, shortcut]);
        taps.push(x);
    }
    let affine = Op::Affine { scale: draw.numbers(64, 1.0), shift: draw.numbers(64, 0.5) };
    let y = network.push("bn", affine, &[x]);
    let y = network.push("flatten", Op::Flatten, &[y]);
    let linear =
        Op::Linear { weight: draw.numbers(50 * 64 * 30, 0.03), bias: draw.numbers(50, 0.1) };
    let y = network.push("fc", linear, &[y]);
    let affine = Op::Affine { scale: draw.numbers(50, 1.0), shift: draw.numbers(50, 0.5) };
    let y = network.push("bn", affine, &[y]);
    network.output("embedding", y);
    network.add_taps(&taps);
    let shape = Shape { channels: 3, height: 20, width: 24 };
    compare(&network, shape, 19, 1).unwrap();
}

/// Pictures whose values are larger than the cache: their steps are computed some rows at a time.
#[test]
fn a_large_picture_agrees() {
    let mut draw = Draw::new(4);
    let mut network = Network::new("large", 3);
    let relu = |network: &mut Network, x| network.push("relu", Op::Relu, &[x]);
    let depthwise = |stride| Geometry { groups: 20, ..square(20, 20, 3, stride) };
    let x = network.push("stem", draw.convolution(square(3, 20, 3, 2)), &[ValueId::INPUT]);
    let first = relu(&mut network, x);
    let x = network.push("dw", draw.convolution(depthwise(1)), &[first]);
    let x = relu(&mut network, x);
    let x = network.push("pw", draw.convolution(square(20, 20, 1, 1)), &[x]);
    let second = network.push("sum", Op::Add, &[x, first]);
    let x = network.push("3x3", draw.convolution(square(20, 20, 3, 1)), &[second]);
    let third = network.push("sum", Op::Add, &[x, second]);
    let x = network.push("dw", draw.convolution(depthwise(1)), &[third]);
    let x = network.push("pw", draw.convolution(square(20, 20, 1, 1)), &[x]);
    // Must not take the place of the other value: windows of the next rows still see it.
    let fourth = network.push("sum", Op::Add, &[x, third]);
    let x = network.push("dw", draw.convolution(depthwise(2)), &[fourth]);
    let x = network.push("pw", draw.convolution(square(20, 40, 1, 1)), &[x]);
    network.output("x", x);
    network.add_taps(&[second, third]);
    compare(&network, Shape { channels: 3, height: 277, width: 301 }, 2, 4).unwrap();
}

/// Depthwise and pointwise layers with ReLU between them, in widths that are and are not whole
/// tiles, in pictures that are computed some rows at a time and in such that are not; the values
/// of one picture must not show in the next.
#[test]
fn blocks_of_a_mobile_network_agree() {
    let mut draw = Draw::new(7);
    let mut network = Network::new("mobile", 3);
    let relu = |network: &mut Network, x| network.push("relu", Op::Relu, &[x]);
    let x = network.push("stem", draw.convolution(square(3, 16, 3, 2)), &[ValueId::INPUT]);
    let mut x = relu(&mut network, x);
    for (inputs, outputs, stride) in [(16, 16, 1), (16, 40, 2), (40, 40, 1), (40, 72, 2)] {
        let depthwise = Geometry { groups: inputs, ..square(inputs, inputs, 3, stride) };
        x = network.push("dw", draw.convolution(depthwise), &[x]);
        x = relu(&mut network, x);
        x = network.push("pw", draw.convolution(square(inputs, outputs, 1, 1)), &[x]);
        x = relu(&mut network, x);
    }
    let narrow = network.push("narrow", draw.convolution(square(72, 16, 1, 1)), &[x]);
    let depthwise = Geometry { groups: 72, ..square(72, 72, 3, 2) };
    let x = network.push("dw", draw.convolution(depthwise), &[x]);
    network.output("narrow", narrow);
    network.output("x", x);
    for (height, width) in [(20, 24), (40, 64), (70, 66), (277, 301), (320, 320)] {
        compare(&network, Shape { channels: 3, height, width }, 2, 4).unwrap();
    }
}

/// A detector's neck and head: pools, upsampling, sums of values in either order, concatenation.
#[test]
fn a_detector_agrees() {
    let mut draw = Draw::new(2);
    let mut network = Network::new("detector", 3);
    let stem = network.push("stem", draw.convolution(square(3, 28, 3, 2)), &[ValueId::INPUT]);
    let stem = network.push("relu", Op::Relu, &[stem]);
    let pool = Op::MaxPool { kernel: 3, stride: 2, padding: 1, ceil: false };
    let fine = network.push("pool", pool, &[stem]);
    let pool = Op::AveragePool { kernel: 2, stride: 2, padding: 0, ceil: true };
    let coarse = network.push("average", pool, &[fine]);
    let coarse = network.push("conv", draw.convolution(square(28, 16, 1, 1)), &[coarse]);
    let up = network.push("up", Op::Upsample(2), &[coarse]);
    let lateral = network.push("lateral", draw.convolution(square(28, 16, 1, 1)), &[fine]);
    let sum = network.push("sum", Op::Add, &[lateral, up]);
    let both = network.push("both", Op::Concat, &[sum, fine]);
    let head = network.push("head", draw.convolution(square(44, 8, 3, 1)), &[both]);
    let score = network.push("score", Op::Sigmoid, &[head]);
    network.output("score", score);
    network.output("box", head);
    network.output("picture", ValueId::INPUT);
    // Three on one map, which are computed as one; an activation takes a part of it.
    for (index, outputs) in [2, 8, 20].into_iter().enumerate() {
        let value = network.push("three", draw.convolution(square(44, outputs, 3, 1)), &[both]);
        let sigmoid = network.push("sigmoid", Op::Sigmoid, &[value]);
        network.output("three", if index == 1 { sigmoid } else { value });
    }
    compare(&network, Shape { channels: 3, height: 24, width: 32 }, 3, 2).unwrap();
}

/// Bytes are scaled on the way into the first layer, to the bit as if they had been scaled before:
/// where only windows of the picture are read, where its pixels are padded for others, and where
/// it is staged some rows at a time; where one bf16 number holds what becomes of a byte, and where
/// it takes two.
#[test]
fn pictures_in_bytes_agree_to_the_bit() {
    let mut draw = Draw::new(6);
    let cases = [(21, false), (21, true), (330, false)];
    for ((side, read_as_it_is), scale) in
        cases.into_iter().flat_map(|case| [(case, 1.0 / 127.5), (case, 1.0 / 128.0)])
    {
        let mut network = Network::new("bytes", 3);
        let mut x = ValueId::INPUT;
        for (inputs, outputs, stride) in [(3, 16, 2), (16, 24, 1), (24, 16, 1)] {
            x = network.push("conv", draw.convolution(square(inputs, outputs, 3, stride)), &[x]);
        }
        network.output("x", x);
        if read_as_it_is {
            network.output("picture", ValueId::INPUT);
        }
        let shape = Shape { channels: 3, height: side + 3, width: side };
        let data: Vec<u8> = (0..2 * shape.size()).map(|_| draw.0.random()).collect();
        let bytes = ByteImages { data: &data, count: 2, shape, mean: 127.5, scale };
        let scaled = bytes.scaled();
        for engine in engines(&network).unwrap() {
            let expected = engine.run(Images { data: &scaled, count: 2, shape }).unwrap();
            assert_eq!(engine.run_bytes(bytes).unwrap(), expected, "{}", engine.describe());
            let short = ByteImages { count: 3, ..bytes };
            assert!(matches!(engine.run_bytes(short), Err(EngineError::Batch { .. })));
            let unscaled = ByteImages { scale: f32::INFINITY, ..bytes };
            assert!(matches!(engine.run_bytes(unscaled), Err(EngineError::NotFinite { .. })));
        }
        assert_eq!(
            Reference::new(&network).run_bytes(bytes).unwrap(),
            Reference::new(&network).run(Images { data: &scaled, count: 2, shape }).unwrap()
        );
    }
}

/// A picture that is refused halfway through leaves nothing behind for the next.
#[test]
fn a_refused_picture_does_not_change_the_next_result() {
    let mut draw = Draw::new(5);
    let mut network = Network::new("large", 3);
    let mut x = ValueId::INPUT;
    for (inputs, outputs, stride) in [(3, 16, 2), (16, 24, 1), (24, 16, 1)] {
        x = network.push("conv", draw.convolution(square(inputs, outputs, 3, stride)), &[x]);
        x = network.push("relu", Op::Relu, &[x]);
    }
    network.output("x", x);
    let shape = Shape { channels: 3, height: 300, width: 310 };
    let good = draw.numbers(shape.size(), 1.0);
    let mut bad = good.clone();
    bad[shape.size() / 2] = f32::INFINITY;
    for engine in engines(&network).unwrap() {
        let run = |data: &[f32]| engine.run(Images { data, count: 1, shape });
        let before = run(&good).unwrap();
        assert!(matches!(run(&bad), Err(EngineError::NotFinite { picture: 0 })));
        let two = [good.clone(), bad.clone()].concat();
        let refused = engine.run(Images { data: &two, count: 2, shape });
        assert!(matches!(refused, Err(EngineError::NotFinite { picture: 1 })));
        assert_eq!(run(&good).unwrap(), before, "{}", engine.describe());
    }
}

#[test]
fn pictures_of_mismatched_size_are_refused() {
    let mut draw = Draw::new(3);
    let mut network = Network::new("small", 3);
    let x = network.push("conv", draw.convolution(square(3, 4, 3, 1)), &[ValueId::INPUT]);
    let linear = Op::Linear { weight: draw.numbers(2 * 4 * 4, 1.0), bias: vec![0.0; 2] };
    let y = network.push("flatten", Op::Flatten, &[x]);
    let y = network.push("fc", linear, &[y]);
    network.output("y", y);
    for engine in engines(&network).unwrap() {
        let run = |data: &[f32], shape| engine.run(Images { data, count: 1, shape });
        let shape = Shape { channels: 3, height: 2, width: 2 };
        assert!(run(&[0.5; 12], shape).is_ok());
        let message = run(&[f32::NAN; 12], shape).unwrap_err().to_string();
        assert!(message.contains("picture 0"), "{message}");
        let message = run(&[0.5; 27], Shape { height: 3, width: 3, ..shape }).unwrap_err();
        assert!(message.to_string().contains("`fc`"), "{message}");
    }
}
