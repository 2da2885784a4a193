//! One drawn picture in memory: the unit from which the set is made, and a fixture for tests.

use facefold_core::Gender;
use facefold_core::rng::{Rng, seeded};
use image::RgbImage;
use tiny_skia::Transform;

use super::canvas::Canvas;
use super::features::Features;
use super::paint::Scene;
use super::shot::Shot;
use super::sitter::Sitter;

/// The side of a picture unless asked otherwise, in pixels.
pub const DEFAULT_SIDE: u32 = 320;
/// The smallest and largest side that can be asked for, in pixels.
pub const SIDE_RANGE: std::ops::RangeInclusive<u32> = 64..=2048;

/// A drawn picture and what is known of it.
#[derive(Debug, Clone)]
pub struct Portrait {
    /// The picture, square.
    pub picture: RgbImage,
    /// Eyes (the picture's left first), nose tip, mouth corners, in pixels: the five points that
    /// a detector should find.
    pub landmarks: [[f32; 2]; 5],
}

impl Sitter {
    /// This person at a true age of `years`, in the picture with number `shot` under `seed`.
    ///
    /// The same arguments give the same pixels on one machine. `side` is cut to [`SIDE_RANGE`].
    #[must_use]
    pub fn portrait(&self, years: f32, seed: u64, shot: usize, side: u32) -> Portrait {
        let side = side.clamp(*SIDE_RANGE.start(), *SIDE_RANGE.end());
        let (features, shot, mut rng) = self.sitting(years, seed, shot);
        let view = view(&shot, side);
        let picture = match Canvas::new(side, view) {
            Some(mut canvas) => {
                Scene::new(self, &features, &shot).paint(&mut canvas);
                super::camera::develop(canvas.pixmap.data(), side, &shot, &mut rng)
            }
            // Sides within the range always make a canvas.
            None => RgbImage::new(side, side),
        };
        let (x, smile) = (features.mouth_width * (1.0 + 0.16 * shot.smile), 0.045 * shot.smile);
        let landmarks = [
            (-features.eye_x, features.eye_y),
            (features.eye_x, features.eye_y),
            (0.0, features.nose_y - 0.03),
            (-x, features.mouth_y - smile),
            (x, features.mouth_y - smile),
        ]
        .map(|(x, y)| {
            let (x, y) = shot.pose.place(x, y);
            [view.sx * x + view.kx * y + view.tx, view.ky * x + view.sy * y + view.ty]
        });
        Portrait { picture, landmarks }
    }

    /// Rotation in the picture plane (clockwise) and turn of the head (to the picture's right) in
    /// the picture that [`Sitter::portrait`] draws of the same arguments, degrees.
    pub(super) fn angles(&self, years: f32, seed: u64, shot: usize) -> (f32, f32) {
        let (_, shot, _) = self.sitting(years, seed, shot);
        (shot.roll.to_degrees(), shot.pose.yaw.to_degrees())
    }

    /// The face and the picture's conditions, and the generator for what the camera adds.
    fn sitting(&self, years: f32, seed: u64, shot: usize) -> (Features, Shot, Rng) {
        let mut rng = seeded(seed, &format!("drawn shot {shot}"));
        let features = Features::new(self, years);
        let shot = Shot::new(&mut rng, self, &features);
        (features, shot, rng)
    }
}

/// A picture of some grown or small person: all that a test of other parts needs.
#[must_use]
pub fn portrait(seed: u64) -> Portrait {
    let gender = Gender::ALL[(seed % 2) as usize];
    let years = (seed.wrapping_mul(37) % 80) as f32;
    Sitter::new(seed, 0, gender).portrait(years, seed, 0, DEFAULT_SIDE)
}

/// From head units to pixels.
fn view(shot: &Shot, side: u32) -> Transform {
    let side = side as f32;
    let (sin, cos) = shot.roll.sin_cos();
    let scale = shot.scale * side;
    Transform::from_row(
        scale * cos,
        scale * sin,
        -scale * sin,
        scale * cos,
        shot.centre.0 * side,
        shot.centre.1 * side,
    )
}
