//! Convolutions of 3x3 windows one pixel apart in f32 with 16 products where the definition takes
//! 36: F(2x2, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015).
//!
//! Four by four values of the source that give two by two outputs are transformed along both axes
//! (differences and sums), multiplied with transformed weights place by place, summed over the
//! channels, and transformed back.

use std::ops::Range;

use facefold_kernels::lanes::Lanes;
use facefold_kernels::tile::{Segment, multiply};

use super::epilogue::{Epilogue, EpilogueOps, with_ops};
use crate::layout::Layout;

/// Places of a transformed tile.
pub(crate) const PLACES: usize = 16;

/// Transformed values of the source that are in use at a time, in bytes: more than half of a
/// common second-level cache, unless the weights are so large that reading them again costs more.
const SOURCE_BYTES: usize = 640 << 10;

/// A convolution of some pictures.
pub(crate) struct Winograd<'a> {
    pub source: *const f32,
    pub layout: Layout,
    pub padding: usize,
    /// Channels of the source.
    pub inputs: usize,
    /// Columns of the output.
    pub width: usize,
    /// The rows of outputs to compute.
    pub rows: Range<usize>,
    pub images: usize,
    /// Panels of two registers of outputs (the last may have one); in each, place by place and
    /// channel by channel, the transformed weights.
    pub weights: &'a [f32],
    /// As many numbers as [`Blocks::scratch`].
    pub scratch: *mut f32,
    pub epilogue: Epilogue<'a>,
}

/// How many tiles are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Tiles of all pictures.
    total: usize,
    /// Tiles of a block.
    tiles: usize,
    /// Rows of a product, to whose multiple tiles are computed.
    rows: usize,
    /// Elements from one source pixel to the next.
    pitch: usize,
}

impl Blocks {
    /// For outputs of so many rows and columns in so many pictures, and products of `rows` tiles.
    pub fn new(
        [height, width, images]: [usize; 3],
        pitch: usize,
        weights: usize,
        rows: usize,
    ) -> Self {
        let total = images * height.div_ceil(2) * width.div_ceil(2);
        let bytes = SOURCE_BYTES.max(weights * size_of::<f32>() / 4);
        let most = bytes / (PLACES * pitch * size_of::<f32>());
        let tiles = if total <= most { total } else { (most / rows).max(1) * rows };
        Self { total, tiles, rows, pitch }
    }

    /// Tiles of a block, rounded up to a multiple of the rows of a product.
    fn room(self) -> usize {
        self.tiles.next_multiple_of(self.rows)
    }

    /// Elements from one place of the transformed source to the next. Not a multiple of a page:
    /// what lies pages apart shares few lines of the first-level cache.
    fn place(self) -> usize {
        self.room() * self.pitch + 16
    }

    /// Numbers of the transformed source, and of the products of a panel.
    pub fn scratch(self) -> usize {
        PLACES * (self.place() + self.room() * 32)
    }
}

/// Computes a convolution.
///
/// # Safety
/// The source's f32 plane can be read for windows of four by four at every other output, the
/// weights hold all panels of `epilogue.pitch` outputs, the scratch all of its blocks, and the
/// planes of the epilogue all pixels, with rows of `epilogue.pitch` channels.
#[inline(always)]
pub(crate) unsafe fn run<S: Lanes>(s: S, job: &Winograd<'_>) {
    let size = [job.rows.len(), job.width, job.images];
    let blocks = Blocks::new(size, job.layout.pitch, job.weights.len(), S::ROWS);
    let ops = job.epilogue.ops();
    for first in (0..blocks.total).step_by(blocks.tiles) {
        let tiles = first..(first + blocks.tiles).min(blocks.total);
        // SAFETY: the caller's promise.
        unsafe {
            for (slot, tile) in tiles.clone().enumerate() {
                transform(s, job, blocks, slot, tile);
            }
            for output in (0..job.epilogue.pitch).step_by(2 * S::COUNT) {
                if output + S::COUNT < job.epilogue.pitch {
                    panel::<S, 2>(s, job, ops, blocks, tiles.clone(), output);
                } else {
                    panel::<S, 1>(s, job, ops, blocks, tiles.clone(), output);
                }
            }
        }
    }
}

/// Picture, row and column of a tile's first output.
#[inline(always)]
fn place(job: &Winograd<'_>, tile: usize) -> [usize; 3] {
    let (across, down) = (job.width.div_ceil(2), job.rows.len().div_ceil(2));
    let row = tile / across;
    [row / down, job.rows.start + 2 * (row % down), 2 * (tile % across)]
}

/// B' d B with B' = (1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1), for all channels of a tile.
///
/// Along one axis the outputs of a tile's first row or column see the first three values alone,
/// and so do their sums: what lies under outputs that are dropped does not matter.
#[inline(always)]
unsafe fn transform<S: Lanes>(s: S, job: &Winograd<'_>, blocks: Blocks, slot: usize, tile: usize) {
    let [image, y, x] = place(job, tile);
    let layout = &job.layout;
    let corner = layout.pixel(image, y, x) - job.padding * (layout.row() + 1);
    let source = job.source.wrapping_add(corner * layout.pitch);
    let to = job.scratch.wrapping_add(slot * blocks.pitch);
    let row = layout.row() * layout.pitch;
    for channel in (0..layout.pitch).step_by(S::COUNT) {
        let zero = s.splat(0.0);
        let mut across = [[zero; 4]; 4];
        for (i, places) in across.iter_mut().enumerate() {
            let from = source.wrapping_add(i * row + channel);
            // SAFETY: the caller vouches for windows of four by four.
            let d = unsafe {
                [
                    s.load(from),
                    s.load(from.add(layout.pitch)),
                    s.load(from.add(2 * layout.pitch)),
                    s.load(from.add(3 * layout.pitch)),
                ]
            };
            *places = differences(s, d);
        }
        for (j, column) in transposed(across).into_iter().enumerate() {
            for (i, value) in differences(s, column).into_iter().enumerate() {
                let to = to.wrapping_add((4 * i + j) * blocks.place() + channel);
                // SAFETY: the caller vouches for the scratch.
                unsafe { s.store(to, value) };
            }
        }
    }
}

#[inline(always)]
fn differences<S: Lanes>(s: S, d: [S::Register; 4]) -> [S::Register; 4] {
    [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])]
}

/// One panel of outputs of a block: products at each place, and their way back to outputs.
#[inline(always)]
unsafe fn panel<S: Lanes, const N: usize>(
    s: S,
    job: &Winograd<'_>,
    ops: EpilogueOps,
    blocks: Blocks,
    tiles: Range<usize>,
    output: usize,
) {
    let weights = &job.weights[output * PLACES * job.inputs..];
    let each = N * S::COUNT * job.inputs;
    let segments = [Segment { offset: 0, length: job.inputs }];
    let sums = job.scratch.wrapping_add(PLACES * blocks.place());
    let width = N * S::COUNT;
    let steps = [blocks.pitch, 1];
    for place in 0..PLACES {
        let weights = weights[place * each..][..each].as_ptr();
        for slot in (0..tiles.len()).step_by(S::ROWS) {
            let source = job.scratch.wrapping_add(place * blocks.place() + slot * blocks.pitch);
            let sums = sums.wrapping_add((place * blocks.room() + slot) * width);
            // SAFETY: the scratch has room for whole products; the weights are those of a place.
            unsafe {
                if tiles.len() - slot <= 4 {
                    multiply::<S, N, 4>(s, source, steps, &segments, weights, sums);
                } else {
                    match S::ROWS {
                        14 => multiply::<S, N, 14>(s, source, steps, &segments, weights, sums),
                        8 => multiply::<S, N, 8>(s, source, steps, &segments, weights, sums),
                        6 => multiply::<S, N, 6>(s, source, steps, &segments, weights, sums),
                        _ => multiply::<S, N, 4>(s, source, steps, &segments, weights, sums),
                    }
                }
            }
        }
    }
    for register in 0..N {
        let sums = sums.wrapping_add(register * S::COUNT);
        let first = output + register * S::COUNT;
        with_ops!(ops, S::BF16, OPS => {
            // SAFETY: the sums were just written; the caller vouches for the outputs.
            unsafe { outputs::<S>(s, OPS, job, blocks.room() * width, width, sums, tiles.clone(), first) }
        });
    }
}

/// A' m A with A' = (1 1 1 0; 0 1 -1 -1), and the epilogue, for one register of channels.
#[allow(clippy::too_many_arguments, reason = "a loop that is compiled for each combination")]
#[inline(always)]
unsafe fn outputs<S: Lanes>(
    s: S,
    ops: EpilogueOps,
    job: &Winograd<'_>,
    place_step: usize,
    step: usize,
    sums: *const f32,
    tiles: Range<usize>,
    first: usize,
) {
    let channels = job.epilogue.channels::<S, 1>(s, ops, first);
    for (slot, tile) in tiles.enumerate() {
        let mut places = [[s.splat(0.0); 4]; 4];
        for (i, row) in places.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                let from = sums.wrapping_add((4 * i + j) * place_step + slot * step);
                // SAFETY: the caller vouches for the sums.
                *value = unsafe { s.load(from) };
            }
        }
        let [a, b, c, d] = transposed(places);
        let [a, b, c, d] = [ends(s, a), ends(s, b), ends(s, c), ends(s, d)];
        let [image, y, x] = place(job, tile);
        for row in 0..2.min(job.rows.end - y) {
            let mut cursor = job.epilogue.cursor([image, y + row, x], first);
            let values = ends(s, [a[row], b[row], c[row], d[row]]);
            for value in values.into_iter().take(job.width - x) {
                // SAFETY: the caller vouches for the outputs.
                unsafe { channels.emit(s, ops, &mut cursor, job.epilogue.pitch, [value]) };
            }
        }
    }
}

#[inline(always)]
fn ends<S: Lanes>(s: S, m: [S::Register; 4]) -> [S::Register; 2] {
    [s.add(s.add(m[0], m[1]), m[2]), s.sub(s.sub(m[1], m[2]), m[3])]
}

/// Columns as rows. Spelled out: what a closure does is not always compiled for the registers of
/// the loop around it.
#[inline(always)]
pub(crate) fn transposed<T: Copy>([a, b, c, d]: [[T; 4]; 4]) -> [[T; 4]; 4] {
    [
        [a[0], b[0], c[0], d[0]],
        [a[1], b[1], c[1], d[1]],
        [a[2], b[2], c[2], d[2]],
        [a[3], b[3], c[3], d[3]],
    ]
}
