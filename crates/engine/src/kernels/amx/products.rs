//! Products of matrix tiles, in assembly.

use std::arch::asm;
use std::mem::offset_of;

use super::TileProduct;
use crate::layout::TileWindow;
use crate::pack::TILE_DEPTH;

/// What a product of tiles reads and writes.
#[repr(C)]
pub(super) struct Operands {
    pub source: *const u16,
    pub low: *const u16,
    /// Bytes from one window to the next.
    pub stride: usize,
    /// Rows of the window.
    pub rows: usize,
    /// Steps in a row.
    pub steps: usize,
    /// Bytes from the end of one row of the window to the start of the next.
    pub skip: usize,
    pub weights: *const u16,
    /// What the sums start from, one number an output.
    pub bias: *const f32,
    pub sums: *mut f32,
    /// Bytes from the sums of one window to those of the next.
    pub pitch: usize,
}

impl Operands {
    /// Without a place for the sums, for windows from a source pixel on.
    #[inline(always)]
    pub fn new(job: &TileProduct<'_>, source: usize, panel: usize, rows: usize) -> Self {
        let TileWindow { row, .. } = job.window;
        let [window_rows, steps] = job.window.steps();
        let step_bytes = size_of::<u16>() * TILE_DEPTH;
        Self {
            source: job.source.wrapping_add(source * job.pitch),
            low: job.low.wrapping_add(source * job.pitch),
            // A single window stands for all rows of its tile: nothing else is read.
            stride: if rows == 1 { 0 } else { size_of::<u16>() * job.tiling.step * job.pitch },
            rows: window_rows,
            steps,
            skip: (size_of::<u16>() * row).wrapping_sub(steps * step_bytes),
            weights: job.weights[panel * job.panel..][..job.panel].as_ptr(),
            bias: job.epilogue.bias.from(panel * 32).as_ptr(),
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
        pub unsafe fn $name(operands: &Operands) {
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
pub(super) mod single {
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
pub(super) mod double {
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

/// Products of values in two parts each: low by high, high by high, high by low, an order in which
/// each tile is loaded once. Low by low is below f32's own rounding.
pub(super) mod triple {
    use super::{Operands, asm, offset_of};

    product!(
        two_by_two, "4096",
        ["tileloadd tmm0, [{k} + {rows}*1]" "tileloadd tmm1, [{k} + {rows}*1 + 64]" "tileloadd tmm2, [{k} + {rows}*1]" "tileloadd tmm3, [{k} + {rows}*1 + 64]"],
        [
            "tileloadd tmm4, [{l0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm5, [{l1} + {stride}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
            "tileloadd tmm4, [{a0} + {stride}*1]"
            "tileloadd tmm5, [{a1} + {stride}*1]"
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
            "tileloadd tmm5, [{l0} + {stride}*1]"
            "tileloadd tmm6, [{b} + {line}*1]"
            "tileloadd tmm7, [{b} + {line}*1 + 1024]"
            "tileloadd tmm2, [{b} + {line}*1 + 2048]"
            "tileloadd tmm3, [{b} + {line}*1 + 3072]"
            "tdpbf16ps tmm0, tmm5, tmm6"
            "tdpbf16ps tmm1, tmm5, tmm7"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
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
            "tileloadd tmm1, [{l0} + {stride}*1]"
            "tileloadd tmm3, [{l1} + {stride}*1]"
            "tdpbf16ps tmm0, tmm1, tmm6"
            "tdpbf16ps tmm2, tmm3, tmm6"
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
            "tileloadd tmm5, [{l0} + {stride}*1]"
            "tdpbf16ps tmm0, tmm5, tmm6"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm0, tmm4, tmm7"
        ],
        ["tilestored [{b} + {k}*1], tmm0"]
    );
}
