//! Convolutions whose outputs see one input channel, or one pair of channels.

use std::ops::Range;

use facefold_kernels::lanes::Lanes;

use super::epilogue::{Channels, Cursor, Epilogue, EpilogueOps, with_ops};
use super::planes::Planes;
use crate::layout::Window;

/// A depthwise convolution of some pictures.
pub(crate) struct Depthwise<'a> {
    pub source: Planes,
    pub window: Window,
    /// Columns of the output.
    pub width: usize,
    /// The rows of outputs to compute.
    pub rows: Range<usize>,
    /// For each cell of the window one weight a channel; for pairs, then those of the other
    /// channel of the pair.
    pub weights: &'a [f32],
    /// Whether outputs 2 i and 2 i + 1 both see inputs 2 i and 2 i + 1.
    pub pairs: bool,
    /// Whether negative values of the source count as zeros; not for pairs.
    pub rectify: bool,
    pub images: usize,
    pub epilogue: Epilogue<'a>,
}

/// Columns of outputs in a strip.
const STRIP: usize = 96;

/// One register of channels of one row of outputs.
struct Line<'a, S: Lanes> {
    /// The first cell of the first window.
    source: *const f32,
    /// Elements from one source row to the next.
    row: usize,
    /// The first cell of each row of a window of three, and of the row below.
    rows: [*const f32; 4],
    /// Elements from one source pixel to the next, and from one output to the next.
    pitch: usize,
    weights: *const f32,
    kernel: [usize; 2],
    /// Elements from one window to the next.
    step: usize,
    width: usize,
    channels: &'a Channels<S, 1>,
    /// The first output of the row, and of the one below.
    cursors: [Cursor; 2],
}

/// Computes a depthwise convolution.
///
/// # Safety
/// The source's f32 plane holds the pictures with at least the window's padding, the weights
/// `epilogue.pitch` numbers a cell, and the planes of the epilogue all outputs.
#[inline(always)]
pub(crate) unsafe fn run<S: Lanes>(s: S, job: &Depthwise<'_>) {
    with_ops!(job.epilogue.ops(), S::BF16, OPS => {
        // SAFETY: the caller's promise.
        unsafe {
            if S::BF16 && job.rectify {
                lines::<S, true>(s, OPS, job);
            } else {
                lines::<S, false>(s, OPS, job);
            }
        }
    });
}

#[inline(always)]
unsafe fn lines<S: Lanes, const RECTIFY: bool>(s: S, ops: EpilogueOps, job: &Depthwise<'_>) {
    let layout = job.source.layout;
    let Window { kernel, stride, padding } = job.window;
    for image in 0..job.images {
        let pad = layout.pad - padding;
        // Strips of columns, a register of channels at a time: the rows that the windows of
        // neighbouring rows share stay in the first-level cache.
        let mut column = 0;
        while column < job.width {
            let width = STRIP.min(job.width - column);
            let mut first = 0;
            while first < job.epilogue.pitch {
                let channels = job.epilogue.channels::<S, 1>(s, ops, first);
                let mut y = job.rows.start;
                while y < job.rows.end {
                    let row = |i: usize| {
                        let row = layout.row_start(pad + y * stride + i);
                        let pixel = image * layout.image() + row + pad + column * stride;
                        job.source.f32.wrapping_add(pixel * layout.pitch + first)
                    };
                    let cursor = |y: usize| job.epilogue.cursor([image, y, column], first);
                    // Two rows of outputs share two of their rows of inputs, where the registers
                    // suffice.
                    let pair = S::COUNT == 16
                        && !job.pairs
                        && (kernel, stride) == ([3, 3], 1)
                        && y + 1 < job.rows.end;
                    let mut line = Line {
                        source: row(0),
                        rows: [row(0), row(1), row(2), row(3)],
                        row: layout.row() * layout.pitch,
                        pitch: layout.pitch,
                        weights: job.weights[first..].as_ptr(),
                        kernel,
                        step: stride * layout.pitch,
                        width,
                        channels: &channels,
                        cursors: [cursor(y), cursor(if pair { y + 1 } else { y })],
                    };
                    // SAFETY: the caller's promise.
                    unsafe {
                        match (job.pairs, kernel, stride) {
                            (true, [3, 3], _) => line.pairs_of_three(s, ops),
                            (true, ..) => line.pairs(s, ops),
                            _ if pair => line.sliding::<RECTIFY, 2>(s, ops),
                            (false, [3, 3], 1) => line.sliding::<RECTIFY, 1>(s, ops),
                            (false, [3, 3], 2) => line.sliding_by_two::<RECTIFY>(s, ops),
                            _ => line.any::<RECTIFY>(s, ops),
                        }
                    }
                    y += if pair { 2 } else { 1 };
                }
                first += S::COUNT;
            }
            column += width;
        }
    }
}

/// A register of the source.
///
/// # Safety
/// It can be read from there.
#[inline(always)]
unsafe fn value<S: Lanes, const RECTIFY: bool>(s: S, from: *const f32) -> S::Register {
    // SAFETY: the caller's promise.
    let value = unsafe { s.load(from) };
    if RECTIFY { s.max(value, s.splat(0.0)) } else { value }
}

/// All of these are unsafe for the same reason: the line's addresses must hold all cells of its
/// windows, their weights and their outputs.
impl<S: Lanes> Line<'_, S> {
    #[inline(always)]
    unsafe fn emit(&mut self, s: S, ops: EpilogueOps, sum: S::Register) {
        // SAFETY: the caller's promise.
        unsafe { self.channels.emit(s, ops, &mut self.cursors[0], self.pitch, [sum]) };
    }

    /// [`Self::emit`] for a sum of the row `index` that has its bias.
    #[inline(always)]
    unsafe fn emit_biased(&mut self, s: S, ops: EpilogueOps, index: usize, sum: S::Register) {
        let cursor = &mut self.cursors[index];
        // SAFETY: the caller's promise.
        unsafe { self.channels.emit_biased(s, ops, cursor, self.pitch, [sum]) };
    }

    /// The `index`-th register of weights.
    #[inline(always)]
    unsafe fn weight(&self, s: S, index: usize) -> S::Register {
        // SAFETY: the caller's promise.
        unsafe { s.load(self.weights.add(index * self.pitch)) }
    }

    /// The weights of 3x3 windows.
    #[inline(always)]
    unsafe fn nine_weights(&self, s: S) -> [S::Register; 9] {
        let mut weights = [s.splat(0.0); 9];
        for (index, weight) in weights.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *weight = unsafe { self.weight(s, index) };
        }
        weights
    }

    /// `N` rows of 3x3 windows one pixel apart: each source pixel is read once and goes into
    /// three sums of every row.
    #[inline(always)]
    unsafe fn sliding<const RECTIFY: bool, const N: usize>(&mut self, s: S, ops: EpilogueOps) {
        // SAFETY: the caller's promise.
        let w = unsafe { self.nine_weights(s) };
        // The sums of the windows that start here, and of those that started a pixel before.
        let (mut current, mut previous) = ([s.splat(0.0); N], [s.splat(0.0); N]);
        let mut skip = 0;
        for x in 0..self.width + 2 {
            let mut column = [s.splat(0.0); 4];
            for (cell, row) in column.iter_mut().zip(self.rows).take(N + 2) {
                // SAFETY: the caller's promise.
                *cell = unsafe { value::<S, RECTIFY>(s, row.add(skip)) };
            }
            for i in 0..N {
                let [a, b, c] = [column[i], column[i + 1], column[i + 2]];
                let done = s.fma(c, w[8], s.fma(b, w[5], s.fma(a, w[2], previous[i])));
                previous[i] = s.fma(c, w[7], s.fma(b, w[4], s.fma(a, w[1], current[i])));
                let bias = self.channels.bias();
                current[i] = s.fma(c, w[6], s.fma(b, w[3], s.fma(a, w[0], bias)));
                if x >= 2 {
                    // SAFETY: the caller's promise.
                    unsafe { self.emit_biased(s, ops, i, done) };
                }
            }
            skip += self.pitch;
        }
    }

    /// 3x3 windows two pixels apart: the last column of a window is the first of the next.
    #[inline(always)]
    unsafe fn sliding_by_two<const RECTIFY: bool>(&mut self, s: S, ops: EpilogueOps) {
        // SAFETY: the caller's promise.
        let w = unsafe { self.nine_weights(s) };
        let [top, middle, bottom, _] = self.rows;
        let column = |skip: usize| {
            // SAFETY: the caller's promise.
            [top, middle, bottom].map(|row| unsafe { value::<S, RECTIFY>(s, row.add(skip)) })
        };
        let mut last = column(0);
        for x in 0..self.width {
            let mut sum = self.channels.bias();
            for i in 0..3 {
                sum = s.fma(last[i], w[3 * i], sum);
            }
            let next = column(x * self.step + self.pitch);
            for i in 0..3 {
                sum = s.fma(next[i], w[3 * i + 1], sum);
            }
            last = column(x * self.step + 2 * self.pitch);
            for i in 0..3 {
                sum = s.fma(last[i], w[3 * i + 2], sum);
            }
            // SAFETY: the caller's promise.
            unsafe { self.emit_biased(s, ops, 0, sum) };
        }
    }

    /// Windows of any size.
    #[inline(always)]
    unsafe fn any<const RECTIFY: bool>(&mut self, s: S, ops: EpilogueOps) {
        for x in 0..self.width {
            let source = self.source.wrapping_add(x * self.step);
            let mut sum = s.splat(0.0);
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    // SAFETY: the caller's promise.
                    sum = unsafe {
                        let value =
                            value::<S, RECTIFY>(s, source.add(i * self.row + j * self.pitch));
                        s.fma(value, self.weight(s, i * self.kernel[1] + j), sum)
                    };
                }
            }
            // SAFETY: the caller's promise.
            unsafe { self.emit(s, ops, sum) };
        }
    }

    /// 3x3 windows over pairs of channels, weights kept in registers: for their own channel, and,
    /// by swapping lanes once at the end, for the pair's other.
    #[inline(always)]
    unsafe fn pairs_of_three(&mut self, s: S, ops: EpilogueOps) {
        let mut own = [s.splat(0.0); 9];
        let mut other = own;
        for index in 0..9 {
            // SAFETY: the caller's promise.
            unsafe {
                own[index] = self.weight(s, 2 * index);
                // The weights are those of the outputs; before the swap they meet the inputs.
                other[index] = s.swap_pairs(self.weight(s, 2 * index + 1));
            }
        }
        for x in 0..self.width {
            let (mut straight, mut crossed) = ([s.splat(0.0); 3], [s.splat(0.0); 3]);
            for i in 0..3 {
                for j in 0..3 {
                    // SAFETY: the caller's promise.
                    let value = unsafe { s.load(self.rows[i].add(x * self.step + j * self.pitch)) };
                    straight[i] = s.fma(value, own[3 * i + j], straight[i]);
                    crossed[i] = s.fma(value, other[3 * i + j], crossed[i]);
                }
            }
            let straight = s.add(straight[0], s.add(straight[1], straight[2]));
            let crossed = s.add(crossed[0], s.add(crossed[1], crossed[2]));
            // SAFETY: the caller's promise.
            unsafe { self.emit(s, ops, s.add(straight, s.swap_pairs(crossed))) };
        }
    }

    /// Windows of any size over pairs of channels.
    #[inline(always)]
    unsafe fn pairs(&mut self, s: S, ops: EpilogueOps) {
        for x in 0..self.width {
            let source = self.source.wrapping_add(x * self.step);
            let (mut own, mut other) = (s.splat(0.0), s.splat(0.0));
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    let index = 2 * (i * self.kernel[1] + j);
                    // SAFETY: the caller's promise.
                    unsafe {
                        let value = s.load(source.add(i * self.row + j * self.pitch));
                        own = s.fma(value, self.weight(s, index), own);
                        other = s.fma(s.swap_pairs(value), self.weight(s, index + 1), other);
                    }
                }
            }
            // SAFETY: the caller's promise.
            unsafe { self.emit(s, ops, s.add(own, other)) };
        }
    }
}
