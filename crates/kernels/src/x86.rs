//! AVX2 and AVX-512 registers.

#![allow(clippy::inline_always, reason = "a call would pass registers through memory")]

use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_add_ps,
    _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_permute_ps, _mm256_set1_ps, _mm256_storeu_ps,
    _mm256_storeu_si256, _mm256_sub_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_castsi512_si256, _mm512_cvtepi32_ps,
    _mm512_cvtepu8_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_extracti64x4_epi64,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_mul_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_movepi32_mask, _mm512_mul_ps, _mm512_permute_ps, _mm512_permutex2var_epi16,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
};

use crate::lanes::Lanes;

/// Eight lanes.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// The proof.
    ///
    /// # Safety
    /// The processor has AVX2 and FMA.
    #[must_use]
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY: eight values, and six rows.
unsafe impl Lanes for Avx2 {
    const COUNT: usize = 8;
    const ROWS: usize = 6;
    const BF16: bool = false;
    type Register = __m256;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: a value of this type exists only where the processor has AVX2; so for all of
        // these.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn swap_pairs(self, a: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_permute_ps::<0b10_11_00_01>(a) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: see `splat`; the caller vouches for the address.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m256 {
        // SAFETY: see `splat`; the caller vouches for the address.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        // SAFETY: see `splat`; the caller vouches for the address.
        unsafe { _mm256_storeu_ps(to, value) }
    }
}

/// Sixteen lanes. With `BF16`, also the conversions of `avx512bf16`; without, values in bf16 are
/// not asked for.
#[derive(Debug, Clone, Copy)]
pub struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// The proof.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, DQ and VL, and, for `BF16`, its bf16 conversions.
    #[must_use]
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY: sixteen values, and fourteen rows.
unsafe impl<const BF16: bool> Lanes for Avx512<BF16> {
    const COUNT: usize = 16;
    const ROWS: usize = 14;
    const BF16: bool = BF16;
    type Register = __m512;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: a value of this type exists only where the processor has AVX-512; so for all
        // of these.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn swap_pairs(self, a: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_permute_ps::<0b10_11_00_01>(a) }
    }

    #[inline(always)]
    fn prelu(self, a: __m512, slope: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe {
            let negative = _mm512_movepi32_mask(_mm512_castps_si512(a));
            _mm512_mask_mul_ps(a, negative, a, slope)
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: see `splat`; the caller vouches for the address.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m512 {
        // SAFETY: see `splat`; the caller vouches for the address.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        // SAFETY: see `splat`; the caller vouches for the address.
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, high: *mut u16, low: *mut u16, value: __m512) {
        assert!(BF16);
        // SAFETY: with `BF16` the processor converts; the caller vouches for the addresses. The
        // bf16 register is reinterpreted as integers of the same size.
        unsafe {
            if low.is_null() {
                let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(value));
                _mm256_storeu_si256(high.cast(), rounded);
                return;
            }
            let sorted = upper_words(halves(value));
            _mm256_storeu_si256(high.cast(), _mm512_castsi512_si256(sorted));
            _mm256_storeu_si256(low.cast(), _mm512_extracti64x4_epi64::<1>(sorted));
        }
    }

    #[inline(always)]
    unsafe fn store_bf16_interleaved(self, to: *mut u16, value: __m512) {
        assert!(BF16);
        // SAFETY: as for `store_bf16`.
        unsafe { _mm512_storeu_si512(to.cast(), upper_words(halves(value))) };
    }

    #[inline(always)]
    unsafe fn store_bf16_pair(self, high: *mut u16, low: *mut u16, pair: [__m512; 2]) {
        assert!(BF16);
        // SAFETY: as for `store_bf16`.
        unsafe {
            if low.is_null() {
                let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(pair[1], pair[0]));
                _mm512_storeu_si512(high.cast(), rounded);
            } else {
                let [first, second] = [halves(pair[0]), halves(pair[1])];
                _mm512_storeu_si512(high.cast(), upper_words([first[0], second[0]]));
                _mm512_storeu_si512(low.cast(), upper_words([first[1], second[1]]));
            }
        }
    }
}

/// The lanes rounded to bf16, and what the rounding took away: bf16 in the upper half of each lane,
/// to be cut there.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn halves(value: __m512) -> [__m512i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        // Rounded by adding half, which takes fewer steps than converting there and back.
        let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
        let half = _mm512_set1_epi32(0x8000);
        let bits = _mm512_add_epi32(_mm512_castps_si512(value), half);
        let rounded = _mm512_and_si512(bits, upper);
        [rounded, _mm512_castps_si512(_mm512_sub_ps(value, _mm512_castsi512_ps(rounded)))]
    }
}

/// The upper halves of the lanes of two registers, in one step.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn upper_words([first, second]: [__m512i; 2]) -> __m512i {
    const ODD: [u16; 32] = {
        let mut odd = [0; 32];
        let mut i = 0;
        while i < 32 {
            odd[i] = 2 * i as u16 + 1;
            i += 1;
        }
        odd
    };
    // SAFETY: the caller's promise; both types are 64 bytes of integers.
    unsafe {
        _mm512_permutex2var_epi16(first, std::mem::transmute::<[u16; 32], __m512i>(ODD), second)
    }
}
