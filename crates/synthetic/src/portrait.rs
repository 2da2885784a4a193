//! One synthetic picture in memory: the unit of the dataset, and a fixture for tests.

use facefold_core::Gender;
use facefold_core::rng::{Rng, seeded};
use image::RgbImage;
use tiny_skia::Transform;

use crate::canvas::Canvas;
use crate::capture::Capture;
use crate::features::Features;
use crate::identity::Identity;
use crate::paint::Scene;

/// The default side of a picture, in pixels.
pub const DEFAULT_SIDE: u32 = 320;
/// The smallest and largest side, in pixels.
pub const SIDE_RANGE: std::ops::RangeInclusive<u32> = 64..=2048;

/// A synthetic picture and its landmarks.
#[derive(Debug, Clone)]
pub struct Portrait {
    /// The picture, square.
    pub picture: RgbImage,
    /// Eyes (the picture's left first), nose tip, mouth corners, in pixels: the five points that
    /// a detector should find.
    pub landmarks: [[f32; 2]; 5],
}

impl Identity {
    /// This person at a true age of `years`, in the picture with number `capture` under `seed`.
    ///
    /// The same arguments give the same pixels on one machine. `side` is clamped to [`SIDE_RANGE`].
    #[must_use]
    pub fn portrait(&self, years: f32, seed: u64, capture: usize, side: u32) -> Portrait {
        let side = side.clamp(*SIDE_RANGE.start(), *SIDE_RANGE.end());
        let (features, capture, mut rng) = self.capture_of(years, seed, capture);
        let view = view(&capture, side);
        let picture = match Canvas::new(side, view) {
            Some(mut canvas) => {
                Scene::new(self, &features, &capture).paint(&mut canvas);
                super::camera::develop(canvas.pixmap.data(), side, &capture, &mut rng)
            }
            // Sides within the range always make a canvas.
            None => RgbImage::new(side, side),
        };
        let (x, smile) =
            (features.mouth_width * (1.0 + 0.16 * capture.smile), 0.045 * capture.smile);
        let landmarks = [
            (-features.eye_x, features.eye_y),
            (features.eye_x, features.eye_y),
            (0.0, features.nose_y - 0.03),
            (-x, features.mouth_y - smile),
            (x, features.mouth_y - smile),
        ]
        .map(|(x, y)| {
            let (x, y) = capture.pose.place(x, y);
            [view.sx * x + view.kx * y + view.tx, view.ky * x + view.sy * y + view.ty]
        });
        Portrait { picture, landmarks }
    }

    /// Rotation in the picture plane (clockwise) and turn of the head (to the picture's right) in
    /// the picture that [`Identity::portrait`] draws of the same arguments, degrees.
    pub(super) fn angles(&self, years: f32, seed: u64, capture: usize) -> (f32, f32) {
        let (_, capture, _) = self.capture_of(years, seed, capture);
        (capture.roll.to_degrees(), capture.pose.yaw.to_degrees())
    }

    /// The face and the picture's conditions, and the generator for what the camera adds.
    fn capture_of(&self, years: f32, seed: u64, capture: usize) -> (Features, Capture, Rng) {
        let mut rng = seeded(seed, &format!("drawn shot {capture}"));
        let features = Features::new(self, years);
        let capture = Capture::new(&mut rng, self, &features);
        (features, capture, rng)
    }
}

/// A picture of an adult or a child, for tests of other parts.
#[must_use]
pub fn portrait(seed: u64) -> Portrait {
    let gender = Gender::ALL[(seed % 2) as usize];
    let years = (seed.wrapping_mul(37) % 80) as f32;
    Identity::new(seed, 0, gender).portrait(years, seed, 0, DEFAULT_SIDE)
}

/// From head units to pixels.
fn view(capture: &Capture, side: u32) -> Transform {
    let side = side as f32;
    let (sin, cos) = capture.roll.sin_cos();
    let scale = capture.scale * side;
    Transform::from_row(
        scale * cos,
        scale * sin,
        -scale * sin,
        scale * cos,
        capture.centre.0 * side,
        capture.centre.1 * side,
    )
}
