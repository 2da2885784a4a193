//! Copies pictures into the planes, and outputs out of them.

use std::ops::Range;

use super::{Pass, Workspace};
use crate::executor::are_finite;
use crate::kernels::planes::Place;
use crate::lower::Part;
use crate::network::ValueId;
use crate::plan::Plan;
use facefold_kernels::lanes::{from_bf16, to_bf16};

/// Pictures as they are given, one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pictures<'a> {
    Values(&'a [f32]),
    /// With the mean and the scale that make them the network's input.
    Bytes(&'a [u8], [f32; 2]),
}

impl Pictures<'_> {
    pub fn len(self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Bytes(bytes, _) => bytes.len(),
        }
    }

    /// Whether all values are bf16 numbers.
    pub(super) fn are_bf16(self) -> bool {
        let Self::Bytes(_, [mean, scale]) = self else { return false };
        (0..=u8::MAX).all(|byte| {
            let value = (f32::from(byte) - mean) * scale;
            from_bf16(to_bf16(value)).to_bits() == value.to_bits()
        })
    }

    /// Some of the values.
    pub fn part(self, range: Range<usize>) -> Self {
        match self {
            Self::Values(values) => Pictures::Values(&values[range]),
            Self::Bytes(bytes, scaling) => Pictures::Bytes(&bytes[range], scaling),
        }
    }
}

/// The picture holds a value that is not finite.
pub(super) struct NotFinite;

impl Workspace {
    /// Appends a value of the first `images` pictures, NHWC without padding.
    pub fn read(&self, plan: &Plan, part: &Part, images: usize, to: &mut Vec<f32>) {
        let (Some(rows), Some(shape)) = (self.rows(plan, part, 0), part.shape(&plan.shapes)) else {
            return;
        };
        for image in 0..images {
            for y in 0..shape.height {
                let row = rows.row(image, y);
                if rows.pitch() == shape.channels {
                    to.extend_from_slice(row);
                    continue;
                }
                let start = to.len();
                to.resize(start + shape.width * shape.channels, 0.0);
                // The numbers of channels that SCRFD's outputs have: a call for a few values
                // would take longer than to copy them.
                match shape.channels {
                    2 => rows.copy_row::<2>(row, &mut to[start..]),
                    8 => rows.copy_row::<8>(row, &mut to[start..]),
                    20 => rows.copy_row::<20>(row, &mut to[start..]),
                    _ => {
                        let pixels = to[start..].chunks_exact_mut(shape.channels);
                        for (to, from) in pixels.zip(row.chunks_exact(rows.pitch())) {
                            to.copy_from_slice(&from[rows.channels()]);
                        }
                    }
                }
            }
        }
    }
}

impl Pass<'_> {
    /// Copies rows of the picture to the planes that the first steps read. A value that is not
    /// finite must not get there: what is left of it could spread to the next picture.
    pub(super) fn copy_input(&self, rows: Range<usize>) -> Result<(), NotFinite> {
        let (Some(shape), Some(planes)) =
            (self.plan.shapes[ValueId::INPUT.0], self.planes(ValueId::INPUT))
        else {
            return Ok(());
        };
        let length = shape.width * shape.channels;
        let whole_rows = planes.layout.pitch == shape.channels;
        for y in rows {
            let row = self.picture.part(y * length..(y + 1) * length);
            if let Pictures::Values(values) = row
                && !are_finite(values)
            {
                return Err(NotFinite);
            }
            if whole_rows {
                // SAFETY: a row of the picture is a row of the plane.
                unsafe { self.write(row, planes.at([0, y, 0], 0)) };
                continue;
            }
            for x in 0..shape.width {
                let pixel = row.part(x * shape.channels..(x + 1) * shape.channels);
                // SAFETY: the plane's pixels have at least the picture's channels.
                unsafe { self.write(pixel, planes.at([0, y, x], 0)) };
            }
        }
        Ok(())
    }

    /// Writes values of the picture.
    ///
    /// # Safety
    /// As many can be written there.
    unsafe fn write(&self, values: Pictures<'_>, place: Place) {
        let kernels = &self.engine.kernels;
        // SAFETY: the caller's promise.
        unsafe {
            match values {
                Pictures::Values(values) => (kernels.write)(values, place),
                Pictures::Bytes(bytes, scaling) => (kernels.write_bytes)(bytes, scaling, place),
            }
        }
    }
}
