//! Dense convolutions in bf16 on matrix tiles (AMX): products of 16 windows, 32 values of the
//! window and 16 outputs at a time, summed in f32.

use std::arch::asm;
use std::arch::x86_64::{_mm512_mask_loadu_epi16, _mm512_setzero_si512, _mm512_store_si512};
use std::marker::PhantomData;
use std::ops::Range;

mod products;

use products::{Operands, double, single, triple};

use facefold_kernels::lanes::Lanes;

use super::epilogue::{Epilogue, EpilogueOps, F32, with_ops};
use super::planes::Planes;
use crate::layout::{Tile, TileWindow, TilingLoop};
use crate::pack::{TILE_DEPTH, TILE_ROWS};

/// The tile registers of this thread, configured as eight full tiles until it is dropped.
pub(crate) struct Tiles(PhantomData<*const ()>);

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_a_row: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Configures the tiles of this thread.
    ///
    /// # Safety
    /// [`tiles_are_permitted`] has returned true.
    pub unsafe fn new() -> Self {
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes_a_row: [0; 16],
            rows: [0; 16],
        };
        configuration.bytes_a_row[..8].fill(64);
        configuration.rows[..8].fill(16);
        // SAFETY: the caller's promise; the operand is 64 bytes of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack)) };
        Self(PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: tiles are there, as `new` has used them; no other code relies on them.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// A dense convolution of some pictures.
pub(crate) struct TileProduct<'a> {
    /// The first bf16 plane.
    pub source: *const u16,
    /// The second bf16 plane; null where there is none or it holds zeros.
    pub low: *const u16,
    /// Bf16 planes of the weights.
    pub parts: usize,
    /// Elements from one source pixel to the next.
    pub pitch: usize,
    pub tiling: &'a TilingLoop,
    pub window: TileWindow,
    /// Panels of 32 outputs.
    pub weights: &'a [u16],
    /// Elements of one panel.
    pub panel: usize,
    pub images: usize,
    /// The rows of outputs to compute.
    pub rows: Range<usize>,
    /// Whether all windows go through one panel before the next.
    pub panels_first: bool,
    pub epilogue: Epilogue<'a>,
}

/// Sums of 32 windows and 32 outputs.
#[repr(C, align(64))]
struct Scratch([f32; 32 * 32]);

/// The values of 32 windows that fit one step, from the first and from the second plane.
#[repr(C, align(64))]
struct Gathered([[u16; TILE_DEPTH * TILE_ROWS]; 2]);

impl Gathered {
    const EMPTY: Self = Self([[0; TILE_DEPTH * TILE_ROWS]; 2]);

    /// Gathers the windows of some rows of a tile from a source pixel on.
    ///
    /// # Safety
    /// As for [`run`].
    #[inline(always)]
    unsafe fn gather(&mut self, job: &TileProduct<'_>, source: usize, rows: usize) {
        let TileWindow { length, row, .. } = job.window;
        let step = job.tiling.step * job.pitch;
        let mask = (1_u32 << length) - 1;
        let masks = [mask, mask << length, mask << (2 * length)];
        // Each row of a window is read as if the rows before it stood in front of it.
        let skips = [0, row - length, 2 * (row - length)];
        for (windows, plane) in self.0.iter_mut().zip([job.source, job.low]) {
            if plane.is_null() {
                continue;
            }
            let mut window = plane.wrapping_add(source * job.pitch);
            for to in windows.chunks_exact_mut(TILE_DEPTH).take(rows) {
                // SAFETY: only the values of the window are read, and as many as a step has
                // written. The processor has AVX-512 with BW.
                unsafe {
                    let read = |i: usize, others| {
                        let from = window.wrapping_add(skips[i]);
                        _mm512_mask_loadu_epi16(others, masks[i], from.cast())
                    };
                    let values = read(2, read(1, read(0, _mm512_setzero_si512())));
                    _mm512_store_si512(to.as_mut_ptr().cast(), values);
                }
                window = window.wrapping_add(step);
            }
        }
    }

    /// Operands that read these windows.
    #[inline(always)]
    fn operands(&self, job: &TileProduct<'_>, panel: usize) -> Operands {
        Operands {
            source: self.0[0].as_ptr(),
            low: self.0[1].as_ptr(),
            stride: size_of::<u16>() * TILE_DEPTH,
            ..Operands::new(job, 0, panel, TILE_ROWS)
        }
    }
}

/// Computes a dense convolution.
///
/// # Safety
/// This thread holds [`Tiles`]. The planes can be read for all tiles of the loop, the weights hold
/// all steps of all panels of `epilogue.pitch` outputs; the planes of the epilogue hold all pixels
/// of the loop's pictures, with rows of `epilogue.pitch` channels.
#[inline(always)]
pub(crate) unsafe fn run<S: Lanes>(s: S, job: &TileProduct<'_>) {
    let panels = job.epilogue.pitch.div_ceil(32);
    let ops = job.epilogue.ops();
    if let (F32, Some(to), 32.. | 16, false) =
        (ops, job.epilogue.main, job.tiling.width, job.panels_first)
    {
        // SAFETY: the caller's promise.
        return unsafe { straight_to_plane(job, to) };
    }
    let mut scratch = (Scratch([0.0; 32 * 32]), Gathered::EMPTY);
    let mut tile = Tile::EMPTY;
    if job.panels_first {
        for panel in 0..panels {
            let mut tiles = job.tiling.tiles(job.images, job.rows.clone(), TILE_ROWS);
            while tiles.next(&mut tile) {
                // SAFETY: the caller's promise.
                unsafe { compute(s, job, ops, &tile, panel, &mut scratch) };
            }
        }
    } else {
        let mut tiles = job.tiling.tiles(job.images, job.rows.clone(), TILE_ROWS);
        while tiles.next(&mut tile) {
            for panel in 0..panels {
                // SAFETY: the caller's promise.
                unsafe { compute(s, job, ops, &tile, panel, &mut scratch) };
            }
        }
    }
}

#[inline(always)]
unsafe fn compute<S: Lanes>(
    s: S,
    job: &TileProduct<'_>,
    ops: EpilogueOps,
    tile: &Tile,
    panel: usize,
    (scratch, gathered): &mut (Scratch, Gathered),
) {
    let first = panel * 32;
    let wide = first + 32 <= job.epilogue.pitch;
    let operands = if job.window.is_gathered() {
        if panel == 0 || job.panels_first {
            // SAFETY: the caller's promise.
            unsafe { gathered.gather(job, tile.source, tile.rows) };
        }
        gathered.operands(job, panel)
    } else {
        Operands::new(job, tile.source, panel, tile.rows)
    };
    let operands =
        Operands { sums: scratch.0.as_mut_ptr(), pitch: if wide { 128 } else { 64 }, ..operands };
    // SAFETY: the caller's promise; the scratch holds two by two tiles.
    unsafe { multiply(job, &operands, tile.rows, panel) };
    with_ops!(ops, S::BF16, OPS => {
        // SAFETY: the caller's promise.
        unsafe {
            if wide {
                job.epilogue.tile::<S, 2, true>(s, OPS, tile, &scratch.0, first);
            } else {
                job.epilogue.tile::<S, 1, true>(s, OPS, tile, &scratch.0, first);
            }
        }
    });
}

/// Computes a convolution whose sums are stored as they are: tiles go straight to the plane. Tiles
/// must be whole for that, so the last one of a row may compute again what the one before it did.
///
/// # Safety
/// As for [`run`]; rows of outputs fill a tile.
#[inline(always)]
unsafe fn straight_to_plane(job: &TileProduct<'_>, to: Planes) {
    let (width, pitch) = (job.tiling.width, job.epilogue.pitch);
    let mut gathered = Gathered::EMPTY;
    for image in 0..job.images {
        for y in job.rows.clone() {
            let source = job.tiling.source([image, y, 0]);
            let sums = to.at([image, y, 0], 0).f32;
            let mut done = 0;
            while done < width {
                let rows = if width - done <= 16 { 16 } else { 32 };
                let x = done.min(width - rows);
                let source = source + x * job.tiling.step;
                if job.window.is_gathered() {
                    // SAFETY: the caller's promise.
                    unsafe { gathered.gather(job, source, rows) };
                }
                for panel in 0..pitch.div_ceil(32) {
                    let operands = if job.window.is_gathered() {
                        gathered.operands(job, panel)
                    } else {
                        Operands::new(job, source, panel, rows)
                    };
                    let operands = Operands {
                        sums: sums.wrapping_add(x * pitch + panel * 32),
                        pitch: size_of::<f32>() * pitch,
                        ..operands
                    };
                    // SAFETY: the caller's promise: the plane holds as many pixels in a row, of
                    // `pitch` channels each.
                    unsafe { multiply(job, &operands, rows, panel) };
                }
                done += rows;
            }
        }
    }
}

/// Multiplies up to 32 windows by a panel of weights.
///
/// # Safety
/// All that the operands point to can be read, and as many sums written.
#[inline(always)]
unsafe fn multiply(job: &TileProduct<'_>, operands: &Operands, rows: usize, panel: usize) {
    let wide = (panel + 1) * 32 <= job.epilogue.pitch;
    // SAFETY: the caller's promise.
    unsafe {
        match (job.low.is_null(), job.parts, rows > 16, wide) {
            (true, 1, true, true) => single::two_by_two(operands),
            (true, 1, false, true) => single::one_by_two(operands),
            (true, 1, true, false) => single::two_by_one(operands),
            (true, 1, false, false) => single::one_by_one(operands),
            (true, _, true, true) => double::two_by_two(operands),
            (true, _, false, true) => double::one_by_two(operands),
            (true, _, true, false) => double::two_by_one(operands),
            (true, _, false, false) => double::one_by_one(operands),
            (false, _, true, true) => triple::two_by_two(operands),
            (false, _, false, true) => triple::one_by_two(operands),
            (false, _, true, false) => triple::two_by_one(operands),
            (false, _, false, false) => triple::one_by_one(operands),
        }
    }
}
