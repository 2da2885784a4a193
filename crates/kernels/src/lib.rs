//! What runs near the hardware's limit and is no network: SIMD dispatch ([`dispatch_simd`]), matrix
//! products ([`Multiplier`]), the resizing of pixel rows ([`RowResizer`]) and mapped files
//! ([`MappedFile`]).
//!
//! [`Kernel`] says what the processor can run. The modules [`buffer`], [`lanes`], [`tile`] and `x86`
//! are what kernels are made of, here and in `facefold-engine`; the two crates hold all of the
//! workspace's `unsafe`.

pub mod buffer;
mod cpu;
mod dispatch;
mod interpolate;
pub mod lanes;
mod mapped;
mod matrix;
pub mod tile;
#[cfg(target_arch = "x86_64")]
pub mod x86;

pub use cpu::{ENGINE_VARIABLE, Kernel, KernelError};
pub use dispatch::{Vectorised, dispatch_simd};
pub use interpolate::{RowResizer, Tap};
pub use mapped::{MappedFile, prefetch};
pub use matrix::{Matrix, MatrixMut, Multiplier, Panels};
