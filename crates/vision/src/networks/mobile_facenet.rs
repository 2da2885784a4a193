//! MobileFaceNet (Chen et al. 2018, arXiv:1804.07573) as in InsightFace's `w600k_mbf`: the stem
//! and all stages twice as wide, blocks 4, 6 and 2.
//!
//! `arcface_torch/backbones/mobilefacenet.py`, `get_mbf` with scale 2 and batch normalisations
//! folded into the convolutions before them.

use facefold_engine::{Op, ValueId};

use super::{Builder, Geometry, Role};

pub fn build(network: &mut Builder<'_>) -> ValueId {
    let stem = Geometry { input: 3, output: 128, kernel: 3, stride: 2, groups: 1 };
    let mut x = activated(network, ValueId::INPUT, stem);
    let paired = Geometry { input: 128, output: 128, kernel: 3, stride: 1, groups: 64 };
    x = activated(network, x, paired);
    for (input, hidden, output, blocks) in
        [(128, 128, 128, 4), (128, 256, 256, 6), (256, 512, 256, 2)]
    {
        x = bottleneck(network, x, [input, hidden, output], 2, Role::Linear);
        for _ in 0..blocks {
            let branch = bottleneck(network, x, [output, output, output], 1, Role::Residual);
            x = network.push(Op::Add, &[x, branch]);
        }
    }
    x = activated(network, x, Geometry::pointwise(256, 512));
    x = activated(network, x, Geometry::pointwise(512, 64));
    network.embedding(x, 64 * 7 * 7)
}

fn activated(network: &mut Builder<'_>, x: ValueId, geometry: Geometry) -> ValueId {
    let x = network.convolution(x, Role::Activated, geometry);
    network.prelu(x, geometry.output)
}

/// Pointwise, depthwise, pointwise; the last is not activated.
fn bottleneck(
    network: &mut Builder<'_>,
    x: ValueId,
    [input, hidden, output]: [usize; 3],
    stride: usize,
    last: Role,
) -> ValueId {
    let x = activated(network, x, Geometry::pointwise(input, hidden));
    let x = activated(network, x, Geometry::depthwise(hidden, stride));
    network.convolution(x, last, Geometry::pointwise(hidden, output))
}
