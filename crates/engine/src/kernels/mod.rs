//! The kernels, each written once over [`Lanes`] and compiled for every instruction set.

// Operations on registers must end up inside the function that is compiled for their instruction
// set: a call would pass registers through memory, in every step of every inner loop.
#![allow(clippy::inline_always)]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod amx;
pub(crate) mod depthwise;
pub(crate) mod epilogue;
pub(crate) mod plain;
pub(crate) mod planes;
pub(crate) mod product;
pub(crate) mod winograd;

use depthwise::Depthwise;
use facefold_kernels::Kernel;
use facefold_kernels::lanes::{Lanes, Portable};
#[cfg(target_arch = "x86_64")]
use facefold_kernels::x86;
use planes::Place;
use product::Product;
use winograd::Winograd;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use amx::{TileProduct, Tiles};

/// The kernels of one instruction set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels {
    /// Lanes in a register.
    pub lanes: usize,
    /// Rows of a tile of [`Product`].
    pub rows: usize,
    /// # Safety
    /// As for [`product::run`].
    pub product: unsafe fn(&Product<'_>),
    /// # Safety
    /// As for [`winograd::run`].
    pub winograd: unsafe fn(&Winograd<'_>),
    /// # Safety
    /// As for [`depthwise::run`].
    pub depthwise: unsafe fn(&Depthwise<'_>),
    /// # Safety
    /// As for [`Place::write_all`].
    pub write: unsafe fn(&[f32], Place),
    /// # Safety
    /// As for [`Place::write_bytes`].
    pub write_bytes: unsafe fn(&[u8], [f32; 2], Place),
    /// # Safety
    /// As for [`amx::run`].
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub tiles: Option<unsafe fn(&TileProduct<'_>)>,
}

impl Kernels {
    /// The kernels of an instruction set that this machine has.
    pub fn of(kernel: Kernel) -> Self {
        match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => avx512::KERNELS,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Kernel::Amx => Kernels { tiles: Some(avx512_bf16::tiles), ..avx512_bf16::KERNELS },
            _ => portable::KERNELS,
        }
    }
}

/// A module with the kernels compiled for an instruction set. `$new` makes the proof that the set
/// is there: [`Kernels::of`] hands these functions out only for a kernel found available.
macro_rules! compile {
    ($name:ident, $lanes:ty, $new:expr $(, $features:literal)?) => {
        mod $name {
            use super::*;

            pub(super) const KERNELS: Kernels = Kernels {
                lanes: <$lanes>::COUNT,
                rows: <$lanes>::ROWS,
                product,
                winograd,
                depthwise,
                write,
                write_bytes,
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                tiles: None,
            };

            $(#[target_feature(enable = $features)])?
            unsafe fn product(job: &Product<'_>) {
                // SAFETY: the caller's promise.
                unsafe { product::run($new, job) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn winograd(job: &Winograd<'_>) {
                // SAFETY: the caller's promise.
                unsafe { winograd::run($new, job) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn depthwise(job: &Depthwise<'_>) {
                // SAFETY: the caller's promise.
                unsafe { depthwise::run($new, job) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn write(values: &[f32], place: Place) {
                // SAFETY: the caller's promise.
                unsafe { place.write_all($new, values) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn write_bytes(bytes: &[u8], scaling: [f32; 2], place: Place) {
                // SAFETY: the caller's promise.
                unsafe { place.write_bytes($new, bytes, scaling) }
            }

            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            #[allow(dead_code, reason = "only the set with bf16 conversions is used with tiles")]
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn tiles(job: &TileProduct<'_>) {
                // SAFETY: the caller's promise.
                unsafe { amx::run($new, job) }
            }
        }
    };
}

compile!(portable, Portable, Portable);
#[cfg(target_arch = "x86_64")]
compile!(avx2, x86::Avx2, x86::Avx2::new(), "avx2,fma");
#[cfg(target_arch = "x86_64")]
compile!(
    avx512,
    x86::Avx512<false>,
    x86::Avx512::<false>::new(),
    "avx512f,avx512bw,avx512dq,avx512vl"
);
#[cfg(target_arch = "x86_64")]
compile!(
    avx512_bf16,
    x86::Avx512<true>,
    x86::Avx512::<true>::new(),
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"
);
