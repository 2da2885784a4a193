//! A synthetic identity: what stays the same from one picture of a subject to the next.
//!
//! Age and gender act through two latent quantities, the apparent age and the gender expression.
//! Each person departs from the average of their age and gender, and features overlap between
//! groups, so that the labels are always true and yet can't all be read from the face.

use facefold_core::Gender;
use facefold_core::rng::{Rng, seeded};

use crate::colour::{self, Colour};
use crate::random::{between, chance, logistic, mix, normal, one_of, smooth};

/// Everything that is constant for one subject.
#[derive(Debug, Clone)]
pub struct Identity {
    /// As in every label row of this subject.
    pub gender: Gender,
    /// Years added to the true age, as a factor: some people look older than they are.
    pub(super) ageing: f32,
    /// Gender expression, about +1 for women and -1 for men, with a wide variance.
    pub(super) expression: f32,
    pub(super) skin: Colour,
    pub(super) hair: Colour,
    pub(super) iris: Colour,
    /// Departures from the average face, with a standard deviation of 0.8.
    pub(super) traits: [f32; 16],
    /// Years by which hair greys earlier (positive) or later than usual.
    pub(super) greying: f32,
    pub(super) dyes_hair: bool,
    /// How readily the skin wrinkles, around 1.
    pub(super) wrinkling: f32,
    /// 0 keeps all hair; 1 loses the top by fifty.
    pub(super) balding: f32,
    /// Length of hair, in head units below the crown, before the day's arrangement.
    pub(super) hair_length: f32,
    pub(super) curl: f32,
    pub(super) beard: Beard,
    pub(super) freckles: bool,
    /// The fraction of pictures with glasses.
    pub(super) glasses: f32,
    /// The share of pictures with make-up.
    pub(super) makeup: f32,
    pub(super) earrings: bool,
    /// The side of the parting of the hair, -1..1.
    pub(super) parting: f32,
}

/// What grows on the lower face of grown men.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Beard {
    /// Clean-shaven, or none grows.
    None,
    /// Short stubble.
    Stubble,
    /// A moustache only.
    Moustache,
    /// A full beard.
    Full,
}

impl Identity {
    /// The person with number `index` under `seed`: the same person for the same three arguments.
    #[must_use]
    pub fn new(seed: u64, index: usize, gender: Gender) -> Self {
        Self::from_rng(&mut seeded(seed, &format!("drawn sitter {index}")), gender)
    }

    fn from_rng(rng: &mut Rng, gender: Gender) -> Self {
        let side = match gender {
            Gender::Female => 1.0,
            Gender::Male => -1.0,
        };
        let expression = side + normal(rng, 0.5);
        let melanin = between(rng, 0.0, 1.0).powf(1.3);
        // Fair hair and light eyes go with fair skin, loosely.
        let fairness = ((1.0 - melanin) * 0.9 + normal(rng, 0.22)).clamp(0.0, 1.0);
        let hair_tone = fairness.powf(1.5) * between(rng, 0.35, 1.0);
        let beard = match between(rng, 0.0, 1.0) + if expression < -0.4 { 0.0 } else { 0.25 } {
            p if p < 0.18 => Beard::Full,
            p if p < 0.30 => Beard::Moustache,
            p if p < 0.55 => Beard::Stubble,
            _ => Beard::None,
        };
        let long = chance(rng, logistic(2.6 * expression));
        Self {
            gender,
            ageing: normal(rng, 0.06).exp(),
            expression,
            skin: colour::along(&colour::SKIN, melanin).lit(between(rng, 0.96, 1.03)),
            hair: colour::along(&colour::HAIR, hair_tone),
            iris: colour::along(&colour::IRIS, (fairness + normal(rng, 0.2)).clamp(0.0, 1.0)),
            traits: std::array::from_fn(|_| normal(rng, 0.8)),
            greying: normal(rng, 5.0),
            dyes_hair: chance(rng, 0.12 + 0.3 * logistic(3.0 * expression)),
            wrinkling: (1.0 + normal(rng, 0.15)).max(0.4),
            balding: if gender == Gender::Male && chance(rng, 0.45) {
                between(rng, 0.3, 1.0)
            } else {
                0.0
            },
            hair_length: if long { between(rng, 1.5, 3.0) } else { between(rng, 0.45, 1.05) },
            curl: if chance(rng, 0.25 + 0.4 * melanin) {
                between(rng, 0.4, 1.0)
            } else {
                between(rng, 0.0, 0.3)
            },
            beard: if gender == Gender::Male { beard } else { Beard::None },
            freckles: chance(rng, 0.25 * (1.0 - melanin)),
            glasses: one_of(rng, &[0.0, 0.0, 0.0, 0.1, 0.5, 0.9]),
            makeup: logistic(2.4 * (expression - 0.5)) * between(rng, 0.2, 1.0),
            earrings: chance(rng, 0.6 * logistic(3.0 * expression)),
            parting: between(rng, -1.0, 1.0),
        }
    }

    /// The age that the face shows at a true age of `years`.
    pub(super) fn apparent_age(&self, years: f32) -> f32 {
        // Infants differ by months, grown people by years.
        (years + 1.0) * self.ageing - 1.0
    }

    /// Hair at an apparent age: its own colour, greyed by the years.
    pub(super) fn hair_at(&self, apparent: f32) -> Colour {
        let grey = smooth(34.0, 66.0, apparent + self.greying);
        let shown = if self.dyes_hair && apparent < 72.0 { grey * 0.15 } else { grey };
        // A small child's hair is finer and lighter than it will be.
        let light = mix(1.25, 1.0, smooth(1.0, 12.0, apparent));
        self.hair.lit(light).mix(Colour::hex(colour::GREY), shown * 0.95)
    }
}
