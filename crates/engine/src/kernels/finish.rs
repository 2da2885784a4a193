//! What happens to a convolution's sums before they are stored: bias, activation, residual,
//! affine, rounding to bf16.

use super::lanes::Lanes;
use crate::layout::{CHANNEL_BLOCK, Layout};

/// The planes of one value. A null plane is not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes {
    pub layout: Layout,
    pub f32: *mut f32,
    /// The values rounded to bf16.
    pub high: *mut u16,
    /// What that rounding took away, rounded to bf16.
    pub low: *mut u16,
}

impl Planes {
    /// Planes that are not there.
    pub fn absent(layout: Layout) -> Self {
        let none = std::ptr::null_mut();
        Self { layout, f32: std::ptr::null_mut(), high: none, low: none }
    }

    /// Where a pixel's channel lies in each plane.
    pub fn at(&self, [image, y, x]: [usize; 3], channel: usize) -> Place {
        self.start().add(self.layout.pixel(image, y, x) * self.layout.pitch + channel)
    }

    fn start(&self) -> Place {
        Place { f32: self.f32, high: self.high, low: self.low }
    }
}

/// Addresses in the planes of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub f32: *mut f32,
    pub high: *mut u16,
    pub low: *mut u16,
}

impl Place {
    const NOWHERE: Self =
        Self { f32: std::ptr::null_mut(), high: std::ptr::null_mut(), low: std::ptr::null_mut() };

    #[inline(always)]
    fn add(self, elements: usize) -> Self {
        Self {
            f32: advance(self.f32, elements),
            high: advance(self.high, elements),
            low: advance(self.low, elements),
        }
    }

    /// Writes `N` registers to the planes that are there.
    ///
    /// # Safety
    /// They can be written there.
    #[inline(always)]
    pub unsafe fn write<S: Lanes, const N: usize>(
        self,
        s: S,
        offset: usize,
        values: &[S::Register; N],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if !self.f32.is_null() {
                for (i, &value) in values.iter().enumerate() {
                    s.store(self.f32.add(offset + i * S::COUNT), value);
                }
            }
            if !self.high.is_null() {
                let high = self.high.add(offset);
                let low = advance(self.low, offset);
                if N == 2 {
                    s.store_bf16_pair(high, low, [values[0], values[1]]);
                } else {
                    s.store_bf16(high, low, values[0]);
                }
            }
        }
    }
}

#[inline(always)]
fn advance<T>(start: *mut T, elements: usize) -> *mut T {
    if start.is_null() { start } else { start.wrapping_add(elements) }
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
                    *value = s.fma(slope, s.min(*value, zero), s.max(*value, zero));
                }
            }
        }
    }
}

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
    first: usize,
    bias: [S::Register; N],
    activation: Activate<S, N>,
    after: Activate<S, N>,
    scale: [S::Register; N],
    shift: [S::Register; N],
}

/// Where the values of a span of pixels are read and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    residual: Place,
    main: Place,
    affine: Place,
    pitch: usize,
}

impl Finish<'_> {
    /// Reads the numbers of the channels from `first` on.
    #[inline(always)]
    pub fn channels<S: Lanes, const N: usize>(&self, s: S, first: usize) -> Channels<S, N> {
        let (scale, shift) = match self.affine {
            Some((_, scale, shift)) => (scale.read(s, first), shift.read(s, first)),
            None => ([s.splat(0.0); N], [s.splat(0.0); N]),
        };
        Channels {
            first,
            bias: self.bias.read(s, first),
            activation: self.activation.read(s, first),
            after: self.after.read(s, first),
            scale,
            shift,
        }
    }
}

impl<S: Lanes, const N: usize> Channels<S, N> {
    /// The places of the pixel `at` and its neighbours to the right.
    #[inline(always)]
    pub fn cursor(&self, finish: &Finish<'_>, at: [usize; 3]) -> Cursor {
        let place = |planes: Option<Planes>| match planes {
            Some(planes) => planes.at(at, self.first),
            None => Place::NOWHERE,
        };
        Cursor {
            residual: place(finish.residual),
            main: place(finish.main),
            affine: place(finish.affine.map(|affine| affine.0)),
            pitch: finish.pitch,
        }
    }

    /// Finishes the sums of the `index`-th pixel of a span.
    ///
    /// # Safety
    /// The cursor's planes hold that pixel and these channels.
    #[inline(always)]
    pub unsafe fn emit(&self, s: S, cursor: &Cursor, index: usize, sums: [S::Register; N]) {
        let offset = index * cursor.pitch;
        let mut values = sums;
        for (value, &bias) in values.iter_mut().zip(&self.bias) {
            *value = s.add(*value, bias);
        }
        self.activation.apply(s, &mut values);
        if !cursor.residual.f32.is_null() {
            for (i, value) in values.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let other = unsafe { s.load(cursor.residual.f32.add(offset + i * S::COUNT)) };
                *value = s.add(*value, other);
            }
        }
        self.after.apply(s, &mut values);
        // SAFETY: the caller's promise.
        unsafe { cursor.main.write(s, offset, &values) };
        if !(cursor.affine.f32.is_null() && cursor.affine.high.is_null()) {
            for (i, value) in values.iter_mut().enumerate() {
                *value = s.fma(*value, self.scale[i], self.shift[i]);
            }
            // SAFETY: the caller's promise.
            unsafe { cursor.affine.write(s, offset, &values) };
        }
    }
}
