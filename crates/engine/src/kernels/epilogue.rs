//! The epilogue of a convolution, computed on its sums before they are stored: bias, activation,
//! residual, affine, rounding to bf16.

use facefold_kernels::lanes::Lanes;

use super::planes::{Place, Planes};
use crate::layout::{CHANNEL_BLOCK, Tile};

/// One number a channel, followed by zeros, so that whole registers can be read past the last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PerChannel(Vec<f32>);

impl PerChannel {
    pub fn new(values: &[f32]) -> Self {
        let mut padded = values.to_vec();
        // Panels of weights are at most two blocks wide.
        padded.resize(values.len().next_multiple_of(CHANNEL_BLOCK) + CHANNEL_BLOCK, 0.0);
        Self(padded)
    }

    /// The numbers of the first channels.
    pub fn values(&self, channels: usize) -> &[f32] {
        &self.0[..channels]
    }

    /// The numbers of the channels from one on, with those of at least as many channels as a panel
    /// of weights has.
    pub fn from(&self, first: usize) -> &[f32] {
        &self.0[first..]
    }

    /// The numbers of `N` registers of channels.
    #[inline(always)]
    fn read<S: Lanes, const N: usize>(&self, s: S, first: usize) -> [S::Register; N] {
        let numbers = &self.0[first..first + N * S::COUNT];
        let mut registers = [s.splat(0.0); N];
        for (i, register) in registers.iter_mut().enumerate() {
            // SAFETY: the slice is N * COUNT long.
            *register = unsafe { s.load(numbers.as_ptr().add(i * S::COUNT)) };
        }
        registers
    }
}

/// A function of each value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Activation {
    None,
    Relu,
    /// Slopes below 0.
    PRelu(PerChannel),
}

impl Activation {
    #[inline(always)]
    fn read<S: Lanes, const N: usize>(&self, s: S, first: usize) -> Activate<S, N> {
        match self {
            Self::None => Activate::None,
            Self::Relu => Activate::Relu,
            Self::PRelu(slope) => Activate::PRelu(slope.read(s, first)),
        }
    }
}

/// An [`Activation`] for `N` registers of channels.
#[derive(Clone, Copy)]
enum Activate<S: Lanes, const N: usize> {
    None,
    Relu,
    PRelu([S::Register; N]),
}

impl<S: Lanes, const N: usize> Activate<S, N> {
    #[inline(always)]
    fn apply(&self, s: S, values: &mut [S::Register; N]) {
        let zero = s.splat(0.0);
        match self {
            Self::None => {}
            Self::Relu => {
                for value in values {
                    *value = s.max(*value, zero);
                }
            }
            Self::PRelu(slope) => {
                for (value, &slope) in values.iter_mut().zip(slope) {
                    *value = s.prelu(*value, slope);
                }
            }
        }
    }
}

/// The operations of an [`Epilogue`], one bit each. Loops over pixels are compiled for the usual
/// combinations, so that they have no branches.
pub(crate) type EpilogueOps = u32;
pub(crate) const RELU: EpilogueOps = 1;
pub(crate) const PRELU: EpilogueOps = 2;
pub(crate) const RESIDUAL: EpilogueOps = 4;
/// The main value has an f32 plane, a first and a second bf16 plane.
pub(crate) const F32: EpilogueOps = 8;
pub(crate) const HIGH: EpilogueOps = 16;
pub(crate) const LOW: EpilogueOps = 32;
/// There is a second activation or an affine map.
pub(crate) const SECOND_STAGE: EpilogueOps = 64;
/// The bf16 values and their remainders are interleaved, block by block.
pub(crate) const INTERLEAVED: EpilogueOps = 128;

/// Evaluates `$body` with `$ops` constant for the usual combinations, and variable for the others.
/// With `$bf16` false, combinations with bf16 planes are not among the usual ones.
macro_rules! with_ops {
    ($value:expr, $bf16:expr, $ops:ident => $body:expr) => {{
        #[allow(clippy::wildcard_imports, reason = "the bits that combinations are made of")]
        use $crate::kernels::epilogue::*;
        with_ops!(
            @match $value, $bf16, $ops, $body,
            F32, RELU | F32, PRELU | F32, RESIDUAL | F32, HIGH, RELU | HIGH, PRELU | HIGH,
            RESIDUAL | HIGH, HIGH | LOW, RELU | HIGH | LOW, PRELU | HIGH | LOW,
            RESIDUAL | HIGH | LOW, F32 | HIGH, RELU | F32 | HIGH, PRELU | F32 | HIGH,
            RESIDUAL | F32 | HIGH, F32 | HIGH | LOW, RELU | F32 | HIGH | LOW,
            PRELU | F32 | HIGH | LOW, RESIDUAL | F32 | HIGH | LOW, RELU | HIGH | LOW | INTERLEAVED,
            F32 | HIGH | LOW | INTERLEAVED
        )
    }};
    (@match $value:expr, $bf16:expr, $ops:ident, $body:expr, $($usual:expr),*) => {
        match $value {
            $(value if value == $usual && ($bf16 || ($usual) & HIGH == 0) => {
                const $ops: EpilogueOps = $usual;
                $body
            })*
            #[allow(non_snake_case, reason = "the name stands for a constant in the arms above")]
            $ops => $body,
        }
    };
}
pub(crate) use with_ops;

/// The operations, in order: add the bias, activate, add the residual, activate again, store; then
/// scale, shift and store that as another value. All values have the same number of channels.
#[derive(Debug, Clone)]
pub(crate) struct Epilogue<'a> {
    pub bias: &'a PerChannel,
    pub activation: &'a Activation,
    pub residual: Option<Planes>,
    pub after: &'a Activation,
    pub main: Option<Planes>,
    pub affine: Option<(Planes, &'a PerChannel, &'a PerChannel)>,
    /// Elements from one output pixel to the next.
    pub pitch: usize,
}

/// An [`Epilogue`] for `N` registers of channels.
#[derive(Clone, Copy)]
pub(crate) struct Channels<S: Lanes, const N: usize> {
    bias: [S::Register; N],
    slope: [S::Register; N],
    after: Activate<S, N>,
    scale: [S::Register; N],
    shift: [S::Register; N],
}

/// Where a span of pixels is read and written, at the first of some channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    residual: *const f32,
    main: Place,
    affine: Place,
    affine_ops: EpilogueOps,
}

impl Cursor {
    /// The pixel that lies this many elements further.
    #[inline(always)]
    fn advance(&mut self, pitch: usize) {
        self.residual = self.residual.wrapping_add(pitch);
        self.main = self.main.add(pitch);
        self.affine = self.affine.add(pitch);
    }
}

impl Epilogue<'_> {
    /// The operations, as bits.
    pub fn ops(&self) -> EpilogueOps {
        let mut ops = match self.activation {
            Activation::None => 0,
            Activation::Relu => RELU,
            Activation::PRelu(_) => PRELU,
        };
        if self.residual.is_some() {
            ops |= RESIDUAL;
        }
        if let Some(main) = self.main {
            ops |= main.at([0; 3], 0).ops();
        }
        if self.affine.is_some() || *self.after != Activation::None {
            ops |= SECOND_STAGE;
        }
        ops
    }

    /// Reads the numbers of the channels from `first` on.
    #[inline(always)]
    pub fn channels<S: Lanes, const N: usize>(
        &self,
        s: S,
        ops: EpilogueOps,
        first: usize,
    ) -> Channels<S, N> {
        let none = [s.splat(0.0); N];
        let slope = match self.activation {
            Activation::PRelu(slope) if ops & PRELU != 0 => slope.read(s, first),
            _ => none,
        };
        let (mut after, mut scale, mut shift) = (Activate::None, none, none);
        if ops & SECOND_STAGE != 0 {
            after = self.after.read(s, first);
            if let Some((_, by, plus)) = self.affine {
                (scale, shift) = (by.read(s, first), plus.read(s, first));
            }
        }
        Channels { bias: self.bias.read(s, first), slope, after, scale, shift }
    }

    /// The places of the pixel `at` and its neighbours to the right.
    #[inline(always)]
    pub fn cursor(&self, at: [usize; 3], first: usize) -> Cursor {
        let affine = self.affine.map_or(Place::NOWHERE, |affine| affine.0.at(at, first));
        Cursor {
            residual: self.residual.map_or(std::ptr::null(), |planes| planes.at(at, first).f32),
            main: self.main.map_or(Place::NOWHERE, |planes| planes.at(at, first)),
            affine,
            affine_ops: affine.ops(),
        }
    }

    /// Applies the operations to the sums of a tile, which lie pixel by pixel in rows of `N`
    /// registers, and may have their bias already.
    ///
    /// # Safety
    /// The planes hold the pixels of the tile and these channels.
    #[inline(always)]
    pub unsafe fn tile<S: Lanes, const N: usize, const BIASED: bool>(
        &self,
        s: S,
        ops: EpilogueOps,
        tile: &Tile,
        sums: &[f32],
        first: usize,
    ) {
        let channels = self.channels::<S, N>(s, ops, first);
        for span in tile.spans() {
            let mut cursor = self.cursor(span.at, first);
            let rows = &sums[span.first * N * S::COUNT..][..span.length * N * S::COUNT];
            for row in rows.chunks_exact(N * S::COUNT) {
                let mut values = [s.splat(0.0); N];
                for (i, value) in values.iter_mut().enumerate() {
                    // SAFETY: a row holds N registers.
                    *value = unsafe { s.load(row.as_ptr().add(i * S::COUNT)) };
                }
                // SAFETY: the caller's promise.
                unsafe {
                    if BIASED {
                        channels.emit_biased(s, ops, &mut cursor, self.pitch, values);
                    } else {
                        channels.emit(s, ops, &mut cursor, self.pitch, values);
                    }
                }
            }
        }
    }
}

impl<S: Lanes, const N: usize> Channels<S, N> {
    /// The bias of the first register.
    #[inline(always)]
    pub fn bias(&self) -> S::Register {
        self.bias[0]
    }

    /// Applies the operations to the sums of the pixel at the cursor, stores the result, and moves
    /// the cursor to the next pixel.
    ///
    /// # Safety
    /// The cursor's planes hold that pixel and these channels.
    #[inline(always)]
    pub unsafe fn emit(
        &self,
        s: S,
        ops: EpilogueOps,
        cursor: &mut Cursor,
        pitch: usize,
        mut sums: [S::Register; N],
    ) {
        for (sum, &bias) in sums.iter_mut().zip(&self.bias) {
            *sum = s.add(*sum, bias);
        }
        // SAFETY: the caller's promise.
        unsafe { self.emit_biased(s, ops, cursor, pitch, sums) };
    }

    /// [`Self::emit`] for sums that have their bias.
    ///
    /// # Safety
    /// As for [`Self::emit`].
    #[inline(always)]
    pub unsafe fn emit_biased(
        &self,
        s: S,
        ops: EpilogueOps,
        cursor: &mut Cursor,
        pitch: usize,
        sums: [S::Register; N],
    ) {
        let zero = s.splat(0.0);
        let mut values = sums;
        for (i, value) in values.iter_mut().enumerate() {
            if ops & RELU != 0 {
                *value = s.max(*value, zero);
            }
            if ops & PRELU != 0 {
                *value = s.prelu(*value, self.slope[i]);
            }
            if ops & RESIDUAL != 0 {
                // SAFETY: the caller's promise.
                let other = unsafe { s.load(cursor.residual.add(i * S::COUNT)) };
                *value = s.add(*value, other);
            }
        }
        if ops & SECOND_STAGE != 0 {
            self.after.apply(s, &mut values);
        }
        // SAFETY: the caller's promise, for this and the writing below.
        unsafe { cursor.main.write(s, ops, &values) };
        if ops & SECOND_STAGE != 0 {
            for (i, value) in values.iter_mut().enumerate() {
                *value = s.fma(*value, self.scale[i], self.shift[i]);
            }
            // SAFETY: see above.
            unsafe { cursor.affine.write(s, cursor.affine_ops, &values) };
        }
        cursor.advance(pitch);
    }
}
