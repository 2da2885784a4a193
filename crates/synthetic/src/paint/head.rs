//! The head itself: ears, the skin with its light and shade, cheeks, and the nose.

use super::Scene;
use crate::canvas::{Canvas, Outline};
use crate::colour::Colour;

/// The silhouette, from the crown round the jaw.
pub(super) fn silhouette(scene: &Scene<'_>) -> Outline {
    let f = scene.features;
    let (w, jaw, chin) = (f.half_width, f.jaw, f.chin);
    let mut outline = scene.on_face().start(0.0, -1.0);
    outline = outline
        .curve([0.62 * w, -1.0, w, -0.66, w, -0.08])
        .curve([w, 0.26, jaw * 1.03, 0.44, jaw * 0.95, 0.60])
        .curve([jaw * 0.82, 0.84, chin, 1.0, 0.0, 1.0]);
    outline
        .curve([-chin, 1.0, -jaw * 0.82, 0.84, -jaw * 0.95, 0.60])
        .curve([-jaw * 1.03, 0.44, -w, 0.26, -w, -0.08])
        .curve([-w, -0.66, -0.62 * w, -1.0, 0.0, -1.0])
        .close()
}

/// Both ears, partly hidden by the turn of the head.
pub(super) fn ears(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let y = f32::midpoint(f.eye_y, f.nose_y);
    for side in [-1.0, 1.0] {
        // The ear on the side that the face turns to goes behind the head.
        let hidden = side * scene.capture.pose.yaw * 0.35;
        let at = (side * (f.half_width * 1.0 + 0.01) - hidden, y);
        canvas.oval(
            at,
            f.ear * 0.5,
            f.ear,
            scene.skin().lit(0.9).mix(Colour::hex(0x00b0_4a3a), 0.12).solid(),
        );
        canvas.oval(
            (at.0 + side * 0.012, y),
            f.ear * 0.26,
            f.ear * 0.62,
            scene.shade().sheer(0.55),
        );
    }
}

/// Skin with form shading, cheeks and freckles.
pub(super) fn head(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let skin = scene.skin();
    let (angle, _) = scene.capture.light;
    let focus = scene.at(0.25 * angle.sin(), -0.1 - 0.15 * angle.cos());
    canvas.fill_radial(
        silhouette(scene),
        focus,
        1.35,
        skin.lit(1.07).solid(),
        skin.lit(0.76).solid(),
    );
    let blush = Colour::hex(0x00d4_5f52);
    let strength = 0.16 + 0.16 * (1.0 - f.growth) + if scene.capture.makeup { 0.10 } else { 0.0 };
    let cheek = f32::midpoint(f.nose_y, f.mouth_y) - 0.04;
    for side in [-1.0, 1.0] {
        let at = scene.at(side * f.half_width * 0.56, cheek);
        canvas.glow(at, 0.27, 0.21, blush.sheer(strength));
        // Full cheeks catch the light in children.
        let round = scene.at(side * f.half_width * 0.55, cheek - 0.06);
        canvas.glow(round, 0.2, 0.15, Colour::WHITE.sheer(0.05 + 0.10 * (1.0 - f.growth)));
    }
    canvas.glow(scene.at(0.0, -0.45), 0.45, 0.28, Colour::WHITE.sheer(0.10));
    canvas.glow(scene.at(0.0, 0.88), 0.2, 0.12, Colour::WHITE.sheer(0.08));
    canvas.glow(scene.at(0.0, f.mouth_y + f.lip * 1.9), 0.2, 0.06, scene.shade().sheer(0.35));
    if scene.identity.freckles && f.age > 3.0 {
        for (i, seed) in scene.identity.traits.iter().enumerate() {
            let side = if i % 2 == 0 { 1.0 } else { -1.0 };
            let x = side * (0.12 + 0.10 * (seed.abs() + i as f32 * 0.13) % 0.32);
            let at = scene.at(x, f.nose_y - 0.10 + 0.05 * (i % 5) as f32 * seed.cos());
            canvas.oval(at, 0.011, 0.011, Colour::hex(0x008a_4a28).sheer(0.45));
        }
    }
}

/// The side away from the light falls into shade.
pub(super) fn light(scene: &Scene<'_>, canvas: &mut Canvas) {
    let (angle, hardness) = scene.capture.light;
    let (x, y) = (angle.sin(), -angle.cos());
    canvas.fill_linear(
        silhouette(scene),
        (0.95 * x, 0.95 * y, Colour::WHITE.sheer(0.16 * hardness)),
        (0.1 * x, 0.1 * y, Colour::WHITE.sheer(0.0)),
    );
    canvas.fill_linear(
        silhouette(scene),
        (0.15 * x, 0.15 * y, Colour::hex(0x0024_1018).sheer(0.0)),
        (-x, -y, Colour::hex(0x0024_1018).sheer(0.58 * hardness)),
    );
}

/// Bridge, tip, wings and nostrils.
pub(super) fn nose(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let (w, y) = (f.nose_width, f.nose_y);
    let shade = scene.shade();
    let dark = if scene.capture.light.0 > 0.0 { -1.0 } else { 1.0 };
    let bridge = f.eye_y - 0.02;
    let flank = scene
        .on_face()
        .start(dark * 0.055, bridge)
        .bend(dark * 0.05, f32::midpoint(bridge, y), dark * w * 0.92, y - 0.01)
        .bend(dark * w * 0.5, y + 0.03, dark * 0.02, y - 0.03)
        .close();
    canvas.fill(flank, shade.sheer(0.24 + 0.16 * f.growth));
    // The ridge stands out only once the nose has grown.
    let ridge = scene.at(0.0, f32::midpoint(bridge, y));
    canvas.glow(ridge, 0.045, (y - bridge) * 0.55, Colour::WHITE.sheer(0.24 * f.growth));
    canvas.glow(scene.at(0.0, y + 0.035), w * 1.1, 0.07, shade.sheer(0.55));
    canvas.glow(scene.at(0.0, y - 0.045), w * 0.5, 0.065, Colour::WHITE.sheer(0.28));
    for side in [-1.0, 1.0] {
        let wing = scene.on_face().start(side * w * 0.86, y - 0.075).curve([
            side * w * 1.15,
            y - 0.05,
            side * w * 1.12,
            y + 0.03,
            side * w * 0.62,
            y + 0.025,
        ]);
        canvas.stroke(wing, 0.022, shade.sheer(0.30 + 0.30 * f.growth));
        canvas.oval(
            scene.at(side * w * 0.43, y + 0.012),
            w * 0.21,
            0.021,
            shade.lit(0.45).sheer(0.75),
        );
    }
}
