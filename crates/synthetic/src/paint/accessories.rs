//! What is put on: earrings, glasses, a hat.

use super::Scene;
use crate::canvas::Canvas;
use crate::colour::Colour;

pub(super) fn jewellery(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    if !scene.identity.earrings || f.age < 6.0 {
        return;
    }
    for side in [-1.0, 1.0] {
        let at = (side * (f.half_width + 0.03), f32::midpoint(f.eye_y, f.nose_y) + f.ear * 1.1);
        canvas.oval(at, 0.045, 0.045, Colour::hex(0x00d8_b860).solid());
        canvas.oval((at.0 - 0.012, at.1 - 0.012), 0.014, 0.014, Colour::WHITE.sheer(0.8));
    }
}

pub(super) fn glasses(scene: &Scene<'_>, canvas: &mut Canvas) {
    if !scene.capture.glasses {
        return;
    }
    let f = scene.features;
    let dark = scene.identity.traits[0] > 0.0;
    let frame = if dark { Colour::hex(0x0022_1e1e) } else { Colour::hex(0x0088_705a) };
    let width = if dark { 0.030 } else { 0.018 };
    let (rx, ry) = ((f.eye_x * 0.80).min(f.eye_width * 1.55), f.eye_width * 1.05);
    for side in [-1.0, 1.0] {
        let at = scene.at(side * f.eye_x, f.eye_y + 0.02);
        canvas.oval(at, rx, ry, Colour::WHITE.sheer(0.08));
        canvas.ring(at, rx, ry, width, frame.sheer(0.95));
        let hinge = scene.at(side * (f.eye_x + rx), f.eye_y - 0.02);
        let temple = super::Outline::new(crate::canvas::Pose::STILL)
            .start(hinge.0, hinge.1)
            .line(side * f.half_width * 1.0, f.eye_y - 0.04);
        canvas.stroke(temple, width, frame.sheer(0.9));
    }
    let inner = f.eye_x - rx;
    let bridge = scene.on_face().start(-inner, f.eye_y).bend(0.0, f.eye_y - 0.07, inner, f.eye_y);
    canvas.stroke(bridge, width, frame.sheer(0.95));
}

/// A woollen hat pulled down to the forehead.
pub(super) fn hat(scene: &Scene<'_>, canvas: &mut Canvas) {
    let Some(colour) = scene.capture.hat else { return };
    let f = scene.features;
    let w = f.half_width + 0.10;
    let rim = f.brow_y - 0.24;
    let crown = scene
        .on_face()
        .start(-w, rim)
        .curve([-w * 1.02, -1.0, -0.6 * w, -1.27, 0.0, -1.27])
        .curve([0.6 * w, -1.27, w * 1.02, -1.0, w, rim])
        .bend(0.0, rim - 0.10, -w, rim)
        .close();
    canvas.fill_linear(
        crown,
        (-0.3, -1.2, colour.lit(1.15).solid()),
        (0.4, rim, colour.lit(0.72).solid()),
    );
    let band = scene.on_face().start(-w, rim + 0.02).bend(0.0, rim - 0.08, w, rim + 0.02);
    canvas.stroke(band, 0.15, colour.lit(0.85).solid());
}
