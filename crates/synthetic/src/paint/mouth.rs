//! The mouth: lips, the line between them, teeth, and the dimples of a smile.

use super::Scene;
use crate::canvas::Canvas;
use crate::colour::Colour;

pub(super) fn mouth(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let capture = scene.capture;
    let half = f.mouth_width * (1.0 + 0.16 * capture.smile);
    // A smile lifts the corners and draws the middle flat.
    let corner = f.mouth_y - 0.045 * capture.smile;
    let y = f.mouth_y + 0.012 * capture.smile;
    let gap = 0.10 * capture.open_mouth * (0.6 + 0.4 * f.growth);
    let lip = f.lip;
    let natural = scene.skin().lit(0.82).mix(Colour::hex(0x00b2_4a4a), 0.42);
    let colour = if capture.makeup {
        natural.mix(Colour::hex(0x00b0_1e3c), 0.62)
    } else {
        // Children's lips are rosy, and lips pale with age.
        natural
            .mix(Colour::hex(0x00d0_6a66), 0.25 * (1.0 - f.growth))
            .mix(scene.skin(), 0.35 * f.wrinkles)
    };

    if gap > 0.0 {
        let inside = scene
            .on_face()
            .start(-half, corner)
            .bend(0.0, y - lip * 0.1, half, corner)
            .bend(0.0, y + gap * 2.4, -half, corner)
            .close();
        canvas.clip_to([scene
            .on_face()
            .start(-half, corner)
            .bend(0.0, y - lip * 0.1, half, corner)
            .bend(0.0, y + gap * 2.4, -half, corner)
            .close()]);
        canvas.fill(inside, Colour::hex(0x0048_1418).solid());
        // Infants have no teeth to show.
        if f.age > 1.5 {
            let at = scene.at(0.0, y - lip * 0.1);
            canvas.oval(
                at,
                half * 0.86,
                gap * 0.62 + 0.012,
                Colour::hex(0x00ee_e8dc).mix(Colour::hex(0x00d8_c8a0), f.wrinkles).solid(),
            );
        }
        canvas.release();
    }

    let upper = scene
        .on_face()
        .start(-half, corner)
        .curve([-half * 0.5, y - lip * 0.75, -half * 0.24, y - lip * 1.15, 0.0, y - lip * 0.78])
        .curve([half * 0.24, y - lip * 1.15, half * 0.5, y - lip * 0.75, half, corner])
        .bend(0.0, y - lip * 0.05, -half, corner)
        .close();
    canvas.fill(upper, colour.lit(0.9).solid());
    let lower = scene
        .on_face()
        .start(-half, corner)
        .bend(0.0, y + gap * 2.4, half, corner)
        .curve([
            half * 0.55,
            y + gap * 1.5 + lip * 1.45,
            -half * 0.55,
            y + gap * 1.5 + lip * 1.45,
            -half,
            corner,
        ])
        .close();
    canvas.fill(lower, colour.lit(1.06).solid());
    let shine = scene.at(0.0, y + gap * 1.2 + lip * 0.55);
    canvas.glow(shine, half * 0.45, lip * 0.4, Colour::WHITE.sheer(0.2));
    if gap <= 0.0 {
        let line = scene.on_face().start(-half * 1.02, corner).bend(
            0.0,
            y - lip * 0.02,
            half * 1.02,
            corner,
        );
        canvas.stroke(line, 0.014, scene.shade().lit(0.55).sheer(0.8));
    }
    for side in [-1.0, 1.0] {
        let at = scene.at(side * half * 1.06, corner);
        canvas.glow(at, 0.05, 0.05, scene.shade().sheer(0.3 + 0.3 * capture.smile.max(0.0)));
    }
}
