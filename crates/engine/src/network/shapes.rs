//! The shape of what a layer makes, and whether its weights fit what it takes.

use super::{Convolution, Op, Shape};

fn check_arity(op: &Op, found: usize) -> Result<(), String> {
    let expected = match op {
        Op::Add => 2,
        Op::Concat => found.max(1),
        _ => 1,
    };
    if found == expected {
        Ok(())
    } else {
        Err(format!("expected {expected} inputs, found {found}"))
    }
}

/// The channels of a layer's output, where they do not depend on the picture's size.
pub(super) fn output_channels(op: &Op, inputs: &[Option<usize>]) -> Result<Option<usize>, String> {
    check_arity(op, inputs.len())?;
    let x = inputs[0];
    let fits = |weights: usize| match x {
        Some(channels) if channels != weights => {
            Err(format!("{weights} weights for {channels} channels"))
        }
        _ => Ok(Some(weights)),
    };
    match op {
        Op::Convolution(c) => {
            check_convolution(c)?;
            match x {
                Some(channels) if channels != c.input_channels => {
                    Err(format!("expected {} channels, found {channels}", c.input_channels))
                }
                _ => Ok(Some(c.output_channels)),
            }
        }
        Op::PRelu(slope) => fits(slope.len()),
        Op::Affine { scale, shift } => fits(scale.len()).and(fits(shift.len())),
        Op::Add => match (x, inputs[1]) {
            (Some(a), Some(b)) if a != b => Err(format!("cannot add {a} and {b} channels")),
            _ => Ok(x.or(inputs[1])),
        },
        Op::Concat => Ok(inputs.iter().copied().sum()),
        Op::Flatten => Ok(None),
        Op::Linear { bias, .. } => Ok(Some(bias.len())),
        Op::Moments => Ok(x.map(|channels| 2 * channels)),
        Op::Relu | Op::Sigmoid | Op::Upsample(_) | Op::MaxPool { .. } | Op::AveragePool { .. } => {
            Ok(x)
        }
    }
}

pub(crate) fn output_shape(op: &Op, inputs: &[Shape]) -> Result<Shape, String> {
    check_arity(op, inputs.len())?;
    let x = inputs[0];
    let per_channel = |count: usize| {
        if count == x.channels {
            Ok(x)
        } else {
            Err(format!("{count} weights for {} channels", x.channels))
        }
    };
    match op {
        Op::Convolution(c) => convolution_shape(c, x),
        Op::PRelu(slope) => per_channel(slope.len()),
        Op::Affine { scale, shift } => per_channel(scale.len()).and(per_channel(shift.len())),
        Op::Add if inputs[0] != inputs[1] => {
            Err(format!("cannot add {} and {}", inputs[0], inputs[1]))
        }
        Op::Add | Op::Relu | Op::Sigmoid => Ok(x),
        Op::Upsample(factor) => {
            Ok(Shape { height: x.height * factor, width: x.width * factor, ..x })
        }
        Op::Concat => {
            match inputs.iter().find(|other| (other.height, other.width) != (x.height, x.width)) {
                Some(other) => Err(format!("cannot concatenate {x} and {other}")),
                None => Ok(Shape { channels: inputs.iter().map(|s| s.channels).sum(), ..x }),
            }
        }
        Op::MaxPool { kernel, stride, padding, ceil }
        | Op::AveragePool { kernel, stride, padding, ceil } => Ok(Shape {
            height: pooled_side(x.height, *kernel, *stride, *padding, *ceil)?,
            width: pooled_side(x.width, *kernel, *stride, *padding, *ceil)?,
            ..x
        }),
        Op::Flatten => Ok(Shape { channels: x.size(), height: 1, width: 1 }),
        Op::Linear { weight, bias } => {
            if weight.len() == bias.len() * x.size() && (x.height, x.width) == (1, 1) {
                Ok(Shape { channels: bias.len(), height: 1, width: 1 })
            } else {
                Err(format!("{} weights and {} biases for {x}", weight.len(), bias.len()))
            }
        }
        Op::Moments => Ok(Shape { channels: 2 * x.channels, height: 1, width: 1 }),
    }
}

fn convolution_shape(c: &Convolution, x: Shape) -> Result<Shape, String> {
    if x.channels != c.input_channels {
        return Err(format!("expected {} channels, found {x}", c.input_channels));
    }
    check_convolution(c)?;
    let sides = convolution_sides(x, c.kernel, c.stride, c.padding)?;
    Ok(Shape { channels: c.output_channels, height: sides[0], width: sides[1] })
}

fn check_convolution(c: &Convolution) -> Result<(), String> {
    let divides = c.groups > 0
        && c.input_channels.is_multiple_of(c.groups)
        && c.output_channels.is_multiple_of(c.groups);
    if !divides || c.stride == 0 {
        return Err(format!(
            "{} groups of {} to {} channels, stride {}",
            c.groups, c.input_channels, c.output_channels, c.stride
        ));
    }
    let weights = c.output_channels * (c.input_channels / c.groups) * c.kernel[0] * c.kernel[1];
    if c.weight.len() != weights || c.bias.len() != c.output_channels {
        return Err(format!(
            "expected {weights} weights and {} biases, found {} and {}",
            c.output_channels,
            c.weight.len(),
            c.bias.len()
        ));
    }
    Ok(())
}

/// Height and width of a convolution's output.
pub(crate) fn convolution_sides(
    x: Shape,
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
) -> Result<[usize; 2], String> {
    let side = |length: usize, kernel: usize| {
        (length + 2 * padding)
            .checked_sub(kernel)
            .map(|room| room / stride + 1)
            .ok_or_else(|| format!("a kernel of {kernel} is larger than {x}"))
    };
    Ok([side(x.height, kernel[0])?, side(x.width, kernel[1])?])
}

fn pooled_side(
    length: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    ceil: bool,
) -> Result<usize, String> {
    if stride == 0 || kernel == 0 || padding >= kernel {
        return Err(format!("window {kernel}, stride {stride}, padding {padding}"));
    }
    let room = (length + 2 * padding)
        .checked_sub(kernel)
        .ok_or_else(|| format!("a window of {kernel} is larger than {length}"))?;
    let mut side = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
    // As in ONNX and PyTorch, a last window must start inside the picture or its left padding.
    if ceil && (side - 1) * stride >= length + padding {
        side -= 1;
    }
    Ok(side)
}
