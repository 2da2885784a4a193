//! Lowers a network's layers to fewer, fused steps: whatever can be done to a convolution's sums
//! before they are stored is done there.

use std::ops::Range;

use crate::kernels::epilogue::{Activation, PerChannel};
use crate::layout::{CHANNEL_BLOCK, Window};
use crate::merge::merge;
use crate::network::{Convolution, Network, Op, Shape, ValueId};
use crate::order::{fuse_upsample, hoist_narrowing_convolutions, hoist_pooling};

/// What is computed at once.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Every output sees every input channel.
    Dense {
        name: String,
        source: ValueId,
        /// out x in x kernel height x kernel width; dropped once they are packed.
        weights: Vec<f32>,
        weights_count: usize,
        /// None: the window is the whole picture.
        window: Option<Window>,
        fused: Fused,
    },
    /// Every output sees one channel, or one pair of channels.
    Depthwise {
        name: String,
        source: ValueId,
        /// As the kernel takes them.
        weights: Vec<f32>,
        pairs: bool,
        window: Window,
        /// Whether negative values of the source count as zeros.
        rectify: bool,
        fused: Fused,
    },
    /// A layer as it is.
    Plain { name: String, op: Op, inputs: Vec<Part>, output: ValueId },
}

/// A value of the network, as it is stored: a value of its own, or some channels of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub value: ValueId,
    /// None: all.
    pub channels: Option<Range<usize>>,
    /// How many times each pixel is repeated along both axes.
    pub factor: usize,
}

impl Part {
    pub fn whole(value: ValueId) -> Self {
        Self { value, channels: None, factor: 1 }
    }

    /// Its shape, given those of the values that are stored.
    pub fn shape(&self, shapes: &[Option<Shape>]) -> Option<Shape> {
        let whole = shapes[self.value.0]?;
        let channels = self.channels.as_ref().map_or(whole.channels, Range::len);
        let [height, width] = [whole.height, whole.width].map(|side| side * self.factor);
        Some(Shape { channels, height, width })
    }
}

/// What a network becomes.
pub(crate) struct Lowered {
    /// In an order in which they can be computed.
    pub steps: Vec<Step>,
    /// The network's outputs.
    pub outputs: Vec<Part>,
    /// Number of values, with those that only the steps have.
    pub values: usize,
}

/// Layers that follow a convolution and are computed with it.
#[derive(Debug, Clone)]
pub(crate) struct Fused {
    pub channels: usize,
    pub bias: PerChannel,
    pub activation: Activation,
    pub residual: Option<ValueId>,
    pub after: Activation,
    /// The value that is stored, if it is used.
    pub main: Option<ValueId>,
    /// A second value: the first one scaled and shifted.
    pub affine: Option<(ValueId, PerChannel, PerChannel)>,
}

impl Step {
    /// The name of the layer that it starts with.
    pub fn name(&self) -> &str {
        match self {
            Self::Dense { name, .. } | Self::Depthwise { name, .. } | Self::Plain { name, .. } => {
                name
            }
        }
    }

    /// What a convolution takes over.
    pub fn fused(&self) -> Option<&Fused> {
        match self {
            Self::Dense { fused, .. } | Self::Depthwise { fused, .. } => Some(fused),
            Self::Plain { .. } => None,
        }
    }

    /// The value whose windows a convolution reads.
    pub fn source(&self) -> Option<ValueId> {
        match self {
            Self::Dense { source, .. } | Self::Depthwise { source, .. } => Some(*source),
            Self::Plain { .. } => None,
        }
    }

    /// Whether it is a convolution of 3x3 windows one pixel apart with channels enough that the
    /// transforms of `kernels::winograd` cost less than they save.
    pub fn suits_winograd(&self) -> bool {
        const LEAST_CHANNELS: usize = 16;
        let Self::Dense { weights_count, window: Some(window), fused, .. } = self else {
            return false;
        };
        let inputs = weights_count / (9 * fused.channels);
        (window.kernel, window.stride) == ([3, 3], 1)
            && inputs.min(fused.channels) >= LEAST_CHANNELS
    }

    /// The values that it reads.
    pub fn inputs(&self) -> Vec<ValueId> {
        match self {
            Self::Dense { source, fused, .. } | Self::Depthwise { source, fused, .. } => {
                std::iter::once(*source).chain(fused.residual).collect()
            }
            Self::Plain { inputs, .. } => inputs.iter().map(|input| input.value).collect(),
        }
    }

    /// The values that it makes.
    pub fn outputs(&self) -> Vec<ValueId> {
        match self {
            Self::Dense { fused, .. } | Self::Depthwise { fused, .. } => {
                fused.main.into_iter().chain(fused.affine.as_ref().map(|affine| affine.0)).collect()
            }
            Self::Plain { output, .. } => vec![*output],
        }
    }
}

/// The steps of a network.
pub(crate) fn lower(network: &Network) -> Lowered {
    let mut lowering = Lowering::new(network);
    let mut steps = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        if lowering.done[index] {
            continue;
        }
        let output = ValueId(index + 1);
        let step = match &layer.op {
            Op::Convolution(c) => lowering.convolution(c, index),
            Op::Linear { weight, bias } => lowering.linear(weight, bias, index),
            Op::Flatten if lowering.feeds_linear(output) => continue,
            op => Step::Plain {
                name: layer.name.clone(),
                op: op.clone(),
                inputs: layer.inputs.iter().copied().map(Part::whole).collect(),
                output,
            },
        };
        for value in step.outputs() {
            lowering.ready[value.0] = true;
        }
        steps.push(step);
    }
    let outputs = network.outputs.iter().map(|output| Part::whole(output.value)).collect();
    let mut lowered = Lowered { steps, outputs, values: network.layers.len() + 1 };
    merge(&mut lowered);
    fuse_upsample(&mut lowered);
    lowered.steps = hoist_narrowing_convolutions(hoist_pooling(lowered.steps));
    lowered
}

/// Moves a ReLU that is the whole epilogue of a step on matrix tiles into the depthwise convolution
/// that reads it: then the tiles can be stored as they are, which saves more than the ReLU costs
/// there. `tiles` says which steps run on them.
pub(crate) fn fuse_relu_into_depthwise(steps: &mut [Step], outputs: &[Part], tiles: &[bool]) {
    for index in 0..steps.len() {
        let Some(fused) = steps[index].fused() else { continue };
        let is_bare = fused.activation == Activation::Relu
            && fused.residual.is_none()
            && fused.after == Activation::None
            && fused.affine.is_none();
        let Some(value) = fused.main else { continue };
        let is_output = outputs.iter().any(|output| output.value == value);
        let reads_windows = |step: &&Step| {
            let residual = step.fused().and_then(|fused| fused.residual);
            matches!(step, Step::Depthwise { pairs: false, .. }) && residual != Some(value)
        };
        let mut readers = steps.iter().filter(|step| step.inputs().contains(&value));
        if !tiles[index] || !is_bare || is_output || !readers.all(|step| reads_windows(&step)) {
            continue;
        }
        if let Step::Dense { fused, .. } = &mut steps[index] {
            fused.activation = Activation::None;
        }
        for step in &mut *steps {
            if let Step::Depthwise { source, rectify, .. } = step
                && *source == value
            {
                *rectify = true;
            }
        }
    }
}

struct Lowering<'a> {
    network: &'a Network,
    /// The layers that take each value.
    consumers: Vec<Vec<usize>>,
    is_output: Vec<bool>,
    /// Values that the steps so far have made.
    ready: Vec<bool>,
    /// Layers that the steps so far compute.
    done: Vec<bool>,
}

impl<'a> Lowering<'a> {
    fn new(network: &'a Network) -> Self {
        let values = network.layers.len() + 1;
        let mut consumers = vec![Vec::new(); values];
        for (index, layer) in network.layers.iter().enumerate() {
            layer.inputs.iter().for_each(|input| consumers[input.0].push(index));
        }
        let mut is_output = vec![false; values];
        network.outputs.iter().for_each(|output| is_output[output.value.0] = true);
        let mut ready = vec![false; values];
        ready[ValueId::INPUT.0] = true;
        Self { network, consumers, is_output, ready, done: vec![false; values - 1] }
    }

    /// The one layer that takes a value, where no other takes it.
    fn only_consumer(&self, value: ValueId) -> Option<usize> {
        match self.consumers[value.0][..] {
            [layer] if !self.is_output[value.0] => Some(layer),
            _ => None,
        }
    }

    fn feeds_linear(&self, value: ValueId) -> bool {
        self.only_consumer(value)
            .is_some_and(|layer| matches!(self.network.layers[layer].op, Op::Linear { .. }))
    }

    fn convolution(&mut self, c: &Convolution, index: usize) -> Step {
        let layer = &self.network.layers[index];
        let (name, source) = (layer.name.clone(), layer.inputs[0]);
        let window = Window { kernel: c.kernel, stride: c.stride, padding: c.padding };
        let (mut weights, fused) = self.fuse(c.weight.clone(), &c.bias, ValueId(index + 1));
        let (inputs, outputs) = (c.input_channels / c.groups, c.output_channels / c.groups);
        let pairs = (inputs, outputs) == (2, 2);
        if c.groups > 1 && (pairs || (inputs, outputs) == (1, 1)) {
            let cells = c.kernel[0] * c.kernel[1];
            let weights = by_cell(&weights, c.output_channels, cells, inputs);
            let rectify = false;
            return Step::Depthwise { name, source, weights, pairs, window, rectify, fused };
        }
        if c.groups > 1 {
            weights = without_groups(&weights, c);
        }
        let weights_count = weights.len();
        Step::Dense { name, source, weights, weights_count, window: Some(window), fused }
    }

    fn linear(&mut self, weight: &[f32], bias: &[f32], index: usize) -> Step {
        let layer = &self.network.layers[index];
        let (name, source) = (layer.name.clone(), layer.inputs[0]);
        let (weights, fused) = self.fuse(weight.to_vec(), bias, ValueId(index + 1));
        // A fully connected layer on a flattened map is a convolution with a window as large as
        // the map: its weights are in that order already.
        let flattened = source.0.checked_sub(1).map(|layer| &self.network.layers[layer]);
        let source = match flattened {
            Some(layer)
                if matches!(layer.op, Op::Flatten) && self.only_consumer(source).is_some() =>
            {
                layer.inputs[0]
            }
            _ => source,
        };
        let weights_count = weights.len();
        Step::Dense { name, source, weights, weights_count, window: None, fused }
    }

    /// Takes over the layers that follow; an affine that follows at once goes into the weights.
    fn fuse(&mut self, mut weights: Vec<f32>, bias: &[f32], output: ValueId) -> (Vec<f32>, Fused) {
        let network = self.network;
        let mut bias = bias.to_vec();
        let channels = bias.len();
        let mut current = output;
        while let Some(layer) = self.only_consumer(current) {
            let Op::Affine { scale, shift } = &network.layers[layer].op else { break };
            let each = weights.len() / channels;
            for (row, scale) in weights.chunks_exact_mut(each).zip(scale) {
                for weight in row {
                    *weight *= scale;
                }
            }
            for (bias, (scale, shift)) in bias.iter_mut().zip(scale.iter().zip(shift)) {
                *bias = *bias * scale + shift;
            }
            current = self.take(layer);
        }
        let activation = self.take_activation(&mut current);
        let residual = self.take_residual(&mut current);
        let after = match residual {
            Some(_) => self.take_activation(&mut current),
            None => Activation::None,
        };
        let affine = self.take_affine(current);
        let needed = self.is_output[current.0]
            || self.consumers[current.0].iter().any(|&layer| !self.done[layer])
            || affine.is_none();
        let fused = Fused {
            channels,
            bias: PerChannel::new(&bias),
            activation,
            residual,
            after,
            main: needed.then_some(current),
            affine,
        };
        (weights, fused)
    }

    fn take(&mut self, layer: usize) -> ValueId {
        self.done[layer] = true;
        ValueId(layer + 1)
    }

    fn take_activation(&mut self, current: &mut ValueId) -> Activation {
        let Some(layer) = self.only_consumer(*current) else { return Activation::None };
        let activation = match &self.network.layers[layer].op {
            Op::Relu => Activation::Relu,
            Op::PRelu(slope) => Activation::PRelu(PerChannel::new(slope)),
            _ => return Activation::None,
        };
        *current = self.take(layer);
        activation
    }

    /// The other value of a sum, if it has been computed.
    fn take_residual(&mut self, current: &mut ValueId) -> Option<ValueId> {
        let layer = self.only_consumer(*current)?;
        let Op::Add = self.network.layers[layer].op else { return None };
        let other = *self.network.layers[layer].inputs.iter().find(|&input| input != current)?;
        if !self.ready[other.0] {
            return None;
        }
        *current = self.take(layer);
        Some(other)
    }

    fn take_affine(&mut self, current: ValueId) -> Option<(ValueId, PerChannel, PerChannel)> {
        let network = self.network;
        let consumers = self.consumers[current.0].clone();
        consumers.into_iter().find_map(|layer| match &network.layers[layer].op {
            Op::Affine { scale, shift } => {
                Some((self.take(layer), PerChannel::new(scale), PerChannel::new(shift)))
            }
            _ => None,
        })
    }
}

/// For each cell of the window one weight a channel (with `inputs` 2, then those of the pair's
/// other channel), each followed by zeros to a whole block of channels.
fn by_cell(weights: &[f32], channels: usize, cells: usize, inputs: usize) -> Vec<f32> {
    let pitch = channels.next_multiple_of(CHANNEL_BLOCK);
    let mut sorted = vec![0.0; cells * inputs * pitch];
    for c in 0..channels {
        for cell in 0..cells {
            for turn in 0..inputs {
                let input = (c + turn) % inputs;
                sorted[(cell * inputs + turn) * pitch + c] =
                    weights[(c * inputs + input) * cells + cell];
            }
        }
    }
    sorted
}

/// The weights of a convolution without groups that computes the same: zeros between groups.
fn without_groups(weights: &[f32], c: &Convolution) -> Vec<f32> {
    let cells = c.kernel[0] * c.kernel[1];
    let inputs = c.input_channels / c.groups;
    let outputs = c.output_channels / c.groups;
    let mut dense = vec![0.0; c.output_channels * c.input_channels * cells];
    for (output, row) in weights.chunks_exact(inputs * cells).enumerate() {
        let first = (output * c.input_channels + output / outputs * inputs) * cells;
        dense[first..first + inputs * cells].copy_from_slice(row);
    }
    dense
}

#[cfg(test)]
mod tests {
    use super::{Step, by_cell, lower};
    use crate::kernels::epilogue::Activation;
    use crate::network::{Convolution, Network, Op, ValueId};

    fn pointwise(channels: usize) -> Op {
        Op::Convolution(Convolution {
            weight: vec![1.0; channels * channels],
            bias: vec![0.0; channels],
            input_channels: channels,
            output_channels: channels,
            kernel: [1, 1],
            stride: 1,
            padding: 0,
            groups: 1,
        })
    }

    #[test]
    fn a_residual_block_is_two_steps() {
        let mut network = Network::new("test", 2);
        let affine = || Op::Affine { scale: vec![1.0; 2], shift: vec![0.0; 2] };
        let stem = network.push("stem", pointwise(2), &[ValueId::INPUT]);
        let bn = network.push("bn", affine(), &[stem]);
        let first = network.push("first", pointwise(2), &[bn]);
        let act = network.push("act", Op::PRelu(vec![0.1; 2]), &[first]);
        let second = network.push("second", pointwise(2), &[act]);
        let sum = network.push("sum", Op::Add, &[second, stem]);
        let flat = network.push("flat", Op::Flatten, &[sum]);
        let linear = Op::Linear { weight: vec![0.0; 6], bias: vec![0.0; 3] };
        let row = network.push("row", linear, &[flat]);
        let scaled =
            network.push("scaled", Op::Affine { scale: vec![1.0; 3], shift: vec![0.0; 3] }, &[row]);
        network.output("row", scaled);
        let steps = lower(&network).steps;
        assert_eq!(steps.len(), 4);
        assert_eq!(steps[0].outputs(), [stem, bn]);
        assert_eq!(steps[1].outputs(), [act]);
        let Step::Dense { fused, .. } = &steps[2] else { panic!("{:?}", steps[2]) };
        assert_eq!((fused.main, fused.residual), (Some(sum), Some(stem)));
        let Step::Dense { source, window, fused, .. } = &steps[3] else { panic!() };
        assert_eq!((*source, *window, fused.main), (sum, None, Some(scaled)));
        assert_eq!(fused.activation, Activation::None);
    }

    #[test]
    fn values_with_other_readers_are_stored() {
        let mut network = Network::new("test", 2);
        let x = network.push("conv", pointwise(2), &[ValueId::INPUT]);
        let y = network.push("relu", Op::Relu, &[x]);
        network.output("before", x);
        network.output("after", y);
        let steps = lower(&network).steps;
        assert_eq!(steps[0].outputs(), [x]);
        assert!(matches!(steps[1], Step::Plain { .. }));
        // The sum's other value comes later: the later convolution adds.
        let mut network = Network::new("test", 2);
        let x = network.push("first", pointwise(2), &[ValueId::INPUT]);
        let y = network.push("second", pointwise(2), &[ValueId::INPUT]);
        let z = network.push("sum", Op::Add, &[x, y]);
        network.output("sum", z);
        let steps = lower(&network).steps;
        assert_eq!((steps[0].outputs(), steps[1].outputs()), (vec![x], vec![z]));
    }

    #[test]
    fn weights_of_pairs_are_own_then_other() {
        // Channels 0 and 1, one cell: out 0 = 1 x0 + 2 x1, out 1 = 3 x0 + 4 x1.
        let sorted = by_cell(&[1., 2., 3., 4.], 2, 1, 2);
        assert_eq!((sorted[0], sorted[1], sorted[16], sorted[17]), (1., 4., 2., 3.));
    }
}
