//! The capture parameters of one picture: what changes from one picture of a subject to the next.

use facefold_core::rng::Rng;

use crate::canvas::Pose;
use crate::colour::{self, Colour};
use crate::features::Features;
use crate::identity::Identity;
use crate::random::{between, chance, normal, one_of};

/// Pose, expression, light, arrangement and camera of one picture.
#[derive(Debug, Clone)]
pub(super) struct Capture {
    pub pose: Pose,
    /// Rotation in the picture plane, radians.
    pub roll: f32,
    /// Half the head's height as a fraction of the picture's side.
    pub scale: f32,
    /// The head's centre as fractions of the picture's side.
    pub centre: (f32, f32),
    /// -0.5 (sad) to 1 (broad smile).
    pub smile: f32,
    /// 0 (shut) to 1 (open) mouth.
    pub open_mouth: f32,
    /// How wide the eyes are open, around 1.
    pub eyes: f32,
    /// Where the eyes look, as fractions of the eye.
    pub gaze: (f32, f32),
    /// Raising of the brows, head units.
    pub brows: f32,
    /// Where the light comes from, radians from straight above, and how hard it is, 0..1.
    pub light: (f32, f32),
    pub background: [Colour; 3],
    /// Centres, sizes and tones of the blurs in the background.
    pub blurs: Vec<(f32, f32, f32, f32)>,
    pub cloth: Colour,
    pub collar: Collar,
    /// Change of the hair's length and volume on the day, around 1.
    pub hair: (f32, f32),
    /// Long hair may be tied back.
    pub tied: bool,
    /// 0 (swept back) to 1 (over the forehead).
    pub fringe: f32,
    pub makeup: bool,
    pub glasses: bool,
    /// A hat.
    pub hat: Option<Colour>,
    /// Gain of each channel, and the exponent of the tone curve.
    pub exposure: ([f32; 3], f32),
    /// Passes of a three-tap blur.
    pub blur: usize,
    /// Standard deviation of the noise, in grey levels.
    pub noise: f32,
    /// 0 (black and white) to above 1 (vivid).
    pub saturation: f32,
}

/// The neckline of the day's clothes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Collar {
    /// A T-shirt or jumper.
    Round,
    /// A pointed neckline.
    Pointed,
    /// A shirt with a collar.
    Shirt,
}

impl Capture {
    /// A picture of `identity`, whose face now measures `features`.
    pub(super) fn new(rng: &mut Rng, identity: &Identity, features: &Features) -> Self {
        let smile = between(rng, -0.25, 1.0);
        let grown = features.growth;
        let warmth = normal(rng, 0.035);
        let gain = between(rng, 0.84, 1.12);
        Self {
            pose: Pose { yaw: normal(rng, 0.13), pitch: normal(rng, 0.06) },
            roll: normal(rng, 0.06),
            scale: between(rng, 0.285, 0.345),
            centre: (0.5 + normal(rng, 0.012), 0.47 + normal(rng, 0.012)),
            smile,
            open_mouth: if chance(rng, 0.3) { between(rng, 0.2, 0.9) } else { 0.0 },
            eyes: between(rng, 0.78, 1.08) - 0.12 * smile.max(0.0),
            gaze: (normal(rng, 0.12), normal(rng, 0.06)),
            brows: normal(rng, 0.014),
            light: (normal(rng, 0.8), between(rng, 0.15, 0.8)),
            background: std::array::from_fn(|_| {
                Colour::hex(one_of(rng, &colour::BACKGROUND)).lit(between(rng, 0.7, 1.15))
            }),
            blurs: (0..5)
                .map(|_| {
                    (
                        between(rng, -1.9, 1.9),
                        between(rng, -1.8, 1.2),
                        between(rng, 0.3, 1.1),
                        between(rng, 0.55, 1.4),
                    )
                })
                .collect(),
            cloth: Colour::hex(one_of(rng, &colour::CLOTH)).lit(between(rng, 0.8, 1.15)),
            collar: if grown > 0.75 {
                one_of(rng, &[Collar::Round, Collar::Pointed, Collar::Shirt])
            } else {
                Collar::Round
            },
            hair: (between(rng, 0.9, 1.1), between(rng, 0.8, 1.25)),
            tied: identity.hair_length > 1.4 && chance(rng, 0.3),
            fringe: between(rng, 0.0, 1.0),
            makeup: grown > 0.85 && chance(rng, identity.makeup),
            glasses: chance(rng, identity.glasses * if features.age < 5.0 { 0.1 } else { 1.0 }),
            hat: chance(rng, 0.05)
                .then(|| Colour::hex(one_of(rng, &colour::CLOTH)).lit(between(rng, 0.8, 1.1))),
            exposure: (
                [gain * (1.0 + warmth), gain, gain * (1.0 - warmth)],
                between(rng, 0.85, 1.18),
            ),
            blur: one_of(rng, &[0, 0, 0, 1, 1, 2]),
            noise: between(rng, 1.0, 6.0),
            saturation: if chance(rng, 0.04) { 0.0 } else { between(rng, 0.8, 1.15) },
        }
    }
}
