//! The painters, one for each part of a picture, and what they all look at.

mod accessories;
mod ageing;
mod background;
mod eyes;
mod hair;
mod head;
mod mouth;

use super::canvas::{Canvas, Outline};
use super::capture::Capture;
use super::colour::{Colour, GREY};
use super::features::Features;
use super::identity::Identity;

/// Identity, features and capture parameters of a picture.
pub(super) struct Scene<'a> {
    pub identity: &'a Identity,
    pub features: &'a Features,
    pub capture: &'a Capture,
    /// Colour of the hair at this age.
    pub hair: Colour,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        identity: &'a Identity,
        features: &'a Features,
        capture: &'a Capture,
    ) -> Self {
        Self { identity, features, capture, hair: identity.hair_at(features.age) }
    }

    /// A path on the turned face.
    fn on_face(&self) -> Outline {
        Outline::new(self.capture.pose)
    }

    /// Where a point of the face lies when the head is turned.
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        self.capture.pose.place(x, y)
    }

    fn skin(&self) -> Colour {
        // Old skin is a little paler and yellower.
        let pale = 0.25 * self.features.wrinkles;
        self.identity.skin.mix(Colour::hex(0x00d8_c4ab), pale * 0.5)
    }

    /// Skin in shadow: darker and redder.
    fn shade(&self) -> Colour {
        self.skin().lit(0.62).mix(Colour::hex(0x0070_2a1c), 0.18)
    }

    /// Hair of brows and beard, which grey later and are never as light as the head's.
    fn brow(&self) -> Colour {
        self.identity.hair.lit(0.8).mix(self.hair, 0.5).mix(Colour::hex(0x0030_2520), 0.25)
    }

    fn beard(&self) -> Colour {
        self.identity.hair.lit(0.9).mix(self.hair.mix(Colour::hex(GREY), 0.1), 0.8)
    }

    /// Paints everything, from the back to the front.
    pub(super) fn paint(&self, canvas: &mut Canvas) {
        background::background(self, canvas);
        hair::behind(self, canvas);
        background::body(self, canvas);
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
        accessories::jewellery(self, canvas);
        accessories::glasses(self, canvas);
        accessories::hat(self, canvas);
    }
}
