//! Dense convolutions in bf16 on matrix tiles (AMX): products of 16 windows, 32 values of the
//! window and 16 outputs at a time, summed in f32.

use std::arch::asm;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ops::Range;
use std::sync::OnceLock;

use super::finish::{F32, Finish, Planes, Style, with_style};
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
    /// The second bf16 plane; null where there is none or it holds zeros.
    pub low: *const u16,
    /// Bf16 planes of the weights.
    pub parts: usize,
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
    let style = job.finish.style();
    if let (F32, Some(to), 32.. | 16, false) =
        (style, job.finish.main, job.walk.width, job.panels_first)
    {
        // SAFETY: the caller's promise.
        return unsafe { straight_to_plane(job, to) };
    }
    let mut scratch = Scratch([0.0; 32 * 32]);
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
    let first = panel * 32;
    let wide = first + 32 <= job.finish.pitch;
    let operands = Operands {
        sums: scratch.0.as_mut_ptr(),
        pitch: if wide { 128 } else { 64 },
        ..Operands::new(job, tile.source, panel, tile.rows)
    };
    // SAFETY: the caller's promise; the scratch holds two by two tiles.
    unsafe { multiply(job, &operands, tile.rows, panel) };
    with_style!(style, S::BF16, STYLE => {
        // SAFETY: the caller's promise.
        unsafe {
            if wide {
                job.finish.tile::<S, 2, true>(s, STYLE, tile, &scratch.0, first);
            } else {
                job.finish.tile::<S, 1, true>(s, STYLE, tile, &scratch.0, first);
            }
        }
    });
}

/// Computes a convolution whose sums are stored as they are: tiles go straight to the plane. Tiles
/// must be whole for that, so the last one of a row may compute again what the one before it did.
///
/// # Safety
/// As for [`run`]; rows of outputs fill a tile.
unsafe fn straight_to_plane(job: &TileProduct<'_>, to: Planes) {
    let (width, pitch) = (job.walk.width, job.finish.pitch);
    for image in 0..job.images {
        for y in job.rows.clone() {
            let source = job.walk.source([image, y, 0]);
            let sums = to.at([image, y, 0], 0).f32;
            let mut done = 0;
            while done < width {
                let rows = if width - done <= 16 { 16 } else { 32 };
                let x = done.min(width - rows);
                for panel in 0..pitch.div_ceil(32) {
                    let operands = Operands {
                        sums: sums.wrapping_add(x * pitch + panel * 32),
                        pitch: size_of::<f32>() * pitch,
                        ..Operands::new(job, source + x * job.walk.step, panel, rows)
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
    let wide = (panel + 1) * 32 <= job.finish.pitch;
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

/// What a product of tiles reads and writes.
#[repr(C)]
struct Operands {
    source: *const u16,
    low: *const u16,
    /// Bytes from one window to the next.
    stride: usize,
    /// Rows of the window.
    rows: usize,
    /// Steps in a row.
    steps: usize,
    /// Bytes from the end of one row of the window to the start of the next.
    skip: usize,
    weights: *const u16,
    /// What the sums start from, one number an output.
    bias: *const f32,
    sums: *mut f32,
    /// Bytes from the sums of one window to those of the next.
    pitch: usize,
}

impl Operands {
    /// Without a place for the sums, for windows from a source pixel on.
    #[inline(always)]
    fn new(job: &TileProduct<'_>, source: usize, panel: usize, rows: usize) -> Self {
        let TileWindow { rows: window_rows, steps, row } = job.window;
        let step_bytes = size_of::<u16>() * TILE_DEPTH;
        Self {
            source: job.source.wrapping_add(source * job.pitch),
            low: job.low.wrapping_add(source * job.pitch),
            // A single window stands for all rows of its tile: nothing else is read.
            stride: if rows == 1 { 0 } else { size_of::<u16>() * job.walk.step * job.pitch },
            rows: window_rows,
            steps,
            skip: (size_of::<u16>() * row).wrapping_sub(steps * step_bytes),
            weights: job.weights[panel * job.panel..][..job.panel].as_ptr(),
            bias: job.finish.bias.from(panel * 32).as_ptr(),
            sums: std::ptr::null_mut(),
            pitch: 0,
        }
    }
}

/// Defines the product of some tiles of windows with some tiles of outputs: tiles 0 to 3 hold the
/// sums, 4 and 5 windows, 6 and 7 weights. The loops over rows and steps are in assembly, so that
/// no compiled code runs while sums are in tile registers.
macro_rules! product {
    ($name:ident, $weights:literal, [$($start:literal)*], [$($step:literal)*], [$($store:literal)*]) => {
        #[inline(always)]
        pub(super) unsafe fn $name(operands: &Operands) {
            let Operands { source, low, stride, weights, .. } = *operands;
            // SAFETY: the callers vouch for 16 rows a tile of windows at `stride` bytes from
            // each other, for the weights of all steps, for the bias of all outputs and for the
            // place of the sums; a window has at least one row of one step.
            unsafe {
                asm!(
                    "xor {rows:e}, {rows:e}",
                    "mov {k}, [{o} + {bias}]",
                    $($start,)*
                    "mov {rows}, [{o} + {window_rows}]",
                    "2:",
                    "mov {k}, [{o} + {steps}]",
                    "3:",
                    $($step,)*
                    "add {a0}, 64",
                    "add {a1}, 64",
                    "add {l0}, 64",
                    "add {l1}, 64",
                    concat!("add {b}, ", $weights),
                    "dec {k}",
                    "jnz 3b",
                    "add {a0}, [{o} + {skip}]",
                    "add {a1}, [{o} + {skip}]",
                    "add {l0}, [{o} + {skip}]",
                    "add {l1}, [{o} + {skip}]",
                    "dec {rows}",
                    "jnz 2b",
                    "mov {k}, [{o} + {pitch}]",
                    "mov {b}, [{o} + {sums}]",
                    // Sixteen windows further.
                    "mov {rows}, {k}",
                    "shl {rows}, 4",
                    "add {rows}, {b}",
                    $($store,)*
                    a0 = inout(reg) source => _,
                    a1 = inout(reg) source.wrapping_byte_add(16 * stride) => _,
                    l0 = inout(reg) low => _,
                    l1 = inout(reg) low.wrapping_byte_add(16 * stride) => _,
                    b = inout(reg) weights => _,
                    k = out(reg) _,
                    rows = out(reg) _,
                    o = in(reg) operands,
                    stride = in(reg) stride,
                    line = in(reg) 64_usize,
                    bias = const offset_of!(Operands, bias),
                    window_rows = const offset_of!(Operands, rows),
                    steps = const offset_of!(Operands, steps),
                    skip = const offset_of!(Operands, skip),
                    pitch = const offset_of!(Operands, pitch),
                    sums = const offset_of!(Operands, sums),
                    options(nostack),
                );
            }
        }
    };
}

/// Products of bf16 planes: each step multiplies windows (tiles 4, 5) and weights (6, 7).
mod single {
    use super::{Operands, asm, offset_of};

    product!(
        two_by_two, "2048",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm1, [{k} + {rows}*1 + 64]" "tileloadd tmm2, [{k} + {rows}*1]" "tileloadd tmm3, [{k} + {rows}*1 + 64]"],
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
            "tilestored [{b} + {k}*1], tmm0"
            "tilestored [{b} + {k}*1 + 64], tmm1"
            "tilestored [{rows} + {k}*1], tmm2"
            "tilestored [{rows} + {k}*1 + 64], tmm3"
        ]
    );
    product!(
        one_by_two, "2048",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm1, [{k} + {rows}*1 + 64]"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
        ],
        ["tilestored [{b} + {k}*1], tmm0" "tilestored [{b} + {k}*1 + 64], tmm1"]
    );
    product!(
        two_by_one, "2048",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm2, [{k} + {rows}*1]"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm5, [{a1} + {stride}*1]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm2, tmm5, tmm6"
        ],
        ["tilestored [{b} + {k}*1], tmm0" "tilestored [{rows} + {k}*1], tmm2"]
    );
    product!(
        one_by_one, "2048",
        ["tileloadd tmm0, [{k} + {rows}*1]"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tdpbf16ps tmm0, tmm4, tmm6"
        ],
        ["tilestored [{b} + {k}*1], tmm0"]
    );
}

/// Products of values that are bf16 with weights in two parts.
mod double {
    use super::{Operands, asm, offset_of};

    product!(
        two_by_two, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm1, [{k} + {rows}*1 + 64]" "tileloadd tmm2, [{k} + {rows}*1]" "tileloadd tmm3, [{k} + {rows}*1 + 64]"],
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
        ],
        [
            "tilestored [{b} + {k}*1], tmm0"
            "tilestored [{b} + {k}*1 + 64], tmm1"
            "tilestored [{rows} + {k}*1], tmm2"
            "tilestored [{rows} + {k}*1 + 64], tmm3"
        ]
    );
    product!(
        one_by_two, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm1, [{k} + {rows}*1 + 64]"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tileloadd tmm2, [{b} + {line}*1 + 2048]"
            "tileloadd tmm3, [{b} + {line}*1 + 3072]"
            "tdpbf16ps tmm0, tmm4, tmm2"
            "tdpbf16ps tmm1, tmm4, tmm3"
        ],
        ["tilestored [{b} + {k}*1], tmm0" "tilestored [{b} + {k}*1 + 64], tmm1"]
    );
    product!(
        two_by_one, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm2, [{k} + {rows}*1]"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm5, [{a1} + {stride}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 2048]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm0, tmm4, tmm7"
            "tdpbf16ps tmm2, tmm5, tmm7"
        ],
        ["tilestored [{b} + {k}*1], tmm0" "tilestored [{rows} + {k}*1], tmm2"]
    );
    product!(
        one_by_one, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 2048]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm0, tmm4, tmm7"
        ],
        ["tilestored [{b} + {k}*1], tmm0"]
    );
}

/// Products of values in two parts each: high by high, high by low, low by high. Low by low is
/// below f32's own rounding.
mod triple {
    use super::{Operands, asm, offset_of};

    product!(
        two_by_two, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm1, [{k} + {rows}*1 + 64]" "tileloadd tmm2, [{k} + {rows}*1]" "tileloadd tmm3, [{k} + {rows}*1 + 64]"],
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
            "tilestored [{b} + {k}*1], tmm0"
            "tilestored [{b} + {k}*1 + 64], tmm1"
            "tilestored [{rows} + {k}*1], tmm2"
            "tilestored [{rows} + {k}*1 + 64], tmm3"
        ]
    );
    product!(
        one_by_two, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm1, [{k} + {rows}*1 + 64]"],
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
        ["tilestored [{b} + {k}*1], tmm0" "tilestored [{b} + {k}*1 + 64], tmm1"]
    );
    product!(
        two_by_one, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm2, [{k} + {rows}*1]"],
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
        ["tilestored [{b} + {k}*1], tmm0" "tilestored [{rows} + {k}*1], tmm2"]
    );
    product!(
        one_by_one, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]"],
        [
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 2048]"
            "tileloadd tmm5, [{l0} + {stride}*1]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm0, tmm4, tmm7"
            "tdpbf16ps tmm0, tmm5, tmm6"
        ],
        ["tilestored [{b} + {k}*1], tmm0"]
    );
}
