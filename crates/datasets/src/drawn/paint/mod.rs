//! The painters, one for each part of a picture, and what they all look at.

mod ageing;
mod eyes;
mod hair;
mod head;
mod mouth;
mod setting;
mod worn;

use super::canvas::{Canvas, Outline};
use super::colour::{Colour, GREY};
use super::features::Features;
use super::shot::Shot;
use super::sitter::Sitter;

/// Who is drawn, how the face measures, and how the picture is taken.
pub(super) struct Scene<'a> {
    pub sitter: &'a Sitter,
    pub features: &'a Features,
    pub shot: &'a Shot,
    /// Colour of the hair at this age.
    pub hair: Colour,
}

impl<'a> Scene<'a> {
    pub(super) fn new(sitter: &'a Sitter, features: &'a Features, shot: &'a Shot) -> Self {
        Self { sitter, features, shot, hair: sitter.hair_at(features.age) }
    }

    /// A path on the turned face.
    fn on_face(&self) -> Outline {
        Outline::new(self.shot.pose)
    }

    /// Where a point of the face lies when the head is turned.
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        self.shot.pose.place(x, y)
    }

    fn skin(&self) -> Colour {
        // Old skin is a little paler and yellower.
        let pale = 0.25 * self.features.wrinkles;
        self.sitter.skin.mix(Colour::hex(0x00d8_c4ab), pale * 0.5)
    }

    /// Skin in shadow: darker and redder.
    fn shade(&self) -> Colour {
        self.skin().lit(0.62).mix(Colour::hex(0x0070_2a1c), 0.18)
    }

    /// Hair of brows and beard, which grey later and are never as light as the head's.
    fn brow(&self) -> Colour {
        self.sitter.hair.lit(0.8).mix(self.hair, 0.5).mix(Colour::hex(0x0030_2520), 0.25)
    }

    fn beard(&self) -> Colour {
        self.sitter.hair.lit(0.9).mix(self.hair.mix(Colour::hex(GREY), 0.1), 0.8)
    }

    /// Paints everything, from the back to the front.
    pub(super) fn paint(&self, canvas: &mut Canvas) {
        setting::background(self, canvas);
        hair::behind(self, canvas);
        setting::body(self, canvas);
        head::ears(self, canvas);
        head::head(self, canvas);
        ageing::skin(self, canvas);
        eyes::sockets(self, canvas);
        head::nose(self, canvas);
        mouth::mouth(self, canvas);
        eyes::eyes(self, canvas);
        ageing::lines(self, canvas);
        ageing::beard(self, canvas);
        eyes::brows(self, canvas);
        head::light(self, canvas);
        hair::front(self, canvas);
        worn::jewellery(self, canvas);
        worn::glasses(self, canvas);
        worn::hat(self, canvas);
    }
}
