//! Behind and below the head: background, neck, shoulders and clothes.

use super::Scene;
use crate::canvas::{Canvas, Outline, Pose};
use crate::capture::Collar;
use crate::colour::Colour;

/// Two tones with out-of-focus spots.
pub(super) fn background(scene: &Scene<'_>, canvas: &mut Canvas) {
    let [top, bottom, spots] = scene.capture.background;
    let all =
        Outline::new(Pose::STILL).start(-5.0, -5.0).line(5.0, -5.0).line(5.0, 5.0).line(-5.0, 5.0);
    canvas.fill_linear(all.close(), (-0.4, -1.8, top.solid()), (0.5, 1.8, bottom.solid()));
    for &(x, y, radius, tone) in &scene.capture.blurs {
        canvas.glow((x, y), radius, radius, spots.lit(tone).sheer(0.6));
    }
}

/// Neck and shoulders, clothed.
pub(super) fn body(scene: &Scene<'_>, canvas: &mut Canvas) {
    let (f, capture) = (scene.features, scene.capture);
    let (neck, wide) = (f.neck, f.shoulders);
    let top = 1.22 + 0.06 * f.growth;
    let shadow = scene.shade();
    let throat = Outline::new(Pose::STILL)
        .start(-neck, 0.45)
        .line(neck, 0.45)
        .curve([neck, 1.0, neck * 1.02, 1.15, neck * 1.5, top + 0.12])
        .line(neck * 0.9, 2.0)
        .line(-neck * 0.9, 2.0)
        .line(-neck * 1.5, top + 0.12)
        .curve([-neck * 1.02, 1.15, -neck, 1.0, -neck, 0.45])
        .close();
    canvas.fill_linear(throat, (0.0, 0.9, shadow.solid()), (0.0, 1.5, scene.skin().solid()));

    let cloth = capture.cloth;
    let depth = match capture.collar {
        Collar::Round => 0.16,
        Collar::Pointed => 0.42,
        Collar::Shirt => 0.26,
    };
    let opening = neck * 1.12;
    let mut garment = Outline::new(Pose::STILL)
        .start(-opening, top)
        .curve([-wide * 0.7, top + 0.12, -wide, top + 0.2, -wide, top + 0.75])
        .line(-wide * 1.1, 5.0)
        .line(wide * 1.1, 5.0)
        .line(wide, top + 0.75)
        .curve([wide, top + 0.2, wide * 0.7, top + 0.12, opening, top]);
    garment = match capture.collar {
        Collar::Round => garment.curve([
            opening * 0.7,
            top + depth * 1.3,
            -opening * 0.7,
            top + depth * 1.3,
            -opening,
            top,
        ]),
        Collar::Pointed | Collar::Shirt => garment.line(0.0, top + depth).line(-opening, top),
    };
    canvas.fill_linear(
        garment.close(),
        (0.0, top, cloth.lit(1.08).solid()),
        (0.0, 2.6, cloth.lit(0.62).solid()),
    );
    if capture.collar == Collar::Shirt {
        for side in [-1.0, 1.0] {
            let flap = Outline::new(Pose::STILL)
                .start(side * opening * 1.02, top - 0.08)
                .line(0.0, top + depth)
                .line(side * 0.34, top + depth + 0.12)
                .line(side * opening * 1.35, top + 0.08)
                .close();
            canvas.fill(flap, cloth.lit(1.22).mix(Colour::WHITE, 0.12).solid());
        }
    } else {
        let seam = Outline::new(Pose::STILL).start(-opening, top);
        let seam = match capture.collar {
            Collar::Round => seam.curve([
                -opening * 0.7,
                top + depth * 1.3,
                opening * 0.7,
                top + depth * 1.3,
                opening,
                top,
            ]),
            Collar::Pointed | Collar::Shirt => seam.line(0.0, top + depth).line(opening, top),
        };
        canvas.stroke(seam, 0.045, cloth.lit(0.75).solid());
    }
}
