//! The embedding networks, each described once as a list of layers.

mod fingerprint;
mod iresnet;
mod mobile_facenet;
mod taps;
mod weights;

use std::fmt;
use std::str::FromStr;

use facefold_engine::{Convolution, Network, Op, ValueId};

pub use fingerprint::add_network;
pub use taps::{NoTaps, add_backbone_taps, backbone_taps};
pub use weights::{Role, Untrained, WeightSource};

/// Height and width of the crop that every network here takes.
pub const CROP_SIDE: usize = 112;
/// Values of an embedding.
pub const EMBEDDING_SIZE: usize = 512;

/// An ArcFace network's shape, without its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// `w600k_mbf`: MobileFaceNet with doubled channels.
    MobileFaceNet,
    /// IResNet-18.
    IResNet18,
    /// IResNet-34.
    IResNet34,
    /// IResNet-50, as `w600k_r50`.
    IResNet50,
    /// IResNet-100.
    IResNet100,
}

impl Architecture {
    /// All of them, from the quickest to the slowest.
    pub const ALL: [Self; 5] =
        [Self::MobileFaceNet, Self::IResNet18, Self::IResNet34, Self::IResNet50, Self::IResNet100];

    /// The name that people type and reports carry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MobileFaceNet => "mobilefacenet",
            Self::IResNet18 => "iresnet18",
            Self::IResNet34 => "iresnet34",
            Self::IResNet50 => "iresnet50",
            Self::IResNet100 => "iresnet100",
        }
    }

    /// The network with weights from this source: one output `embedding` of [`EMBEDDING_SIZE`]
    /// values for a crop of [`CROP_SIDE`] squared.
    pub fn build(self, source: &mut dyn WeightSource) -> Network {
        let mut builder = Builder { network: Network::new(self.name(), 3), source };
        let embedding = match self {
            Self::MobileFaceNet => mobile_facenet::build(&mut builder),
            Self::IResNet18 => iresnet::build(&mut builder, [2, 2, 2, 2]),
            Self::IResNet34 => iresnet::build(&mut builder, [3, 4, 6, 3]),
            Self::IResNet50 => iresnet::build(&mut builder, [3, 4, 14, 3]),
            Self::IResNet100 => iresnet::build(&mut builder, [3, 13, 30, 3]),
        };
        builder.network.output("embedding", embedding);
        builder.network
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no architecture has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected mobilefacenet or iresnet18, -34, -50 or -100, found `{0}`")]
pub struct UnknownArchitecture(String);

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(text: &str) -> Result<Self, UnknownArchitecture> {
        let named = |architecture: &Self| architecture.name() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownArchitecture(text.to_owned()))
    }
}

/// Geometry of a convolution whose padding keeps the map's size at stride 1.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Geometry {
    fn pointwise(input: usize, output: usize) -> Self {
        Self { input, output, kernel: 1, stride: 1, groups: 1 }
    }

    fn depthwise(channels: usize, stride: usize) -> Self {
        Self { input: channels, output: channels, kernel: 3, stride, groups: channels }
    }
}

/// Appends layers named by kind and number, with weights from a source.
struct Builder<'a> {
    network: Network,
    source: &'a mut dyn WeightSource,
}

impl Builder<'_> {
    fn push(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = format!("{}{}", op.name().replace(' ', "_"), self.network.layers.len());
        self.network.push(name, op, inputs)
    }

    fn weights(&mut self, role: Role, shape: &[usize]) -> Vec<f32> {
        self.source.weights(self.network.layers.len(), role, shape)
    }

    fn convolution(&mut self, x: ValueId, role: Role, geometry: Geometry) -> ValueId {
        let Geometry { input, output, kernel, stride, groups } = geometry;
        let op = Op::Convolution(Convolution {
            weight: self.weights(role, &[output, input / groups, kernel, kernel]),
            bias: self.weights(Role::Shift, &[output]),
            input_channels: input,
            output_channels: output,
            kernel: [kernel, kernel],
            stride,
            padding: kernel / 2,
            groups,
        });
        self.push(op, &[x])
    }

    fn prelu(&mut self, x: ValueId, channels: usize) -> ValueId {
        let op = Op::PRelu(self.weights(Role::Slope, &[channels]));
        self.push(op, &[x])
    }

    fn affine(&mut self, x: ValueId, channels: usize) -> ValueId {
        let scale = self.weights(Role::Scale, &[channels]);
        let shift = self.weights(Role::Shift, &[channels]);
        self.push(Op::Affine { scale, shift }, &[x])
    }

    /// The last map, flattened, becomes a normalised embedding.
    fn embedding(&mut self, map: ValueId, values: usize) -> ValueId {
        let row = self.push(Op::Flatten, &[map]);
        let weight = self.weights(Role::Linear, &[EMBEDDING_SIZE, values]);
        let bias = self.weights(Role::Shift, &[EMBEDDING_SIZE]);
        let embedding = self.push(Op::Linear { weight, bias }, &[row]);
        self.affine(embedding, EMBEDDING_SIZE)
    }
}
