//! Sequential pictures in several scans or of unusual sampling: a plane a component, then upsampling
//! and colours as in libjpeg-turbo with its default settings.

use facefold_core::Rejection;

use super::file::{File, Scan};
use super::frame::Frame;
use super::idct::inverse;
use super::scan::{Blocks, ZIGZAG, sequential};
use super::undecodable;

/// The samples of a component, whole blocks.
struct Plane {
    /// Samples in a row.
    stride: usize,
    samples: Vec<u8>,
    /// Columns and rows that belong to the picture.
    width: usize,
    height: usize,
}

/// Where the blocks of a scan go.
struct Sink<'a> {
    scan: &'a Scan<'a>,
    /// Quantization of each component of the scan, in rows.
    quanta: Vec<[i32; 64]>,
    planes: &'a mut [Plane],
}

impl Blocks for Sink<'_> {
    const WANTED: bool = true;

    fn block(&mut self, component: usize, (x, y): (usize, usize), coefficients: &[i16; 64]) {
        let quanta = &self.quanta[component];
        let dequantized =
            std::array::from_fn(|place| i32::from(coefficients[place]).wrapping_mul(quanta[place]));
        let samples = inverse(&dequantized);
        let plane = &mut self.planes[self.scan.components[component].index];
        for (row, samples) in samples.as_chunks::<8>().0.iter().enumerate() {
            let start = (8 * y + row) * plane.stride + 8 * x;
            plane.samples[start..start + 8].copy_from_slice(samples);
        }
    }
}

/// The picture's RGB samples.
///
/// # Errors
/// Corrupt data, tables that are missing, or factors of sampling that are no whole multiples.
pub(super) fn decode(file: &File<'_>) -> Result<Vec<u8>, Rejection> {
    let frame = file.frame()?;
    let ratios = ratios(frame)?;
    let mut planes: Vec<Plane> = (0..frame.components.len()).map(|c| plane(frame, c)).collect();
    for (number, scan) in file.scans.iter().enumerate() {
        let quanta = scan
            .components
            .iter()
            .map(|component| component.quanta.as_ref().map(natural))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| undecodable("a quantization table is missing"))?;
        let mut sink = Sink { scan, quanta, planes: &mut planes };
        sequential(file, number, &mut sink)?;
    }
    let mut rgb = Vec::new();
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let mut rows = vec![vec![0_u8; width]; planes.len()];
    rgb.reserve_exact(3 * width * height);
    for y in 0..height {
        for ((row, plane), ratio) in rows.iter_mut().zip(&planes).zip(&ratios) {
            plane.row(y, *ratio, row);
        }
        match rows.as_slice() {
            [a, b, c] if file.rgb() => {
                rgb.extend(a.iter().zip(b).zip(c).flat_map(|((&r, &g), &b)| [r, g, b]));
            }
            [luma, blue, red] => {
                rgb.extend(luma.iter().zip(blue).zip(red).flat_map(|((&y, &b), &r)| ycc(y, b, r)));
            }
            _ => return Err(undecodable(format!("expected 3 components, found {}", rows.len()))),
        }
    }
    Ok(rgb)
}

fn plane(frame: &Frame, index: usize) -> Plane {
    let (columns, rows) = frame.mcus();
    let (most_h, most_v) = frame.most();
    let component = &frame.components[index];
    let stride = 8 * columns * component.h;
    Plane {
        stride,
        samples: vec![0; stride * 8 * rows * component.v],
        width: (usize::from(frame.width) * component.h).div_ceil(most_h),
        height: (usize::from(frame.height) * component.v).div_ceil(most_v),
    }
}

/// How many columns and rows of the picture a component's sample stands for.
fn ratios(frame: &Frame) -> Result<Vec<(usize, usize)>, Rejection> {
    let (most_h, most_v) = frame.most();
    frame
        .components
        .iter()
        .map(|c| {
            (most_h % c.h == 0 && most_v % c.v == 0)
                .then_some((most_h / c.h, most_v / c.v))
                .ok_or_else(|| undecodable("sampling factors that do not divide one another"))
        })
        .collect()
}

fn natural(quanta: &[u16; 64]) -> [i32; 64] {
    let mut rows = [0; 64];
    for (&quantum, &place) in quanta.iter().zip(&ZIGZAG) {
        rows[usize::from(place)] = i32::from(quantum);
    }
    rows
}

impl Plane {
    fn line(&self, y: usize) -> &[u8] {
        let start = y.min(self.height - 1) * self.stride;
        &self.samples[start..start + self.width]
    }

    /// A row of the picture's samples: interpolated where a sample stands for two, as libjpeg's
    /// "fancy upsampling" does, else repeated.
    fn row(&self, y: usize, ratio: (usize, usize), out: &mut [u8]) {
        let near = self.line(y / ratio.1);
        // The next nearest row: the one above for the upper of two, the one below for the lower.
        let other = |y: usize| {
            if y.is_multiple_of(2) {
                self.line((y / 2).saturating_sub(1))
            } else {
                self.line(y / 2 + 1)
            }
        };
        match ratio {
            (1, 1) => out.copy_from_slice(near),
            (2, 1) if self.width > 2 => {
                let line: Vec<u32> = near.iter().map(|&sample| u32::from(sample)).collect();
                doubled(&line, [1, 2], 2, out);
            }
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, &a), &b) in out.iter_mut().zip(near).zip(other(y)) {
                    *out = ((3 * u32::from(a) + u32::from(b) + bias) >> 2) as u8;
                }
            }
            (2, 2) if self.width > 2 => {
                let sums =
                    near.iter().zip(other(y)).map(|(&a, &b)| 3 * u32::from(a) + u32::from(b));
                doubled(&sums.collect::<Vec<u32>>(), [8, 7], 4, out);
            }
            (columns, _) => {
                for (x, out) in out.iter_mut().enumerate() {
                    *out = near[x / columns];
                }
            }
        }
    }
}

/// Two samples for each: three parts of it and one of its left or right neighbour, with a bias
/// each, shifted to the right by so many bits. The outermost have no neighbour.
fn doubled(line: &[u32], [left, right]: [u32; 2], shift: u32, out: &mut [u8]) {
    let last = line.len() - 1;
    for (x, out) in out.iter_mut().enumerate() {
        let at = x / 2;
        let (neighbour, bias) =
            if x.is_multiple_of(2) { (at.checked_sub(1), left) } else { (Some(at + 1), right) };
        let neighbour = neighbour.filter(|&neighbour| neighbour <= last);
        let other = neighbour.map_or(line[at], |neighbour| line[neighbour]);
        *out = ((3 * line[at] + other + bias) >> shift) as u8;
    }
}

/// YCbCr of JFIF to RGB, with constants of 16 bits.
fn ycc(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(luma), i32::from(blue) - 128, i32::from(red) - 128);
    let clamp = |value: i32| value.clamp(0, 255) as u8;
    [
        clamp(y + ((91881 * cr + HALF) >> 16)),
        clamp(y + ((-22554 * cb - 46802 * cr + HALF) >> 16)),
        clamp(y + ((116_130 * cb + HALF) >> 16)),
    ]
}
