//! SIMD dispatch: runs a plain loop compiled for the widest registers that the processor has.

use crate::cpu::Kernel;

/// A computation that is compiled once for each family of registers.
///
/// Mark [`Self::run`], and all that it calls in its loops, `#[inline(always)]`: only what is
/// inlined is compiled for the wider registers.
pub trait Vectorised {
    /// What the computation gives.
    type Output;

    /// The computation, in plain Rust, with loops that the compiler can vectorise.
    fn run(self) -> Self::Output;
}

/// Runs a computation in the widest registers that this processor has.
///
/// The bits of the result do not depend on the registers: the compiler never joins a product and
/// a sum into one rounding, nor changes the order of a sum.
///
/// ```
/// use facefold_kernels::{Vectorised, dispatch_simd};
///
/// struct Halve<'a>(&'a mut [f32]);
///
/// impl Vectorised for Halve<'_> {
///     type Output = ();
///
///     #[inline(always)]
///     fn run(self) {
///         self.0.iter_mut().for_each(|value| *value *= 0.5);
///     }
/// }
///
/// let mut values = [2.0, 4.0];
/// dispatch_simd(Halve(&mut values));
/// assert_eq!(values, [1.0, 2.0]);
/// ```
pub fn dispatch_simd<W: Vectorised>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if Kernel::Avx512.is_available() {
        // SAFETY: the processor was just seen to have every feature that `in_avx512` enables.
        return unsafe { in_avx512(work) };
    }
    #[cfg(target_arch = "x86_64")]
    if Kernel::Avx2.is_available() {
        // SAFETY: the processor was just seen to have every feature that `in_avx2` enables.
        return unsafe { in_avx2(work) };
    }
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn in_avx512<W: Vectorised>(work: W) -> W::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn in_avx2<W: Vectorised>(work: W) -> W::Output {
    work.run()
}
