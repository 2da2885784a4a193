//! Five-point alignment: from landmarks to the 112 x 112 crop that ArcFace was trained on.

use facefold_core::{RejectReason, Rejection};
use facefold_kernels::{Vectorised, dispatch_simd};
use image::RgbImage;

pub use crate::networks::CROP_SIDE;

/// Where left eye, right eye, nose, left and right mouth corner lie in a crop (`arcface_dst` in
/// InsightFace's `face_align.py`); `left` is the viewer's left.
pub const TEMPLATE: [[f32; 2]; 5] = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
];

/// Landmarks closer together than this (root mean square distance from their centre, in pixels)
/// do not determine a face's size or angle.
const LEAST_SPREAD: f64 = 1.0;

/// A rotation, one scale and a shift: `(x, y)` goes to `(a x - b y + c, b x + a y + d)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Scale times cosine of the angle.
    pub a: f64,
    /// Scale times sine of the angle.
    pub b: f64,
    /// Shift right.
    pub c: f64,
    /// Shift down.
    pub d: f64,
}

impl Similarity {
    /// The similarity that takes `from` nearest to `to` in the sense of least squares.
    ///
    /// In two dimensions Umeyama's solution (Umeyama 1991, as in scikit-image's
    /// `SimilarityTransform`) has a closed form: with points as complex numbers about their
    /// means, it is the regression `sum(conj(from) to) / sum(|from|^2)`. Gives nothing where the
    /// points do not determine it: all in one place, not finite, or best mapped to one point.
    #[must_use]
    pub fn fit(from: &[[f32; 2]; 5], to: &[[f32; 2]; 5]) -> Option<Self> {
        let [mean_from, mean_to] = [from, to].map(|points| {
            let sum = |axis: usize| points.iter().map(|point| f64::from(point[axis])).sum::<f64>();
            [sum(0) / 5.0, sum(1) / 5.0]
        });
        let (mut real, mut imaginary, mut square) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let [x, y] = [0, 1].map(|axis| f64::from(p[axis]) - mean_from[axis]);
            let [u, v] = [0, 1].map(|axis| f64::from(q[axis]) - mean_to[axis]);
            real += x * u + y * v;
            imaginary += x * v - y * u;
            square += x * x + y * y;
        }
        let (a, b) = (real / square, imaginary / square);
        let spread = (square / 5.0).sqrt();
        // Written so that a spread that is not a number fails too.
        let determined = spread >= LEAST_SPREAD && spread.is_finite() && a.hypot(b) > 1e-6;
        determined.then(|| Self {
            a,
            b,
            c: mean_to[0] - a * mean_from[0] + b * mean_from[1],
            d: mean_to[1] - b * mean_from[0] - a * mean_from[1],
        })
    }

    /// Where a point goes.
    #[must_use]
    #[inline]
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x - self.b * y + self.c, self.b * x + self.a * y + self.d]
    }

    /// The way back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, c: b * self.d - a * self.c, d: -b * self.c - a * self.d }
    }
}

/// An aligned face: 112 x 112 RGB pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    pixels: Vec<u8>,
}

impl Crop {
    /// A crop from its 112 x 112 x 3 bytes; nothing for any other length.
    #[must_use]
    pub fn from_pixels(pixels: Vec<u8>) -> Option<Self> {
        (pixels.len() == CROP_SIDE * CROP_SIDE * 3).then_some(Self { pixels })
    }

    /// The upper left 112 x 112 pixels of a picture; what it does not cover is black.
    #[must_use]
    pub fn from_picture(picture: &RgbImage) -> Self {
        let unmoved = Similarity { a: 1.0, b: 0.0, c: 0.0, d: 0.0 };
        warp(picture, &unmoved)
    }

    /// The 112 x 112 x 3 bytes.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The crop as a picture.
    #[must_use]
    pub(crate) fn picture(&self) -> RgbImage {
        let side = CROP_SIDE as u32;
        RgbImage::from_raw(side, side, self.pixels.clone())
            .unwrap_or_else(|| RgbImage::new(side, side))
    }

    /// The crop with left and right exchanged.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let rows = self.pixels.chunks_exact(CROP_SIDE * 3);
        Self { pixels: rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect() }
    }

    /// Mean luma, 0 to 255 (Rec. 601 weights).
    #[must_use]
    pub fn luminance(&self) -> f32 {
        let luma = self.luma();
        let mut sums = Sums::default();
        luma.as_chunks().0.iter().for_each(|values| sums.add(&values.map(f64::from)));
        sums.mean_and_variance(luma.len()).0 as f32
    }

    /// Variance of the 4-neighbour Laplacian of the luma, with the border reflected about the
    /// outermost pixels: `cv2.Laplacian(luma, cv2.CV_32F).var()`. Higher is sharper.
    #[must_use]
    pub fn sharpness(&self) -> f32 {
        let luma = self.luma();
        let last = CROP_SIDE - 1;
        // The neighbours before and after, where the outermost pixel has its inner one twice.
        let around =
            |i: usize| (if i == 0 { 1 } else { i - 1 }, if i == last { last - 1 } else { i + 1 });
        let row = |y: usize| &luma[y * CROP_SIDE..][..CROP_SIDE];
        let mut laplacian = [0.0; CROP_SIDE];
        let mut sums = Sums::default();
        for y in 0..CROP_SIDE {
            let (above, below) = around(y);
            let (above, here, below) = (row(above), row(y), row(below));
            let at = |left: usize, x: usize, right: usize| {
                let around = [here[left], here[right], above[x], below[x]].map(f64::from);
                around[0] + around[1] + around[2] + around[3] - 4.0 * f64::from(here[x])
            };
            for (x, value) in laplacian.iter_mut().enumerate().take(last).skip(1) {
                *value = at(x - 1, x, x + 1);
            }
            for x in [0, last] {
                let (left, right) = around(x);
                laplacian[x] = at(left, x, right);
            }
            laplacian.as_chunks().0.iter().for_each(|values| sums.add(values));
        }
        sums.mean_and_variance(luma.len()).1 as f32
    }

    fn luma(&self) -> Vec<f32> {
        let weigh =
            |p: &[u8]| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]);
        self.pixels.chunks_exact(3).map(weigh).collect()
    }
}

/// Sums of values and of their squares, in lanes that the compiler adds to at once.
#[derive(Default)]
struct Sums {
    values: [f64; 8],
    squares: [f64; 8],
}

impl Sums {
    fn add(&mut self, values: &[f64; 8]) {
        for (lane, value) in values.iter().enumerate() {
            self.values[lane] += value;
            self.squares[lane] += value * value;
        }
    }

    fn mean_and_variance(&self, count: usize) -> (f64, f64) {
        let [mean, square] =
            [self.values, self.squares].map(|lanes| lanes.iter().sum::<f64>() / count as f64);
        (mean, square - mean * mean)
    }
}

/// Cuts the face with these landmarks (pixels of the picture) out of a picture and aligns it.
///
/// # Errors
/// [`RejectReason::BadLandmarks`] where the landmarks determine no alignment, or none of them
/// lies inside the picture.
pub fn align(picture: &RgbImage, landmarks: &[[f32; 2]; 5]) -> Result<Crop, Rejection> {
    align_to(picture, landmarks, &TEMPLATE)
}

/// [`align`] to other places in the crop than those of the template.
pub(crate) fn align_to(
    picture: &RgbImage,
    landmarks: &[[f32; 2]; 5],
    template: &[[f32; 2]; 5],
) -> Result<Crop, Rejection> {
    let bad = |problem: &str| {
        Rejection::new(RejectReason::BadLandmarks, format!("{problem}: {landmarks:.1?}"))
    };
    let similarity = Similarity::fit(landmarks, template)
        .ok_or_else(|| bad("the landmarks do not determine a size and an angle"))?;
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let inside = |&[x, y]: &[f32; 2]| (0.0..width).contains(&x) && (0.0..height).contains(&y);
    if !landmarks.iter().any(inside) {
        return Err(bad("none of the landmarks lies inside the picture"));
    }
    Ok(warp(picture, &similarity))
}

/// The crop that a similarity from picture to crop gives: bilinear, zeros outside the picture,
/// pixel centres at whole coordinates, as `cv2.warpAffine(picture, matrix, (112, 112))`.
#[must_use]
pub fn warp(picture: &RgbImage, similarity: &Similarity) -> Crop {
    let mut pixels = vec![0; CROP_SIDE * CROP_SIDE * 3];
    dispatch_simd(Warp { picture, back: similarity.inverse(), pixels: &mut pixels });
    Crop { pixels }
}

/// Fills a crop from the picture that lies at `back` of its pixels.
struct Warp<'a> {
    picture: &'a RgbImage,
    back: Similarity,
    pixels: &'a mut [u8],
}

impl Vectorised for Warp<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        let rows = self.pixels.as_chunks_mut::<3>().0.chunks_exact_mut(CROP_SIDE);
        for (y, row) in rows.enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = sample(self.picture, self.back.apply([x as f64, y as f64]));
            }
        }
    }
}

#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
fn sample(picture: &RgbImage, [x, y]: [f64; 2]) -> [u8; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = ((x - left) as f32, (y - top) as f32);
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    if !(-1.0..width).contains(&left) || !(-1.0..height).contains(&top) {
        return [0; 3];
    }
    if (0.0..width - 1.0).contains(&left) && (0.0..height - 1.0).contains(&top) {
        let stride = picture.width() as usize * 3;
        let first = top as usize * stride + left as usize * 3;
        let [above, below] =
            [first, first + stride].map(|first| picture.as_raw()[first..].first_chunk::<6>());
        if let (Some(&[a, b, c, d, e, f]), Some(&[g, h, i, j, k, l])) = (above, below) {
            let corners = [[a, b, c], [d, e, f], [g, h, i], [j, k, l]];
            return between(corners.map(|corner| corner.map(f32::from)), [fx, fy]);
        }
    }
    let (left, top) = (left as i64, top as i64);
    let pixel = |x: i64, y: i64| {
        let inside = (0..i64::from(picture.width())).contains(&x)
            && (0..i64::from(picture.height())).contains(&y);
        if inside { picture.get_pixel(x as u32, y as u32).0.map(f32::from) } else { [0.0; 3] }
    };
    let corners =
        [pixel(left, top), pixel(left + 1, top), pixel(left, top + 1), pixel(left + 1, top + 1)];
    between(corners, [fx, fy])
}

/// What lies between four pixels, upper left first.
#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
fn between(corners: [[f32; 3]; 4], [fx, fy]: [f32; 2]) -> [u8; 3] {
    // A loop: the closure of an array's `map` would not be compiled for the widest registers.
    let mut pixel = [0; 3];
    for (channel, value) in pixel.iter_mut().enumerate() {
        let [a, b, c, d] = corners.map(|corner| corner[channel]);
        let above = a + (b - a) * fx;
        let below = c + (d - c) * fx;
        *value = (above + (below - above) * fy).round_ties_even() as u8;
    }
    pixel
}

#[cfg(test)]
mod tests;
