//! Custom operations where candle's own CPU operations are slow: patches of a map side by
//! side for one matrix product, grouped convolutions, and per-channel arithmetic in place.

use candle_core::{CpuStorage, CustomOp1, InplaceOp1, Layout, Result, Shape, bail};

/// Height and width of what a sliding window gives, and how it slides.
#[derive(Debug, Clone, Copy)]
pub struct Sliding {
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: usize,
    /// Of the output.
    pub height: usize,
    /// Of the output.
    pub width: usize,
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("expected a contiguous map, found {layout:?}"),
    }
}

/// One channel with zeros around it, so that the loops over it need no borders.
struct Padded {
    values: Vec<f32>,
    width: usize,
    padding: usize,
}

impl Padded {
    fn new(height: usize, width: usize, padding: usize) -> Self {
        let width = width + 2 * padding;
        Self { values: vec![0.0; (height + 2 * padding) * width], width, padding }
    }

    fn fill(&mut self, channel: &[f32]) {
        let inner = self.width - 2 * self.padding;
        let rows = self.values.chunks_exact_mut(self.width).skip(self.padding);
        for (row, values) in rows.zip(channel.chunks_exact(inner)) {
            row[self.padding..self.padding + inner].copy_from_slice(values);
        }
    }

    fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.width..(y + 1) * self.width]
    }
}

/// C x H x W becomes (C x kernel) x (rows x width): each column the patch under one output pixel.
#[derive(Debug)]
pub struct Patches {
    pub sliding: Sliding,
    /// Rows of the output from and to (exclusive).
    pub rows: [usize; 2],
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (channels, height, width) = layout.shape().dims3()?;
        let map = contiguous(storage, layout)?;
        let Sliding { kernel: [down, right], stride, padding, width: columns, .. } = self.sliding;
        let [first, last] = self.rows;
        let patch = channels * down * right;
        let mut patches = Vec::with_capacity(patch * (last - first) * columns);
        let mut padded = Padded::new(height, width, padding);
        for channel in map.chunks_exact(height * width) {
            padded.fill(channel);
            for ky in 0..down {
                for kx in 0..right {
                    for y in first..last {
                        let row = &padded.row(y * stride + ky)[kx..];
                        if stride == 1 {
                            patches.extend_from_slice(&row[..columns]);
                        } else {
                            patches.extend(row.iter().step_by(stride).take(columns));
                        }
                    }
                }
            }
        }
        Ok((CpuStorage::F32(patches), Shape::from((patch, (last - first) * columns))))
    }
}

/// A convolution of many small groups, without bias.
#[derive(Debug)]
pub struct Grouped<'a> {
    pub sliding: Sliding,
    /// out x in/groups x kernel.
    pub weight: &'a [f32],
    pub groups: usize,
    pub output_channels: usize,
}

impl CustomOp1 for Grouped<'_> {
    fn name(&self) -> &'static str {
        "grouped convolution"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (channels, height, width) = layout.shape().dims3()?;
        let map = contiguous(storage, layout)?;
        let Sliding { kernel: [down, right], padding, .. } = self.sliding;
        let shape = (self.output_channels, self.sliding.height, self.sliding.width);
        let mut output = vec![0.0; shape.0 * shape.1 * shape.2];
        let depth = channels / self.groups;
        let outputs_of_group = self.output_channels / self.groups;
        let mut padded: Vec<Padded> =
            (0..depth).map(|_| Padded::new(height, width, padding)).collect();
        let groups = map
            .chunks_exact(depth * height * width)
            .zip(output.chunks_exact_mut(outputs_of_group * shape.1 * shape.2))
            .zip(self.weight.chunks_exact(outputs_of_group * depth * down * right));
        for ((inputs, outputs), weights) in groups {
            for (padded, channel) in padded.iter_mut().zip(inputs.chunks_exact(height * width)) {
                padded.fill(channel);
            }
            let weights = weights.chunks_exact(depth * down * right);
            for (output, weights) in outputs.chunks_exact_mut(shape.1 * shape.2).zip(weights) {
                for (padded, kernel) in padded.iter().zip(weights.chunks_exact(down * right)) {
                    self.accumulate(padded, kernel, output);
                }
            }
        }
        Ok((CpuStorage::F32(output), Shape::from(shape)))
    }
}

impl Grouped<'_> {
    fn accumulate(&self, input: &Padded, kernel: &[f32], output: &mut [f32]) {
        let Sliding { kernel: [_, right], stride, width, .. } = self.sliding;
        for (y, output) in output.chunks_exact_mut(width).enumerate() {
            for (ky, kernel) in kernel.chunks_exact(right).enumerate() {
                let row = input.row(y * stride + ky);
                match (kernel, stride) {
                    // Three at once spares two of three passes over the output.
                    (&[a, b, c], 1) => {
                        let taps = row.iter().zip(&row[1..]).zip(&row[2..]);
                        for (output, ((x, y), z)) in output.iter_mut().zip(taps) {
                            *output += a * x + b * y + c * z;
                        }
                    }
                    (&[a, b, c], 2) => {
                        let pairs = row.as_chunks::<2>().0;
                        let next = row[2..].iter().step_by(2);
                        for (output, ([x, y], z)) in output.iter_mut().zip(pairs.iter().zip(next)) {
                            *output += a * x + b * y + c * z;
                        }
                    }
                    _ => {
                        for (kx, weight) in kernel.iter().enumerate() {
                            let values = row[kx..].iter().step_by(stride);
                            for (output, value) in output.iter_mut().zip(values) {
                                *output += weight * value;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Arithmetic with one weight a channel, in place.
#[derive(Debug, Clone, Copy)]
pub enum PerChannel<'a> {
    /// x + shift.
    Shift(&'a [f32]),
    /// x where x > 0, else slope x.
    PRelu(&'a [f32]),
    /// scale x + shift.
    Affine(&'a [f32], &'a [f32]),
}

impl InplaceOp1 for PerChannel<'_> {
    fn name(&self) -> &'static str {
        "per channel"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else { bail!("expected f32") };
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("expected a contiguous map, found {layout:?}")
        };
        let channels = layout.dims()[0].max(1);
        let channel = ((end - start) / channels).max(1);
        for (index, values) in values[start..end].chunks_exact_mut(channel).enumerate() {
            match *self {
                Self::Shift(shift) => {
                    for x in values {
                        *x += shift[index];
                    }
                }
                Self::PRelu(slope) => {
                    let slope = slope[index];
                    for x in values {
                        *x = if *x > 0.0 { *x } else { slope * *x };
                    }
                }
                Self::Affine(scale, shift) => {
                    let (scale, shift) = (scale[index], shift[index]);
                    for x in values {
                        *x = scale * *x + shift;
                    }
                }
            }
        }
        Ok(())
    }
}
