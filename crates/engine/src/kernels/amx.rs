//! Dense convolutions in bf16 on matrix tiles (AMX): products of 16 windows, 32 values of the
//! window and 16 outputs at a time, summed in f32.

use std::arch::asm;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::OnceLock;

use super::finish::{Finish, Style, with_style};
use super::lanes::Lanes;
use crate::layout::{Tile, TileWindow, Walk};
use crate::pack::{TILE_DEPTH, TILE_ROWS};

/// Asks the operating system, once, for the use of tile registers.
pub(crate) fn tiles_are_permitted() -> bool {
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    *PERMITTED.get_or_init(|| {
        let leaf = std::arch::x86_64::__cpuid_count(7, 0);
        let has_tiles = leaf.edx & (1 << 24) != 0 && leaf.edx & (1 << 22) != 0;
        let mut result = ARCH_PRCTL;
        if has_tiles {
            // SAFETY: the call changes nothing but the permission; a kernel that does not know
            // it returns an error.
            unsafe {
                asm!(
                    "syscall",
                    inlateout("rax") result,
                    in("rdi") ARCH_REQ_XCOMP_PERM,
                    in("rsi") XFEATURE_XTILEDATA,
                    lateout("rcx") _,
                    lateout("r11") _,
                    options(nostack),
                );
            }
        }
        has_tiles && result == 0
    })
}

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
    /// The second bf16 plane; null: products of the first planes alone.
    pub low: *const u16,
    /// Elements from one source pixel to the next.
    pub pitch: usize,
    pub walk: &'a Walk,
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
    pub finish: Finish<'a>,
}

/// Sums of 32 windows and 32 outputs.
#[repr(C, align(64))]
struct Scratch([f32; 32 * 32]);

/// Computes a dense convolution.
///
/// # Safety
/// This thread holds [`Tiles`]. The planes can be read for all tiles of the walk, the weights hold
/// all steps of all panels of `finish.pitch` outputs; the planes of the finish hold all pixels
/// of the walk's pictures, with rows of `finish.pitch` channels.
#[inline(always)]
pub(crate) unsafe fn run<S: Lanes>(s: S, job: &TileProduct<'_>) {
    let panels = job.finish.pitch.div_ceil(32);
    let mut scratch = Scratch([0.0; 32 * 32]);
    let style = job.finish.style();
    let mut tile = Tile::EMPTY;
    if job.panels_first {
        for panel in 0..panels {
            let mut tiles = job.walk.tiles(job.images, job.rows.clone(), TILE_ROWS);
            while tiles.next(&mut tile) {
                // SAFETY: the caller's promise.
                unsafe { compute(s, job, style, &tile, panel, &mut scratch) };
            }
        }
    } else {
        let mut tiles = job.walk.tiles(job.images, job.rows.clone(), TILE_ROWS);
        while tiles.next(&mut tile) {
            for panel in 0..panels {
                // SAFETY: the caller's promise.
                unsafe { compute(s, job, style, &tile, panel, &mut scratch) };
            }
        }
    }
}

#[inline(always)]
unsafe fn compute<S: Lanes>(
    s: S,
    job: &TileProduct<'_>,
    style: Style,
    tile: &Tile,
    panel: usize,
    scratch: &mut Scratch,
) {
    let weights = job.weights[panel * job.panel..][..job.panel].as_ptr();
    let source = job.source.wrapping_add(tile.source * job.pitch);
    // A single window stands for all rows of its tile: nothing else is read.
    let stride = if tile.rows == 1 { 0 } else { 2 * job.walk.step * job.pitch };
    let wide = (panel + 1) * 32 <= job.finish.pitch;
    let first = panel * 32;
    let operands = Operands {
        source,
        low: job.low.wrapping_add(tile.source * job.pitch),
        stride,
        window: job.window,
        weights,
        sums: scratch.0.as_mut_ptr(),
    };
    // SAFETY: the caller's promise; the scratch holds two by two tiles.
    unsafe {
        match (job.low.is_null(), tile.rows > 16, wide) {
            (true, true, true) => single::two_by_two(&operands),
            (true, false, true) => single::one_by_two(&operands),
            (true, true, false) => single::two_by_one(&operands),
            (true, false, false) => single::one_by_one(&operands),
            (false, true, true) => triple::two_by_two(&operands),
            (false, false, true) => triple::one_by_two(&operands),
            (false, true, false) => triple::two_by_one(&operands),
            (false, false, false) => triple::one_by_one(&operands),
        }
    }
    with_style!(style, S::BF16, STYLE => {
        // SAFETY: the caller's promise.
        unsafe {
            if wide {
                job.finish.tile::<S, 2>(s, STYLE, tile, &scratch.0, first);
            } else {
                job.finish.tile::<S, 1>(s, STYLE, tile, &scratch.0, first);
            }
        }
    });
}

/// What a product of tiles reads and writes.
struct Operands {
    source: *const u16,
    low: *const u16,
    /// Bytes from one window to the next.
    stride: usize,
    window: TileWindow,
    weights: *const u16,
    sums: *mut f32,
}

/// Defines the product of some tiles of windows with some tiles of outputs: tiles 0 to 3 hold the
/// sums, 4 and 5 windows, 6 and 7 weights. The loops over rows and steps are in assembly, so that
/// no compiled code runs while sums are in tile registers.
macro_rules! product {
    ($name:ident, $weights:literal, $columns:literal, [$($zero:literal)*], [$($step:literal)*], [$($store:literal)*]) => {
        #[inline(always)]
        pub(super) unsafe fn $name(operands: &Operands) {
            let Operands { source, low, stride, window, weights, sums } = *operands;
            let step_bytes = size_of::<u16>() * TILE_DEPTH;
            // From the end of one row of the window to the start of the next.
            let skip = (size_of::<u16>() * window.row).wrapping_sub(window.steps * step_bytes);
            // SAFETY: the callers vouch for 16 rows a tile of windows at `stride` bytes from
            // each other, for the weights of all steps, and for the scratch; a window has at
            // least one row of one step.
            unsafe {
                asm!(
                    $($zero,)*
                    "2:",
                    "mov {k}, {steps}",
                    "3:",
                    $($step,)*
                    "add {a0}, 64",
                    "add {a1}, 64",
                    "add {l0}, 64",
                    "add {l1}, 64",
                    concat!("add {b}, ", $weights),
                    "dec {k}",
                    "jnz 3b",
                    "add {a0}, {skip}",
                    "add {a1}, {skip}",
                    "add {l0}, {skip}",
                    "add {l1}, {skip}",
                    "dec {rows}",
                    "jnz 2b",
                    concat!("mov {k}, ", $columns),
                    $($store,)*
                    a0 = inout(reg) source => _,
                    a1 = inout(reg) source.wrapping_byte_add(16 * stride) => _,
                    l0 = inout(reg) low => _,
                    l1 = inout(reg) low.wrapping_byte_add(16 * stride) => _,
                    b = inout(reg) weights => _,
                    k = out(reg) _,
                    rows = inout(reg) window.rows => _,
                    steps = in(reg) window.steps,
                    skip = in(reg) skip,
                    stride = in(reg) stride,
                    line = in(reg) 64_usize,
                    sums = in(reg) sums,
                    options(nostack),
                );
            }
        }
    };
}

/// Products of bf16 planes: each step multiplies windows (tiles 4, 5) and weights (6, 7).
mod single {
    use super::{Operands, TILE_DEPTH, asm};

    product!(
        two_by_two, "2048", "128",
        ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm5, [{a1} + {stride}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
        ],
        [
            "tilestored [{sums} + {k}*1], tmm0"
            "tilestored [{sums} + {k}*1 + 64], tmm1"
            "tilestored [{sums} + {k}*1 + 2048], tmm2"
            "tilestored [{sums} + {k}*1 + 2112], tmm3"
        ]
    );
    product!(
        one_by_two, "2048", "128",
        ["tilezero tmm0" "tilezero tmm1"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
        ],
        ["tilestored [{sums} + {k}*1], tmm0" "tilestored [{sums} + {k}*1 + 64], tmm1"]
    );
    product!(
        two_by_one, "2048", "64",
        ["tilezero tmm0" "tilezero tmm2"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm5, [{a1} + {stride}*1]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm2, tmm5, tmm6"
        ],
        ["tilestored [{sums} + {k}*1], tmm0" "tilestored [{sums} + {k}*1 + 1024], tmm2"]
    );
    product!(
        one_by_one, "2048", "64",
        ["tilezero tmm0"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tdpbf16ps tmm0, tmm4, tmm6"
        ],
        ["tilestored [{sums} + {k}*1], tmm0"]
    );
}

/// Products of values in two parts each: high by high, high by low, low by high. Low by low is
/// below f32's own rounding.
mod triple {
    use super::{Operands, TILE_DEPTH, asm};

    product!(
        two_by_two, "4096", "128",
        ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm5, [{a1} + {stride}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
            "tileloadd tmm6, [{b} + {line}*1 + 2048]"
            "tileloadd tmm7, [{b} + {line}*1 + 3072]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
            "tileloadd tmm4, [{l0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm5, [{l1} + {stride}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
        ],
        [
            "tilestored [{sums} + {k}*1], tmm0"
            "tilestored [{sums} + {k}*1 + 64], tmm1"
            "tilestored [{sums} + {k}*1 + 2048], tmm2"
            "tilestored [{sums} + {k}*1 + 2112], tmm3"
        ]
    );
    product!(
        one_by_two, "4096", "128",
        ["tilezero tmm0" "tilezero tmm1"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm5, [{l0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tileloadd tmm2, [{b} + {line}*1 + 2048]"
            "tileloadd tmm3, [{b} + {line}*1 + 3072]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tdpbf16ps tmm0, tmm4, tmm2"
            "tdpbf16ps tmm1, tmm4, tmm3"
            "tdpbf16ps tmm0, tmm5, tmm6"
            "tdpbf16ps tmm1, tmm5, tmm7"
        ],
        ["tilestored [{sums} + {k}*1], tmm0" "tilestored [{sums} + {k}*1 + 64], tmm1"]
    );
    product!(
        two_by_one, "4096", "64",
        ["tilezero tmm0" "tilezero tmm2"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm5, [{a1} + {stride}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 2048]"
            "tileloadd tmm1, [{l0} + {stride}*1]"
            "tileloadd tmm3, [{l1} + {stride}*1]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm0, tmm4, tmm7"
            "tdpbf16ps tmm2, tmm5, tmm7"
            "tdpbf16ps tmm0, tmm1, tmm6"
            "tdpbf16ps tmm2, tmm3, tmm6"
        ],
        ["tilestored [{sums} + {k}*1], tmm0" "tilestored [{sums} + {k}*1 + 1024], tmm2"]
    );
    product!(
        one_by_one, "4096", "64",
        ["tilezero tmm0"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 2048]"
            "tileloadd tmm5, [{l0} + {stride}*1]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm0, tmm4, tmm7"
            "tdpbf16ps tmm0, tmm5, tmm6"
        ],
        ["tilestored [{sums} + {k}*1], tmm0"]
    );
}
