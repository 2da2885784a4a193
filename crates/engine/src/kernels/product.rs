//! Dense convolutions in f32: a matrix product of windows and weights that reads the windows
//! where they lie.

use std::ops::Range;

use facefold_kernels::lanes::Lanes;
use facefold_kernels::tile::{Segment, multiply};

use super::epilogue::{Epilogue, EpilogueOps, with_ops};
use crate::layout::{Tile, TilingLoop};

/// A dense convolution of some pictures.
pub(crate) struct Product<'a> {
    pub source: *const f32,
    /// Elements from one source pixel to the next.
    pub pitch: usize,
    pub tiling: &'a TilingLoop,
    pub segments: &'a [Segment],
    /// Panels of two registers of outputs (the last may have one); in each, for each value of
    /// the window, its weights.
    pub weights: &'a [f32],
    pub images: usize,
    /// The rows of outputs to compute.
    pub rows: Range<usize>,
    /// Whether all windows go through one panel before the next: where all panels together do
    /// not stay in the cache.
    pub panels_first: bool,
    pub epilogue: Epilogue<'a>,
}

/// The widest tile: 14 rows of two registers of 16.
#[repr(C, align(64))]
struct Scratch([f32; 14 * 32]);

/// Computes a dense convolution.
///
/// # Safety
/// The source can be read for all tiles of the loop; the planes of the epilogue hold all pixels of
/// the loop's pictures, with rows of `epilogue.pitch` channels.
#[inline(always)]
pub(crate) unsafe fn run<S: Lanes>(s: S, job: &Product<'_>) {
    let pairs = job.epilogue.pitch / (2 * S::COUNT);
    let odd = job.epilogue.pitch / S::COUNT % 2 == 1;
    let mut scratch = Scratch([0.0; 14 * 32]);
    let ops = job.epilogue.ops();
    let mut tile = Tile::EMPTY;
    if job.panels_first {
        for panel in 0..pairs {
            let mut tiles = job.tiling.tiles(job.images, job.rows.clone(), S::ROWS);
            while tiles.next(&mut tile) {
                // SAFETY: the caller's promise.
                unsafe { compute::<S, 2>(s, job, ops, &tile, panel, &mut scratch) };
            }
        }
        if odd {
            let mut tiles = job.tiling.tiles(job.images, job.rows.clone(), S::ROWS);
            while tiles.next(&mut tile) {
                // SAFETY: the caller's promise.
                unsafe { compute::<S, 1>(s, job, ops, &tile, pairs, &mut scratch) };
            }
        }
    } else {
        let mut tiles = job.tiling.tiles(job.images, job.rows.clone(), S::ROWS);
        while tiles.next(&mut tile) {
            for panel in 0..pairs {
                // SAFETY: the caller's promise.
                unsafe { compute::<S, 2>(s, job, ops, &tile, panel, &mut scratch) };
            }
            if odd {
                // SAFETY: the caller's promise.
                unsafe { compute::<S, 1>(s, job, ops, &tile, pairs, &mut scratch) };
            }
        }
    }
}

/// One tile of one panel.
#[inline(always)]
unsafe fn compute<S: Lanes, const N: usize>(
    s: S,
    job: &Product<'_>,
    ops: EpilogueOps,
    tile: &Tile,
    panel: usize,
    scratch: &mut Scratch,
) {
    let depth: usize = job.segments.iter().map(|segment| segment.length).sum();
    let weights = job.weights[panel * 2 * S::COUNT * depth..][..N * S::COUNT * depth].as_ptr();
    let source = job.source.wrapping_add(tile.source * job.pitch);
    let steps = [job.tiling.step * job.pitch, 1];
    let sums = scratch.0.as_mut_ptr();
    // SAFETY: the panel holds the weights; the caller vouches for the source; the scratch holds
    // 14 rows. Fewer rows than the tile has are never computed, more are dropped.
    unsafe {
        match tile.rows {
            1 => multiply::<S, N, 1>(s, source, steps, job.segments, weights, sums),
            2..=4 => multiply::<S, N, 4>(s, source, steps, job.segments, weights, sums),
            _ => match S::ROWS {
                14 => multiply::<S, N, 14>(s, source, steps, job.segments, weights, sums),
                8 => multiply::<S, N, 8>(s, source, steps, job.segments, weights, sums),
                _ => multiply::<S, N, 6>(s, source, steps, job.segments, weights, sums),
            },
        }
    }
    let first = panel * 2 * S::COUNT;
    with_ops!(ops, S::BF16, OPS => {
        // SAFETY: the caller's promise.
        unsafe { job.epilogue.tile::<S, N, false>(s, OPS, tile, &scratch.0, first) }
    });
}
