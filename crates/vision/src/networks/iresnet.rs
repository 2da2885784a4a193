//! The improved residual networks of ArcFace (Deng et al. 2019, arXiv:1801.07698).
//!
//! `arcface_torch/backbones/iresnet.py` as an exported ONNX file has it: the batch normalisation
//! before a block stays (zero padding forbids folding it forward), those behind convolutions are
//! folded into them.

use facefold_engine::{Op, ValueId};

use super::{Builder, Geometry, Role};

pub fn build(network: &mut Builder<'_>, blocks: [usize; 4]) -> ValueId {
    let stem = Geometry { input: 3, output: 64, kernel: 3, stride: 1, groups: 1 };
    let stem = network.convolution(ValueId::INPUT, Role::Activated, stem);
    let mut x = network.prelu(stem, 64);
    let mut channels = 64;
    for (blocks, output) in blocks.into_iter().zip([64, 128, 256, 512]) {
        for block in 0..blocks {
            let stride = if block == 0 { 2 } else { 1 };
            x = residual_block(network, x, channels, output, stride);
            channels = output;
        }
    }
    x = network.affine(x, channels);
    network.embedding(x, channels * 7 * 7)
}

fn residual_block(
    network: &mut Builder<'_>,
    x: ValueId,
    input: usize,
    output: usize,
    stride: usize,
) -> ValueId {
    let branch = network.affine(x, input);
    let widening = Geometry { input, output, kernel: 3, stride: 1, groups: 1 };
    let branch = network.convolution(branch, Role::Activated, widening);
    let branch = network.prelu(branch, output);
    let shrinking = Geometry { input: output, output, kernel: 3, stride, groups: 1 };
    let branch = network.convolution(branch, Role::Residual, shrinking);
    let identity = if stride == 1 {
        x
    } else {
        let shortcut = Geometry { stride, ..Geometry::pointwise(input, output) };
        network.convolution(x, Role::Linear, shortcut)
    };
    network.push(Op::Add, &[branch, identity])
}
