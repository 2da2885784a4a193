//! Convolutions whose outputs see one input channel, or one pair of channels.

use super::finish::{Channels, Cursor, Finish, Planes};
use super::lanes::Lanes;
use crate::layout::Window;

/// A depthwise convolution of some pictures.
pub(crate) struct Depthwise<'a> {
    pub source: Planes,
    pub window: Window,
    /// Rows and columns of the output.
    pub size: [usize; 2],
    /// For each cell of the window one weight a channel; for pairs, then those of the other
    /// channel of the pair.
    pub weights: &'a [f32],
    /// Whether outputs 2 i and 2 i + 1 both see inputs 2 i and 2 i + 1.
    pub pairs: bool,
    pub images: usize,
    pub finish: Finish<'a>,
}

/// One register of channels of one row of outputs.
struct Line<'a, S: Lanes> {
    /// The first cell of the first window.
    source: *const f32,
    /// Elements from one source row to the next.
    row: usize,
    /// Elements from one pixel to the next.
    pitch: usize,
    weights: *const f32,
    channels: &'a Channels<S, 1>,
    cursor: Cursor,
    width: usize,
}

/// Computes a depthwise convolution.
///
/// # Safety
/// The source's f32 plane holds the pictures with at least the window's padding, the weights
/// `finish.pitch` numbers a cell, and the planes of the finish all outputs.
#[inline(always)]
pub(crate) unsafe fn run<S: Lanes>(s: S, job: &Depthwise<'_>) {
    let layout = job.source.layout;
    let Window { kernel, stride, padding } = job.window;
    for image in 0..job.images {
        let corner = layout.pixel(image, 0, 0) - padding * (layout.row() + 1);
        for y in 0..job.size[0] {
            let mut first = 0;
            while first < job.finish.pitch {
                let channels = job.finish.channels::<S, 1>(s, first);
                let pixel = corner + y * stride * layout.row();
                let row = Line {
                    source: job.source.f32.wrapping_add(pixel * layout.pitch + first),
                    row: layout.row() * layout.pitch,
                    pitch: layout.pitch,
                    weights: job.weights[first..].as_ptr(),
                    channels: &channels,
                    cursor: channels.cursor(&job.finish, [image, y, 0]),
                    width: job.size[1],
                };
                // SAFETY: the caller's promise.
                unsafe {
                    match (job.pairs, kernel, stride) {
                        (true, ..) => paired(s, &row, kernel, stride),
                        (false, [3, 3], 1) => sliding(s, &row),
                        (false, [3, 3], 2) => fixed::<S, 3>(s, &row, stride),
                        _ => any(s, &row, kernel, stride),
                    }
                }
                first += S::COUNT;
            }
        }
    }
}

/// 3x3 windows one pixel apart: each source pixel is read once and goes into three sums.
#[inline(always)]
unsafe fn sliding<S: Lanes>(s: S, row: &Line<'_, S>) {
    let mut w = [s.splat(0.0); 9];
    for (cell, weight) in w.iter_mut().enumerate() {
        // SAFETY: the weights hold `pitch` numbers a cell.
        *weight = unsafe { s.load(row.weights.add(cell * row.pitch)) };
    }
    let zero = s.splat(0.0);
    // The sums of the window that starts here, and of the one that started a pixel before.
    let (mut current, mut previous) = (zero, zero);
    let mut source = row.source;
    for x in 0..row.width + 2 {
        // SAFETY: the caller vouches for the windows' cells.
        let (a, b, c) = unsafe {
            (s.load(source), s.load(source.add(row.row)), s.load(source.add(2 * row.row)))
        };
        let done = s.fma(c, w[8], s.fma(b, w[5], s.fma(a, w[2], previous)));
        previous = s.fma(c, w[7], s.fma(b, w[4], s.fma(a, w[1], current)));
        current = s.fma(c, w[6], s.fma(b, w[3], s.mul(a, w[0])));
        if x >= 2 {
            // SAFETY: the caller vouches for the outputs.
            unsafe { row.channels.emit(s, &row.cursor, x - 2, [done]) };
        }
        source = source.wrapping_add(row.pitch);
    }
}

/// K x K windows, weights kept in registers.
#[inline(always)]
unsafe fn fixed<S: Lanes, const K: usize>(s: S, row: &Line<'_, S>, stride: usize) {
    let mut w = [[s.splat(0.0); K]; K];
    for (cell, weight) in w.iter_mut().flatten().enumerate() {
        // SAFETY: the weights hold `pitch` numbers a cell.
        *weight = unsafe { s.load(row.weights.add(cell * row.pitch)) };
    }
    for x in 0..row.width {
        let source = row.source.wrapping_add(x * stride * row.pitch);
        let mut sum = s.splat(0.0);
        for (i, line) in w.iter().enumerate() {
            for (j, &weight) in line.iter().enumerate() {
                // SAFETY: the caller vouches for the window's cells.
                let value = unsafe { s.load(source.add(i * row.row + j * row.pitch)) };
                sum = s.fma(value, weight, sum);
            }
        }
        // SAFETY: the caller vouches for the outputs.
        unsafe { row.channels.emit(s, &row.cursor, x, [sum]) };
    }
}

/// Windows of any size.
#[inline(always)]
unsafe fn any<S: Lanes>(s: S, row: &Line<'_, S>, kernel: [usize; 2], stride: usize) {
    for x in 0..row.width {
        let source = row.source.wrapping_add(x * stride * row.pitch);
        let mut sum = s.splat(0.0);
        for i in 0..kernel[0] {
            for j in 0..kernel[1] {
                // SAFETY: the caller vouches for the window's cells and their weights.
                let (value, weight) = unsafe {
                    (
                        s.load(source.add(i * row.row + j * row.pitch)),
                        s.load(row.weights.add((i * kernel[1] + j) * row.pitch)),
                    )
                };
                sum = s.fma(value, weight, sum);
            }
        }
        // SAFETY: the caller vouches for the outputs.
        unsafe { row.channels.emit(s, &row.cursor, x, [sum]) };
    }
}

/// Outputs that see a pair of channels: their own, and the pair's other by swapping lanes.
#[inline(always)]
unsafe fn paired<S: Lanes>(s: S, row: &Line<'_, S>, kernel: [usize; 2], stride: usize) {
    for x in 0..row.width {
        let source = row.source.wrapping_add(x * stride * row.pitch);
        let (mut own, mut other) = (s.splat(0.0), s.splat(0.0));
        for i in 0..kernel[0] {
            for j in 0..kernel[1] {
                let weight = row.weights.wrapping_add(2 * (i * kernel[1] + j) * row.pitch);
                // SAFETY: the caller vouches for the window's cells and their weights.
                let (value, first, second) = unsafe {
                    (
                        s.load(source.add(i * row.row + j * row.pitch)),
                        s.load(weight),
                        s.load(weight.add(row.pitch)),
                    )
                };
                own = s.fma(value, first, own);
                other = s.fma(s.swap_pairs(value), second, other);
            }
        }
        // SAFETY: the caller vouches for the outputs.
        unsafe { row.channels.emit(s, &row.cursor, x, [s.add(own, other)]) };
    }
}
