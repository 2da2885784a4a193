//! A register of f32 lanes: the few operations that the kernels are written in, once for all
//! instruction sets.

#![allow(clippy::inline_always, reason = "a call would pass registers through memory")]

/// Lanes of the widest register.
pub const MOST_LANES: usize = 16;

/// Proof that an instruction set is there, and its operations. A value is made only where the
/// processor was asked first; all methods are inlined into functions compiled for that set.
///
/// # Safety
/// `COUNT` is the number of f32 in a register, at most [`MOST_LANES`]; `ROWS` is 4, 6, 8 or 14.
pub unsafe trait Lanes: Copy {
    /// Lanes in a register.
    const COUNT: usize;
    /// Rows of a tile in the matrix product: with two registers a row, as many as fit.
    const ROWS: usize;
    /// Whether kernels for it write bf16 planes.
    const BF16: bool;
    /// A register.
    type Register: Copy;

    /// The same value in all lanes.
    fn splat(self, value: f32) -> Self::Register;
    /// a + b.
    fn add(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// a - b.
    fn sub(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// a b.
    fn mul(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// a b + c, rounded once where the set has such an instruction.
    fn fma(self, a: Self::Register, b: Self::Register, c: Self::Register) -> Self::Register;
    /// The larger of each pair of lanes.
    fn max(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// The smaller of each pair of lanes.
    fn min(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// Lanes 1, 0, 3, 2, and so on.
    fn swap_pairs(self, a: Self::Register) -> Self::Register;

    /// a where it is positive, else a times the slope.
    #[inline(always)]
    fn prelu(self, a: Self::Register, slope: Self::Register) -> Self::Register {
        let zero = self.splat(0.0);
        self.fma(slope, self.min(a, zero), self.max(a, zero))
    }

    /// Values as they lie in memory.
    ///
    /// # Safety
    /// `COUNT` values can be read from there.
    unsafe fn load(self, from: *const f32) -> Self::Register;
    /// Bytes as numbers.
    ///
    /// # Safety
    /// `COUNT` bytes can be read from there.
    unsafe fn load_bytes(self, from: *const u8) -> Self::Register;
    /// Writes the lanes one after the other.
    ///
    /// # Safety
    /// `COUNT` values can be written there.
    unsafe fn store(self, to: *mut f32, value: Self::Register);

    /// Writes the lanes rounded to bf16, and, unless `low` is null, what the rounding took away,
    /// cut to bf16.
    ///
    /// # Safety
    /// `COUNT` values can be written to `high`, and to `low` unless it is null.
    #[inline(always)]
    unsafe fn store_bf16(self, high: *mut u16, low: *mut u16, value: Self::Register) {
        let mut lanes = [0.0; MOST_LANES];
        // SAFETY: no register has more than 16 lanes.
        unsafe { self.store(lanes.as_mut_ptr(), value) };
        for (i, &lane) in lanes.iter().enumerate().take(Self::COUNT) {
            let rounded = to_bf16(lane);
            // SAFETY: the caller's promise, for i < COUNT.
            unsafe {
                high.add(i).write(rounded);
                if !low.is_null() {
                    low.add(i).write(cut_to_bf16(lane - from_bf16(rounded)));
                }
            }
        }
    }

    /// [`Self::store_bf16`] for a block of channels with interleaved halves.
    ///
    /// # Safety
    /// Twice a block of channels can be written there; a register is one.
    #[inline(always)]
    unsafe fn store_bf16_interleaved(self, to: *mut u16, value: Self::Register) {
        // SAFETY: the caller's promise.
        unsafe { self.store_bf16(to, to.add(MOST_LANES), value) };
    }

    /// [`Self::store_bf16`] for two registers that go one after the other.
    ///
    /// # Safety
    /// As for [`Self::store_bf16`], for twice `COUNT` values.
    #[inline(always)]
    unsafe fn store_bf16_pair(self, high: *mut u16, low: *mut u16, pair: [Self::Register; 2]) {
        let second = if low.is_null() { low } else { low.wrapping_add(Self::COUNT) };
        // SAFETY: the caller's promise.
        unsafe {
            self.store_bf16(high, low, pair[0]);
            self.store_bf16(high.add(Self::COUNT), second, pair[1]);
        }
    }
}

/// The nearest bf16, ties to even; for finite values.
#[must_use]
#[inline]
pub fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The next bf16 towards zero.
#[must_use]
#[inline]
pub fn cut_to_bf16(value: f32) -> u16 {
    (value.to_bits() >> 16) as u16
}

/// The value of a bf16.
#[must_use]
#[inline]
pub fn from_bf16(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

// As `maxps` and `minps` do it: one instruction, where `f32::max` also looks for NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// Plain Rust: four lanes, which compilers turn into SSE2 or NEON.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

// SAFETY: four values, and four or eight rows.
unsafe impl Lanes for Portable {
    const COUNT: usize = 4;
    const ROWS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };
    const BF16: bool = false;
    type Register = [f32; 4];

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }

    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]
    }

    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]]
    }

    #[inline(always)]
    fn fma(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        if cfg!(target_arch = "aarch64") {
            [
                a[0].mul_add(b[0], c[0]),
                a[1].mul_add(b[1], c[1]),
                a[2].mul_add(b[2], c[2]),
                a[3].mul_add(b[3], c[3]),
            ]
        } else {
            // Without an instruction for it, `mul_add` is a call into the C library.
            self.add(self.mul(a, b), c)
        }
    }

    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [larger(a[0], b[0]), larger(a[1], b[1]), larger(a[2], b[2]), larger(a[3], b[3])]
    }

    #[inline(always)]
    fn min(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [smaller(a[0], b[0]), smaller(a[1], b[1]), smaller(a[2], b[2]), smaller(a[3], b[3])]
    }

    #[inline(always)]
    fn swap_pairs(self, a: [f32; 4]) -> [f32; 4] {
        [a[1], a[0], a[3], a[2]]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller's promise; arrays of f32 need no more alignment than f32.
        unsafe { from.cast::<[f32; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> [f32; 4] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[u8; 4]>().read() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: [f32; 4]) {
        // SAFETY: as for `load`.
        unsafe { to.cast::<[f32; 4]>().write(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lanes, Portable, from_bf16, to_bf16};

    #[test]
    fn bf16_rounds_to_the_nearest_even() {
        assert_eq!(from_bf16(to_bf16(1.0)), 1.0);
        // 1 + 2^-8 lies between 1 and 1 + 2^-7: a tie, to the even mantissa.
        assert_eq!(from_bf16(to_bf16(1.0 + 2f32.powi(-8))), 1.0);
        assert_eq!(from_bf16(to_bf16(1.0 + 3.0 * 2f32.powi(-8))), 1.0 + 2f32.powi(-6));
        assert_eq!(from_bf16(to_bf16(-4.2)), -4.1875);
    }

    #[test]
    fn the_two_parts_hold_sixteen_bits() {
        let value = 0.123_456_79_f32;
        let (mut high, mut low) = ([0; 4], [0; 4]);
        // SAFETY: four values each.
        unsafe { Portable.store_bf16(high.as_mut_ptr(), low.as_mut_ptr(), [value; 4]) };
        let error = value - from_bf16(high[0]) - from_bf16(low[0]);
        assert!(error.abs() <= value * 2f32.powi(-16) && low[0] != 0, "{error:e}");
    }
}
