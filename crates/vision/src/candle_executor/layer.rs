//! One layer with its weights on a device, and how candle computes it there.
//!
//! Values are C x H x W tensors of one picture; a row has height and width 1. Everything can be
//! computed by candle's portable operations; on the CPU the custom ones of [`super::cpu`] are
//! several times quicker.

use candle_core::{D, Device, Result, Tensor};
use facefold_engine::{Convolution, Op, Shape};

use super::cpu::{Grouped, Patches, PerChannel, Sliding};

/// Bytes of patches laid side by side at once: they stay in a core's second-level cache.
const PATCH_BYTES: usize = 1 << 21;

/// Which operations compute a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Custom ones for the CPU.
    Cpu,
    /// Candle's own, on any device.
    Portable,
}

/// Weights of one a channel.
pub struct ChannelWeights {
    values: Vec<f32>,
    /// C x 1 x 1.
    tensor: Tensor,
}

impl ChannelWeights {
    fn new(values: &[f32], device: &Device) -> Result<Self> {
        let tensor = Tensor::from_slice(values, (values.len(), 1, 1), device)?;
        Ok(Self { values: values.to_vec(), tensor })
    }
}

/// A layer ready to run.
pub enum Layer {
    /// With weights as a matrix of out x (in x kernel).
    Dense {
        geometry: Geometry,
        weight: Tensor,
        bias: ChannelWeights,
    },
    /// With weights as they are, for the CPU's kernels.
    Grouped {
        geometry: Geometry,
        weight: Vec<f32>,
        bias: ChannelWeights,
    },
    PRelu(ChannelWeights),
    Affine {
        scale: ChannelWeights,
        shift: ChannelWeights,
    },
    Linear {
        weight: Tensor,
        bias: ChannelWeights,
    },
    /// What has no weights.
    Plain(Op),
}

/// A convolution without its weights.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    input_channels: usize,
    output_channels: usize,
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
    groups: usize,
}

impl Geometry {
    fn of(c: &Convolution) -> Self {
        Self {
            input_channels: c.input_channels,
            output_channels: c.output_channels,
            kernel: c.kernel,
            stride: c.stride,
            padding: c.padding,
            groups: c.groups,
        }
    }

    fn sliding(&self, output: Shape) -> Sliding {
        let Self { kernel, stride, padding, .. } = *self;
        Sliding { kernel, stride, padding, height: output.height, width: output.width }
    }

    fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.padding) == ([1, 1], 1, 0)
    }
}

/// An input of a layer, and whether the layer may overwrite it.
pub struct Input {
    pub tensor: Tensor,
    pub last_use: bool,
}

impl Input {
    fn overwritten(&self, op: PerChannel<'_>) -> Result<Tensor> {
        let tensor = if self.last_use { self.tensor.clone() } else { self.tensor.copy()? };
        tensor.inplace_op1(&op)?;
        Ok(tensor)
    }
}

impl Layer {
    pub fn new(op: &Op, device: &Device, kernels: Kernels) -> Result<Self> {
        let channels = |values: &[f32]| ChannelWeights::new(values, device);
        Ok(match op {
            Op::Convolution(c) if c.groups > 1 && kernels == Kernels::Cpu => Self::Grouped {
                geometry: Geometry::of(c),
                weight: c.weight.clone(),
                bias: channels(&c.bias)?,
            },
            Op::Convolution(c) => {
                let shape = (c.output_channels, c.input_channels * c.kernel[0] * c.kernel[1]);
                let weight = Tensor::from_vec(without_groups(c), shape, device)?;
                Self::Dense { geometry: Geometry::of(c), weight, bias: channels(&c.bias)? }
            }
            Op::PRelu(slope) => Self::PRelu(channels(slope)?),
            Op::Affine { scale, shift } => {
                Self::Affine { scale: channels(scale)?, shift: channels(shift)? }
            }
            Op::Linear { weight, bias } => {
                let shape = (bias.len(), weight.len() / bias.len().max(1));
                let weight = Tensor::from_slice(weight, shape, device)?;
                Self::Linear { weight, bias: channels(bias)? }
            }
            plain => Self::Plain(plain.clone()),
        })
    }

    /// The layer's output of this shape; never a view of an input.
    pub fn compute(&self, inputs: &[Input], output: Shape, kernels: Kernels) -> Result<Tensor> {
        let x = &inputs[0].tensor;
        match self {
            Self::Dense { geometry, weight, bias } => {
                let sum = match kernels {
                    _ if geometry.is_pointwise() => pointwise(x, weight)?,
                    Kernels::Cpu => patchwise(x, weight, geometry.sliding(output))?,
                    Kernels::Portable => {
                        let [down, right] = geometry.kernel;
                        let shape =
                            (geometry.output_channels, geometry.input_channels, down, right);
                        let Geometry { padding, stride, .. } = *geometry;
                        let weight = weight.reshape(shape)?;
                        x.unsqueeze(0)?.conv2d(&weight, padding, stride, 1, 1)?.squeeze(0)?
                    }
                };
                let sum = sum.reshape((output.channels, output.height, output.width))?;
                add_bias(sum, bias, kernels)
            }
            Self::Grouped { geometry, weight, bias } => {
                let sum = x.contiguous()?.apply_op1_no_bwd(&Grouped {
                    sliding: geometry.sliding(output),
                    weight,
                    groups: geometry.groups,
                    output_channels: geometry.output_channels,
                })?;
                add_bias(sum, bias, kernels)
            }
            Self::PRelu(slope) => match kernels {
                Kernels::Cpu => inputs[0].overwritten(PerChannel::PRelu(&slope.values)),
                Kernels::Portable => {
                    let positive = x.relu()?;
                    let negative = (x - &positive)?.broadcast_mul(&slope.tensor)?;
                    positive + negative
                }
            },
            Self::Affine { scale, shift } => match kernels {
                Kernels::Cpu => {
                    inputs[0].overwritten(PerChannel::Affine(&scale.values, &shift.values))
                }
                Kernels::Portable => x.broadcast_mul(&scale.tensor)?.broadcast_add(&shift.tensor),
            },
            Self::Linear { weight, bias } => {
                let column = x.reshape((x.elem_count(), 1))?;
                let sum = weight.matmul(&column)?.reshape((output.channels, 1, 1))?;
                add_bias(sum, bias, kernels)
            }
            Self::Plain(op) => plain(op, inputs, output),
        }
    }
}

fn plain(op: &Op, inputs: &[Input], output: Shape) -> Result<Tensor> {
    let x = &inputs[0].tensor;
    match op {
        Op::Relu => x.relu(),
        Op::Sigmoid => candle_nn::ops::sigmoid(x),
        Op::Add => x + &inputs[1].tensor,
        Op::Upsample(_) => {
            x.unsqueeze(0)?.upsample_nearest2d(output.height, output.width)?.squeeze(0)
        }
        Op::Concat => match inputs {
            [one] => one.tensor.copy(),
            _ => Tensor::cat(&inputs.iter().map(|input| &input.tensor).collect::<Vec<_>>(), 0),
        },
        &Op::MaxPool { kernel, stride, padding, .. } => {
            let windows = shifted(x, [kernel; 2], stride, padding, f32::NEG_INFINITY, output)?;
            reduce(windows, |a, b| a.maximum(&b))
        }
        &Op::AveragePool { kernel, stride, padding, .. } => {
            let sum = |x: &Tensor| {
                let windows = shifted(x, [kernel; 2], stride, padding, 0.0, output)?;
                reduce(windows, |a, b| a + b)
            };
            let inside = x.narrow(0, 0, 1)?.ones_like()?;
            sum(x)?.broadcast_div(&sum(&inside)?)
        }
        Op::Flatten => x.copy()?.reshape((output.channels, 1, 1)),
        Op::Moments => moments(x),
        Op::Convolution(_) | Op::PRelu(_) | Op::Affine { .. } | Op::Linear { .. } => {
            candle_core::bail!("{} has weights", op.name())
        }
    }
}

fn add_bias(sum: Tensor, bias: &ChannelWeights, kernels: Kernels) -> Result<Tensor> {
    match kernels {
        Kernels::Cpu => {
            sum.inplace_op1(&PerChannel::Shift(&bias.values))?;
            Ok(sum)
        }
        Kernels::Portable => sum.broadcast_add(&bias.tensor),
    }
}

/// weight (out x in) times x (in x pixels).
fn pointwise(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    weight.matmul(&x.flatten_from(1)?)
}

fn patchwise(x: &Tensor, weight: &Tensor, sliding: Sliding) -> Result<Tensor> {
    let row_bytes = weight.dim(1)? * sliding.width * size_of::<f32>();
    let rows = (PATCH_BYTES / row_bytes.max(1)).max(1);
    let x = x.contiguous()?;
    let strips = (0..sliding.height)
        .step_by(rows)
        .map(|first| {
            let rows = [first, (first + rows).min(sliding.height)];
            weight.matmul(&x.apply_op1_no_bwd(&Patches { sliding, rows })?)
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&strips, 1)
}

/// Weights as out x (in x kernel), with zeros between inputs and outputs of different groups. candle
/// runs groups one after another, a kernel or more for each: on a device their starts take far
/// longer than the products with zeros.
fn without_groups(c: &Convolution) -> Vec<f32> {
    let size = c.input_channels / c.groups * c.kernel[0] * c.kernel[1];
    let mut weight = vec![0.0; c.output_channels * c.groups * size];
    let outputs = c.output_channels / c.groups;
    for (output, values) in c.weight.chunks_exact(size.max(1)).enumerate() {
        let first = (output * c.groups + output / outputs) * size;
        weight[first..first + size].copy_from_slice(values);
    }
    weight
}

/// For each place of a kernel, row by row, the map of what lies under it.
fn shifted(
    x: &Tensor,
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
    around: f32,
    output: Shape,
) -> Result<Vec<Tensor>> {
    let x = pad(x, 1, padding, (output.height - 1) * stride + kernel[0], around)?;
    let x = pad(&x, 2, padding, (output.width - 1) * stride + kernel[1], around)?;
    let mut windows = Vec::with_capacity(kernel[0] * kernel[1]);
    for down in 0..kernel[0] {
        let rows = every(&x, 1, down, stride, output.height)?;
        for right in 0..kernel[1] {
            windows.push(every(&rows, 2, right, stride, output.width)?);
        }
    }
    Ok(windows)
}

/// Puts `before` values in front, and as many behind as make `length`, if any are missing.
fn pad(x: &Tensor, dim: usize, before: usize, length: usize, value: f32) -> Result<Tensor> {
    let fill = |count: usize| {
        let mut shape = x.dims().to_vec();
        shape[dim] = count;
        Tensor::full(value, shape, x.device())
    };
    let behind = length.saturating_sub(before + x.dim(dim)?);
    let mut parts = vec![x.clone()];
    if before > 0 {
        parts.insert(0, fill(before)?);
    }
    if behind > 0 {
        parts.push(fill(behind)?);
    }
    Tensor::cat(&parts, dim)
}

/// `count` slices along `dim`: the one at `first`, and every `stride`th behind it.
fn every(x: &Tensor, dim: usize, first: usize, stride: usize, count: usize) -> Result<Tensor> {
    if stride == 1 {
        return x.narrow(dim, first, count)?.contiguous();
    }
    let places: Vec<u32> = (0..count).map(|i| (first + i * stride) as u32).collect();
    x.index_select(&Tensor::new(places, x.device())?, dim)
}

fn reduce(parts: Vec<Tensor>, join: impl Fn(Tensor, Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let mut parts = parts.into_iter();
    match parts.next() {
        Some(first) => parts.try_fold(first, join),
        None => candle_core::bail!("a window without places"),
    }
}

/// Mean over space, then population standard deviation over space, of each channel.
fn moments(x: &Tensor) -> Result<Tensor> {
    let pixels = x.flatten_from(1)?;
    let mean = pixels.mean_keepdim(D::Minus1)?;
    let deviation = pixels.broadcast_sub(&mean)?.sqr()?.mean_keepdim(D::Minus1)?.sqrt()?;
    Tensor::cat(&[mean, deviation], 0)?.unsqueeze(2)
}
