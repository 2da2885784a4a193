//! AVX2 and AVX-512 registers.

use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_add_ps,
    _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_permute_ps, _mm256_set1_ps, _mm256_storeu_ps,
    _mm256_storeu_si256, _mm256_sub_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_castsi512_si256, _mm512_cvtepi32_ps,
    _mm512_cvtepu8_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_extracti64x4_epi64,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_mul_ps, _mm512_mask_shuffle_epi8, _mm512_max_ps,
    _mm512_min_ps, _mm512_movepi32_mask, _mm512_mul_ps, _mm512_permute_ps,
    _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_set4_epi32,
    _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
};

use super::lanes::Lanes;

/// Eight lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor has AVX2 and FMA.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl Lanes for Avx2 {
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
pub(crate) struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// # Safety
    /// The processor has AVX-512 F, BW, DQ and VL, and, for `BF16`, its bf16 conversions.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl<const BF16: bool> Lanes for Avx512<BF16> {
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
            let sorted = halves(value);
            _mm256_storeu_si256(high.cast(), _mm512_castsi512_si256(sorted));
            _mm256_storeu_si256(low.cast(), _mm512_extracti64x4_epi64::<1>(sorted));
        }
    }

    #[inline(always)]
    unsafe fn store_bf16_beside(self, to: *mut u16, value: __m512) {
        assert!(BF16);
        // SAFETY: as for `store_bf16`.
        unsafe { _mm512_storeu_si512(to.cast(), halves(value)) };
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
                self.store_bf16(high, low, pair[0]);
                self.store_bf16(high.add(16), low.add(16), pair[1]);
            }
        }
    }
}

/// The lanes rounded to bf16, then what the rounding took away, without its last bits.
///
/// # Safety
/// The processor has AVX-512 F and BW.
#[inline(always)]
unsafe fn halves(value: __m512) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        // Rounded by adding half, which takes fewer steps than converting there and back. Then
        // both halves of all lanes are sorted at once.
        let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
        let half = _mm512_set1_epi32(0x8000);
        let bits = _mm512_add_epi32(_mm512_castps_si512(value), half);
        let rounded = _mm512_and_si512(bits, upper);
        let rest = _mm512_castps_si512(_mm512_sub_ps(value, _mm512_castsi512_ps(rounded)));
        let both = _mm512_mask_shuffle_epi8(rounded, 0x3333_3333_3333_3333, rest, upper_bytes());
        _mm512_permutexvar_epi16(odd_then_even(), both)
    }
}

/// For each lane the places of its upper two bytes, within each 16 bytes.
#[inline(always)]
fn upper_bytes() -> __m512i {
    // SAFETY: see `odd_then_even`.
    unsafe { _mm512_set4_epi32(0x0f0e_0f0e, 0x0b0a_0b0a, 0x0706_0706, 0x0302_0302) }
}

/// Words 1, 3, 5, ... 31, then 0, 2, ... 30.
#[inline(always)]
fn odd_then_even() -> __m512i {
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 16 {
            order[i] = 2 * i as u16 + 1;
            order[16 + i] = 2 * i as u16;
            i += 1;
        }
        order
    };
    // SAFETY: both are 64 bytes of integers.
    unsafe { std::mem::transmute(ORDER) }
}
