//! What happens to a convolution's sums before they are stored: bias, activation, residual,
//! affine, rounding to bf16.

use super::lanes::{Lanes, cut_to_bf16, from_bf16, to_bf16};
use crate::layout::{CHANNEL_BLOCK, Layout, Tile};

/// The planes of one value. A null plane is not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes {
    pub layout: Layout,
    pub f32: *mut f32,
    /// The values rounded to bf16.
    pub high: *mut u16,
    /// What that rounding took away, cut to bf16.
    pub low: *mut u16,
    /// Elements of the bf16 planes from one value to the next, block by block of channels.
    pub spread: usize,
}

impl Planes {
    /// Planes that are not there.
    pub fn absent(layout: Layout) -> Self {
        let none = std::ptr::null_mut();
        Self { layout, f32: std::ptr::null_mut(), high: none, low: none, spread: 1 }
    }

    /// Where a pixel's channel lies in each plane.
    pub fn at(&self, [image, y, x]: [usize; 3], channel: usize) -> Place {
        self.place(self.layout.pixel(image, y, x) * self.layout.pitch + channel)
    }

    /// Where a row of the first picture starts, counted from the first row of zeros above it.
    pub fn row(&self, row: usize) -> Place {
        self.place(self.layout.row_start(row) * self.layout.pitch)
    }

    fn place(&self, offset: usize) -> Place {
        Place {
            f32: further(self.f32, offset),
            high: further(self.high, offset * self.spread),
            low: further(self.low, offset * self.spread),
            spread: self.spread,
        }
    }
}

/// An address in a plane; null stays null.
fn further<T>(start: *mut T, elements: usize) -> *mut T {
    if start.is_null() { start } else { start.wrapping_add(elements) }
}

/// Addresses in the planes of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub f32: *mut f32,
    pub high: *mut u16,
    pub low: *mut u16,
    spread: usize,
}

impl Place {
    const NOWHERE: Self = Self {
        f32: std::ptr::null_mut(),
        high: std::ptr::null_mut(),
        low: std::ptr::null_mut(),
        spread: 1,
    };

    /// The places this many elements further, whole blocks where halves lie side by side; a place
    /// that is not there becomes nonsense that no style names.
    #[inline(always)]
    fn add(self, elements: usize) -> Self {
        Self {
            f32: self.f32.wrapping_add(elements),
            high: self.high.wrapping_add(elements * self.spread),
            low: self.low.wrapping_add(elements * self.spread),
            spread: self.spread,
        }
    }

    /// The planes that are there.
    #[inline(always)]
    fn style(self) -> Style {
        let bit = |absent: bool, bit: Style| if absent { 0 } else { bit };
        bit(self.f32.is_null(), F32)
            | bit(self.high.is_null(), HIGH)
            | bit(self.high.is_null() || self.low.is_null(), LOW)
            | bit(self.high.is_null() || self.spread == 1, BESIDE)
    }

    /// Writes zeros to the planes that are there.
    ///
    /// # Safety
    /// As many values can be written there.
    pub unsafe fn clear(self, count: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if !self.f32.is_null() {
                self.f32.write_bytes(0, count);
            }
            if !self.high.is_null() {
                self.high.write_bytes(0, count * self.spread);
            }
            if !self.low.is_null() && self.spread == 1 {
                self.low.write_bytes(0, count);
            }
        }
    }

    /// Writes `N` registers to the planes that the style names.
    ///
    /// # Safety
    /// They can be written there.
    #[inline(always)]
    unsafe fn write<S: Lanes, const N: usize>(self, s: S, style: Style, values: &[S::Register; N]) {
        // SAFETY: the caller's promise.
        unsafe {
            if style & F32 != 0 {
                for (i, &value) in values.iter().enumerate() {
                    s.store(self.f32.add(i * S::COUNT), value);
                }
            }
            if style & BESIDE != 0 {
                for (i, &value) in values.iter().enumerate() {
                    s.store_bf16_beside(self.high.add(2 * i * S::COUNT), value);
                }
            } else if style & HIGH != 0 {
                let low = if style & LOW != 0 { self.low } else { std::ptr::null_mut() };
                if N == 2 {
                    s.store_bf16_pair(self.high, low, [values[0], values[1]]);
                } else {
                    s.store_bf16(self.high, low, values[0]);
                }
            }
        }
    }

    /// Writes values one after another to the planes that are there.
    ///
    /// # Safety
    /// As many values can be written there.
    #[inline(always)]
    pub unsafe fn write_all<S: Lanes>(self, s: S, values: &[f32]) {
        // SAFETY: a block holds one register; the caller vouches for the place.
        unsafe {
            let whole = |block: &[f32]| s.load(block.as_ptr());
            self.write_each(s, values, whole, |value| value);
        }
    }

    /// Writes bytes less the mean, times the scale, one after another to the planes that are
    /// there.
    ///
    /// # Safety
    /// As many values can be written there.
    #[inline(always)]
    pub unsafe fn write_bytes<S: Lanes>(self, s: S, bytes: &[u8], [mean, scale]: [f32; 2]) {
        let (less, times) = (s.splat(-mean), s.splat(scale));
        // SAFETY: a block holds as many bytes as a register has lanes; the caller vouches for the
        // place.
        unsafe {
            let whole = |block: &[u8]| s.mul(s.add(s.load_bytes(block.as_ptr()), less), times);
            self.write_each(s, bytes, whole, |byte| (f32::from(byte) - mean) * scale);
        }
    }

    /// Writes what becomes of values, a register at a time as long as there are enough.
    ///
    /// # Safety
    /// As many values can be written there.
    #[inline(always)]
    unsafe fn write_each<S: Lanes, T: Copy>(
        self,
        s: S,
        values: &[T],
        whole: impl Fn(&[T]) -> S::Register,
        single: impl Fn(T) -> f32,
    ) {
        let style = self.style();
        let mut blocks = values.chunks_exact(S::COUNT);
        let mut place = self;
        for block in &mut blocks {
            // SAFETY: the caller's promise.
            unsafe { place.write::<S, 1>(s, style, &[whole(block)]) };
            place = place.add(S::COUNT);
        }
        for (i, &value) in blocks.remainder().iter().enumerate() {
            let value = single(value);
            let high = to_bf16(value);
            // SAFETY: the caller's promise.
            unsafe {
                if style & F32 != 0 {
                    place.f32.add(i).write(value);
                }
                if style & HIGH != 0 {
                    place.high.add(i).write(high);
                }
                if style & LOW != 0 {
                    place.low.add(i).write(cut_to_bf16(value - from_bf16(high)));
                }
            }
        }
    }
}

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

/// What a [`Finish`] does, one bit each. Loops over pixels are compiled for the usual
/// combinations, so that they test nothing.
pub(crate) type Style = u32;
pub(crate) const RELU: Style = 1;
pub(crate) const PRELU: Style = 2;
pub(crate) const RESIDUAL: Style = 4;
/// The main value has an f32 plane, a first and a second bf16 plane.
pub(crate) const F32: Style = 8;
pub(crate) const HIGH: Style = 16;
pub(crate) const LOW: Style = 32;
/// There is a second activation, or an affine.
pub(crate) const MORE: Style = 64;
/// The bf16 values and their rests lie side by side.
pub(crate) const BESIDE: Style = 128;

/// Evaluates `$body` with `$style` constant for the usual styles, and variable for the others.
/// With `$bf16` false, styles with bf16 planes are not among the usual ones.
macro_rules! with_style {
    ($value:expr, $bf16:expr, $style:ident => $body:expr) => {{
        #[allow(clippy::wildcard_imports, reason = "the words of a style")]
        use $crate::kernels::finish::*;
        with_style!(
            @match $value, $bf16, $style, $body,
            F32, RELU | F32, PRELU | F32, RESIDUAL | F32, HIGH, RELU | HIGH, PRELU | HIGH,
            RESIDUAL | HIGH, HIGH | LOW, RELU | HIGH | LOW, PRELU | HIGH | LOW,
            RESIDUAL | HIGH | LOW, F32 | HIGH, RELU | F32 | HIGH, PRELU | F32 | HIGH,
            RESIDUAL | F32 | HIGH, F32 | HIGH | LOW, RELU | F32 | HIGH | LOW,
            PRELU | F32 | HIGH | LOW, RESIDUAL | F32 | HIGH | LOW, RELU | HIGH | LOW | BESIDE,
            F32 | HIGH | LOW | BESIDE
        )
    }};
    (@match $value:expr, $bf16:expr, $style:ident, $body:expr, $($usual:expr),*) => {
        match $value {
            $(value if value == $usual && ($bf16 || ($usual) & HIGH == 0) => {
                const $style: Style = $usual;
                $body
            })*
            #[allow(non_snake_case, reason = "the name stands for a constant in the arms above")]
            $style => $body,
        }
    };
}
pub(crate) use with_style;

/// The steps, in order: add the bias, activate, add the residual, activate again, store; then
/// scale, shift and store that as another value. All values have the same number of channels.
#[derive(Debug, Clone)]
pub(crate) struct Finish<'a> {
    pub bias: &'a PerChannel,
    pub activation: &'a Activation,
    pub residual: Option<Planes>,
    pub after: &'a Activation,
    pub main: Option<Planes>,
    pub affine: Option<(Planes, &'a PerChannel, &'a PerChannel)>,
    /// Elements from one output pixel to the next.
    pub pitch: usize,
}

/// A [`Finish`] for `N` registers of channels.
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
    affine_style: Style,
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

impl Finish<'_> {
    /// What is to be done, in bits.
    pub fn style(&self) -> Style {
        let mut style = match self.activation {
            Activation::None => 0,
            Activation::Relu => RELU,
            Activation::PRelu(_) => PRELU,
        };
        if self.residual.is_some() {
            style |= RESIDUAL;
        }
        if let Some(main) = self.main {
            style |= main.at([0; 3], 0).style();
        }
        if self.affine.is_some() || *self.after != Activation::None {
            style |= MORE;
        }
        style
    }

    /// Reads the numbers of the channels from `first` on.
    #[inline(always)]
    pub fn channels<S: Lanes, const N: usize>(
        &self,
        s: S,
        style: Style,
        first: usize,
    ) -> Channels<S, N> {
        let none = [s.splat(0.0); N];
        let slope = match self.activation {
            Activation::PRelu(slope) if style & PRELU != 0 => slope.read(s, first),
            _ => none,
        };
        let (mut after, mut scale, mut shift) = (Activate::None, none, none);
        if style & MORE != 0 {
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
            affine_style: affine.style(),
        }
    }

    /// Finishes the sums of a tile, which lie pixel by pixel in rows of `N` registers, and may have
    /// their bias already.
    ///
    /// # Safety
    /// The planes hold the pixels of the tile and these channels.
    #[inline(always)]
    pub unsafe fn tile<S: Lanes, const N: usize, const BIASED: bool>(
        &self,
        s: S,
        style: Style,
        tile: &Tile,
        sums: &[f32],
        first: usize,
    ) {
        let channels = self.channels::<S, N>(s, style, first);
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
                        channels.emit_biased(s, style, &mut cursor, self.pitch, values);
                    } else {
                        channels.emit(s, style, &mut cursor, self.pitch, values);
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

    /// Finishes the sums of the pixel at the cursor, and moves it to the next.
    ///
    /// # Safety
    /// The cursor's planes hold that pixel and these channels.
    #[inline(always)]
    pub unsafe fn emit(
        &self,
        s: S,
        style: Style,
        cursor: &mut Cursor,
        pitch: usize,
        mut sums: [S::Register; N],
    ) {
        for (sum, &bias) in sums.iter_mut().zip(&self.bias) {
            *sum = s.add(*sum, bias);
        }
        // SAFETY: the caller's promise.
        unsafe { self.emit_biased(s, style, cursor, pitch, sums) };
    }

    /// [`Self::emit`] for sums that have their bias.
    ///
    /// # Safety
    /// As for [`Self::emit`].
    #[inline(always)]
    pub unsafe fn emit_biased(
        &self,
        s: S,
        style: Style,
        cursor: &mut Cursor,
        pitch: usize,
        sums: [S::Register; N],
    ) {
        let zero = s.splat(0.0);
        let mut values = sums;
        for (i, value) in values.iter_mut().enumerate() {
            if style & RELU != 0 {
                *value = s.max(*value, zero);
            }
            if style & PRELU != 0 {
                *value = s.prelu(*value, self.slope[i]);
            }
            if style & RESIDUAL != 0 {
                // SAFETY: the caller's promise.
                let other = unsafe { s.load(cursor.residual.add(i * S::COUNT)) };
                *value = s.add(*value, other);
            }
        }
        if style & MORE != 0 {
            self.after.apply(s, &mut values);
        }
        // SAFETY: the caller's promise, for this and the writing below.
        unsafe { cursor.main.write(s, style, &values) };
        if style & MORE != 0 {
            for (i, value) in values.iter_mut().enumerate() {
                *value = s.fma(*value, self.scale[i], self.shift[i]);
            }
            // SAFETY: see above.
            unsafe { cursor.affine.write(s, cursor.affine_style, &values) };
        }
        cursor.advance(pitch);
    }
}
