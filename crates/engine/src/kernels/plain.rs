//! Layers without large weights (sums, pooling, concatenation), in plain loops over rows.

use std::ops::Range;

use super::planes::Planes;
use crate::network::Op;

/// A value's f32 plane, row by row.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    planes: Planes,
    /// The channels that mean something.
    first: usize,
    channels: usize,
    /// How many times each pixel is repeated along both axes; only sums take other factors than 1.
    factor: usize,
}

impl Rows {
    /// # Safety
    /// The f32 plane is there and outlives this; while a row of it is borrowed, nothing else
    /// writes to it.
    pub unsafe fn new(planes: Planes, channels: Range<usize>, factor: usize) -> Self {
        Self { planes, first: channels.start, channels: channels.len(), factor }
    }

    /// The channels of a pixel that are the value's; the others are left alone.
    pub fn channels(&self) -> Range<usize> {
        self.first..self.first + self.channels
    }

    /// Elements from one pixel to the next.
    pub fn pitch(&self) -> usize {
        self.planes.layout.pitch
    }

    fn width(&self) -> usize {
        self.planes.layout.width
    }

    fn height(&self) -> usize {
        self.planes.layout.height
    }

    /// One row of pixels with all their padding channels.
    pub fn row(&self, image: usize, y: usize) -> &[f32] {
        let start = self.planes.at([image, y, 0], 0).f32;
        // SAFETY: the promise made to `new`; a row lies within the plane.
        unsafe { std::slice::from_raw_parts(start, self.width() * self.pitch()) }
    }

    /// Copies the channels of a row's pixels one after another.
    pub fn copy_row<const N: usize>(&self, row: &[f32], to: &mut [f32]) {
        let (pixels, _) = to.as_chunks_mut::<N>();
        for (to, from) in pixels.iter_mut().zip(row.chunks_exact(self.pitch())) {
            if let Some(from) = from[self.first..].first_chunk::<N>() {
                *to = *from;
            }
        }
    }

    fn row_mut(&mut self, image: usize, y: usize) -> &mut [f32] {
        let start = self.planes.at([image, y, 0], 0).f32;
        // SAFETY: as for `row`.
        unsafe { std::slice::from_raw_parts_mut(start, self.width() * self.pitch()) }
    }

    /// The channels of one pixel.
    fn pixel(&self, image: usize, y: usize, x: usize) -> &[f32] {
        &self.row(image, y)[x * self.pitch()..][self.channels()]
    }
}

/// Computes a layer without convolution for the picture `image`, from the values that `input`
/// gives.
pub(crate) fn run(op: &Op, input: &dyn Fn(usize) -> Option<Rows>, mut output: Rows, image: usize) {
    let Some(x) = input(0) else { return };
    let output = &mut output;
    match op {
        Op::PRelu(slope) => each(&x, output, image, |c, v| if v > 0.0 { v } else { slope[c] * v }),
        Op::Relu => each(&x, output, image, |_, v| v.max(0.0)),
        Op::Sigmoid => each(&x, output, image, |_, v| 1.0 / (1.0 + (-v).exp())),
        Op::Affine { scale, shift } => each(&x, output, image, |c, v| scale[c] * v + shift[c]),
        Op::Add => {
            let Some(other) = input(1) else { return };
            let pitch = output.pitch();
            for y in 0..output.height() {
                let rows = [&x, &other].map(|rows| rows.row(image, y / rows.factor));
                for (column, to) in output.row_mut(image, y).chunks_exact_mut(pitch).enumerate() {
                    let a = &rows[0][column / x.factor * pitch..][..pitch];
                    let b = &rows[1][column / other.factor * pitch..][..pitch];
                    for (to, (a, b)) in to.iter_mut().zip(a.iter().zip(b)) {
                        *to = a + b;
                    }
                }
            }
        }
        Op::Upsample(factor) => {
            let pitch = output.pitch();
            for y in 0..output.height() {
                let from = x.row(image, y / factor).chunks_exact(x.pitch());
                let to = output.row_mut(image, y).chunks_exact_mut(factor * pitch);
                for (to, from) in to.zip(from) {
                    to.chunks_exact_mut(pitch).for_each(|pixel| pixel.copy_from_slice(from));
                }
            }
        }
        Op::Concat => {
            let mut first = 0;
            for input in (0..).map_while(input) {
                for y in 0..output.height() {
                    let pitch = output.pitch();
                    let to = output.row_mut(image, y).chunks_exact_mut(pitch);
                    for (to, from) in to.zip(input.row(image, y).chunks_exact(input.pitch())) {
                        to[first..first + input.channels].copy_from_slice(&from[..input.channels]);
                    }
                }
                first += input.channels;
            }
        }
        Op::MaxPool { kernel, stride, padding, .. } => {
            pool(
                &x,
                output,
                image,
                [*kernel, *stride, *padding],
                f32::NEG_INFINITY,
                f32::max,
                false,
            );
        }
        Op::AveragePool { kernel, stride, padding, .. } => {
            pool(&x, output, image, [*kernel, *stride, *padding], 0.0, |a, b| a + b, true);
        }
        Op::Flatten => {
            let plane = x.height() * x.width();
            for y in 0..x.height() {
                for column in 0..x.width() {
                    let to = &mut output.row_mut(image, 0)[y * x.width() + column..];
                    for (to, &from) in to.iter_mut().step_by(plane).zip(x.pixel(image, y, column)) {
                        *to = from;
                    }
                }
            }
        }
        Op::Moments => moments(&x, output, image),
        Op::Convolution(_) | Op::Linear { .. } => {}
    }
}

/// A function of each value and its channel.
fn each(x: &Rows, output: &mut Rows, image: usize, function: impl Fn(usize, f32) -> f32) {
    let (pitch, channels) = (output.pitch(), output.channels);
    for y in 0..output.height() {
        let to = output.row_mut(image, y).chunks_exact_mut(pitch);
        for (to, from) in to.zip(x.row(image, y).chunks_exact(x.pitch())) {
            for (c, (to, &from)) in to[..channels].iter_mut().zip(&from[x.first..]).enumerate() {
                *to = function(c, from);
            }
        }
    }
}

fn pool(
    x: &Rows,
    output: &mut Rows,
    image: usize,
    [kernel, stride, padding]: [usize; 3],
    start: f32,
    combine: impl Fn(f32, f32) -> f32,
    mean: bool,
) {
    let (pitch, channels) = (output.pitch(), output.channels);
    let range = |at: usize, limit: usize| {
        let first = (at * stride).saturating_sub(padding);
        first..(at * stride + kernel - padding).min(limit)
    };
    for y in 0..output.height() {
        for column in 0..output.width() {
            let to = &mut output.row_mut(image, y)[column * pitch..][..channels];
            to.fill(start);
            let (rows, columns) = (range(y, x.height()), range(column, x.width()));
            let count = (rows.len() * columns.len()) as f32;
            for i in rows {
                for j in columns.clone() {
                    for (to, &from) in to.iter_mut().zip(x.pixel(image, i, j)) {
                        *to = combine(*to, from);
                    }
                }
            }
            if mean {
                for to in to {
                    *to /= count;
                }
            }
        }
    }
}

/// Means and deviations in two passes, sums in f64: a deviation taken as a difference of large
/// sums would lose what a head needs of it.
fn moments(x: &Rows, output: &mut Rows, image: usize) {
    const BLOCK: usize = 16;
    let count = (x.height() * x.width()) as f64;
    for first in (0..x.channels).step_by(BLOCK) {
        let block = first..(first + BLOCK).min(x.channels);
        let (mut means, mut squares) = ([0.0; BLOCK], [0.0; BLOCK]);
        for y in 0..x.height() {
            for pixel in x.row(image, y).chunks_exact(x.pitch()) {
                for (sum, &v) in means.iter_mut().zip(&pixel[block.clone()]) {
                    *sum += f64::from(v);
                }
            }
        }
        for sum in &mut means {
            *sum /= count;
        }
        for y in 0..x.height() {
            for pixel in x.row(image, y).chunks_exact(x.pitch()) {
                for ((sum, mean), &v) in squares.iter_mut().zip(&means).zip(&pixel[block.clone()]) {
                    *sum += (f64::from(v) - mean).powi(2);
                }
            }
        }
        let row = output.row_mut(image, 0);
        for (i, c) in block.enumerate() {
            row[c] = means[i] as f32;
            row[x.channels + c] = (squares[i] / count).sqrt() as f32;
        }
    }
}
