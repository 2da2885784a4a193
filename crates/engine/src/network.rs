//! A network as a list of layers with weights: the one description that every executor runs.
//!
//! Weights are in the layout of ONNX and PyTorch (output channels first, NCHW order); executors
//! repack them as they like. Activations at the border of an executor are NHWC.

mod shapes;

use std::fmt;

use shapes::output_channels;
pub(crate) use shapes::{convolution_sides, output_shape};

/// A value in a network: 0 is the input, `i + 1` is what layer `i` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

impl ValueId {
    /// The picture batch.
    pub const INPUT: Self = Self(0);
}

/// A convolution's weights and geometry.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// out x in/groups x kernel height x kernel width.
    pub weight: Vec<f32>,
    /// One value an output channel.
    pub bias: Vec<f32>,
    /// Input channels.
    pub input_channels: usize,
    /// Output channels.
    pub output_channels: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// The same step down and right.
    pub stride: usize,
    /// Zeros added on each of the four sides.
    pub padding: usize,
    /// Groups; equal to the input channels for a depthwise convolution.
    pub groups: usize,
}

/// What a layer computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// 2-d convolution with bias.
    Convolution(Convolution),
    /// x where x > 0, else slope x; one slope a channel.
    PRelu(Vec<f32>),
    /// max(x, 0).
    Relu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// Sum of two values of the same shape.
    Add,
    /// scale x + shift, one of each a channel (a folded batch normalisation).
    Affine {
        /// One a channel.
        scale: Vec<f32>,
        /// One a channel.
        shift: Vec<f32>,
    },
    /// Nearest-neighbour upsampling by a whole factor.
    Upsample(usize),
    /// Channels of several values one after another.
    Concat,
    /// Maximum over windows, padded with minus infinity.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Step.
        stride: usize,
        /// Padding on each side.
        padding: usize,
        /// Whether a last, partial window counts (ONNX `ceil_mode`).
        ceil: bool,
    },
    /// Mean over windows; windows that reach over the border count only what lies inside.
    AveragePool {
        /// Side of the window.
        kernel: usize,
        /// Step.
        stride: usize,
        /// Padding on each side.
        padding: usize,
        /// Whether a last, partial window counts (ONNX `ceil_mode`).
        ceil: bool,
    },
    /// C x H x W to a row of C H W values in NCHW order.
    Flatten,
    /// weight x + bias on a row; weight is out x in.
    Linear {
        /// out x in.
        weight: Vec<f32>,
        /// One value an output.
        bias: Vec<f32>,
    },
    /// C x H x W to a row of 2 C values: each channel's mean over space, then each channel's
    /// population standard deviation over space (a tap, pooled).
    Moments,
}

impl Op {
    /// A short name for listings and errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Convolution(_) => "convolution",
            Self::PRelu(_) => "prelu",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Add => "add",
            Self::Affine { .. } => "affine",
            Self::Upsample(_) => "upsample",
            Self::Concat => "concat",
            Self::MaxPool { .. } => "max pool",
            Self::AveragePool { .. } => "average pool",
            Self::Flatten => "flatten",
            Self::Linear { .. } => "linear",
            Self::Moments => "moments",
        }
    }

    /// The layer's weight tensors with their shapes, in the order a fingerprint takes them.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, Vec<usize>, &[f32])> {
        match self {
            Self::Convolution(c) => {
                let depth = c.input_channels / c.groups;
                let shape = vec![c.output_channels, depth, c.kernel[0], c.kernel[1]];
                vec![("weight", shape, &c.weight), ("bias", vec![c.bias.len()], &c.bias)]
            }
            Self::PRelu(slope) => vec![("slope", vec![slope.len()], slope)],
            Self::Affine { scale, shift } => {
                vec![("scale", vec![scale.len()], scale), ("shift", vec![shift.len()], shift)]
            }
            Self::Linear { weight, bias } => {
                let shape = vec![bias.len(), weight.len() / bias.len().max(1)];
                vec![("weight", shape, weight), ("bias", vec![bias.len()], bias)]
            }
            _ => Vec::new(),
        }
    }
}

/// One step of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Name, unique in the network; from the ONNX file where there is one.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it computes it from: earlier values.
    pub inputs: Vec<ValueId>,
}

/// A value that the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Name: `embedding`, `taps`, `score_8`.
    pub name: String,
    /// Which value.
    pub value: ValueId,
}

/// Channels, height and width of a value; a row has height and width 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl Shape {
    /// Number of values.
    #[must_use]
    pub fn size(self) -> usize {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// A network: layers in an order in which they can be computed, and what comes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Name for reports: `w600k_mbf`, `iresnet50`.
    pub name: String,
    /// Channels of the input picture.
    pub input_channels: usize,
    /// The steps, in order.
    pub layers: Vec<Layer>,
    /// What comes out, in order.
    pub outputs: Vec<Output>,
}

/// A description that no executor can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("network `{network}`, layer {layer}: {problem}")]
pub struct InvalidNetwork {
    /// The network's name.
    pub network: String,
    /// The layer's name, or `outputs`.
    pub layer: String,
    /// What was expected and what was found.
    pub problem: String,
}

impl Network {
    /// An empty network.
    pub fn new(name: impl Into<String>, input_channels: usize) -> Self {
        Self { name: name.into(), input_channels, layers: Vec::new(), outputs: Vec::new() }
    }

    /// Appends a layer and gives the value it makes.
    pub fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[ValueId]) -> ValueId {
        self.layers.push(Layer { name: name.into(), op, inputs: inputs.to_vec() });
        ValueId(self.layers.len())
    }

    /// Appends an output.
    pub fn output(&mut self, name: impl Into<String>, value: ValueId) {
        self.outputs.push(Output { name: name.into(), value });
    }

    /// Adds one output `taps`: the moments of each of these maps, one after another.
    pub fn add_taps(&mut self, maps: &[ValueId]) {
        let pooled: Vec<ValueId> = maps
            .iter()
            .enumerate()
            .map(|(i, &map)| self.push(format!("tap{i}"), Op::Moments, &[map]))
            .collect();
        let all = self.push("taps", Op::Concat, &pooled);
        self.output("taps", all);
    }

    /// Checks what does not depend on the picture's size: that every layer takes the right number
    /// of values computed before it, and that its weights fit their channels.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub fn validate(&self) -> Result<(), InvalidNetwork> {
        // Channels of each value; behind a flattening they depend on the size.
        let mut channels = vec![Some(self.input_channels)];
        for (index, layer) in self.layers.iter().enumerate() {
            let problem = |problem| self.problem(index, problem);
            let mut inputs = Vec::with_capacity(layer.inputs.len());
            for input in &layer.inputs {
                let found = channels
                    .get(input.0)
                    .ok_or_else(|| problem(format!("value {} is not computed yet", input.0)))?;
                inputs.push(*found);
            }
            channels.push(output_channels(&layer.op, &inputs).map_err(problem)?);
        }
        self.check_outputs()
    }

    fn problem(&self, layer: usize, problem: String) -> InvalidNetwork {
        let found = &self.layers[layer];
        InvalidNetwork {
            network: self.name.clone(),
            layer: format!("{layer} `{}` ({})", found.name, found.op.name()),
            problem,
        }
    }

    fn check_outputs(&self) -> Result<(), InvalidNetwork> {
        let values = self.layers.len() + 1;
        match self.outputs.iter().find(|output| output.value.0 >= values) {
            Some(output) => Err(InvalidNetwork {
                network: self.name.clone(),
                layer: "outputs".to_owned(),
                problem: format!("`{}` is value {}, of {values}", output.name, output.value.0),
            }),
            None => Ok(()),
        }
    }

    /// The shapes of all values (index by [`ValueId`]) for an input of this height and width.
    ///
    /// # Errors
    /// The first layer whose inputs or weights do not fit.
    pub fn shapes(&self, height: usize, width: usize) -> Result<Vec<Shape>, InvalidNetwork> {
        let mut shapes = vec![Shape { channels: self.input_channels, height, width }];
        for (index, layer) in self.layers.iter().enumerate() {
            let problem = |problem| self.problem(index, problem);
            let mut inputs = Vec::with_capacity(layer.inputs.len());
            for input in &layer.inputs {
                let shape = shapes
                    .get(input.0)
                    .ok_or_else(|| problem(format!("value {} is not computed yet", input.0)))?;
                inputs.push(*shape);
            }
            shapes.push(output_shape(&layer.op, &inputs).map_err(problem)?);
        }
        self.check_outputs()?;
        Ok(shapes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Convolution, Network, Op, Shape, ValueId};

    fn pointwise(input: usize, output: usize) -> Op {
        Op::Convolution(Convolution {
            weight: vec![0.0; input * output],
            bias: vec![0.0; output],
            input_channels: input,
            output_channels: output,
            kernel: [1, 1],
            stride: 2,
            padding: 0,
            groups: 1,
        })
    }

    #[test]
    fn shapes_follow_the_layers() {
        let mut network = Network::new("test", 3);
        let x = network.push("conv", pointwise(3, 8), &[ValueId::INPUT]);
        let y = network.push("up", Op::Upsample(2), &[x]);
        network.add_taps(&[x, y]);
        let shapes = network.shapes(7, 9).unwrap();
        assert_eq!(shapes[x.0], Shape { channels: 8, height: 4, width: 5 });
        assert_eq!(shapes[y.0], Shape { channels: 8, height: 8, width: 10 });
        assert_eq!(shapes[network.outputs[0].value.0].channels, 32);
    }

    #[test]
    fn a_layer_of_mismatched_shape_is_named() {
        let mut network = Network::new("test", 4);
        network.push("stem", pointwise(3, 8), &[ValueId::INPUT]);
        let message = network.shapes(8, 8).unwrap_err().to_string();
        assert!(message.contains("layer 0 `stem`") && message.contains("4x8x8"), "{message}");
    }
}
