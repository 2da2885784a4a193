//! What the years and puberty write on a face: lines, bags, spots, sagging, stubble and beard.

use super::Scene;
use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::identity::Beard;
use crate::random::smooth;

/// Spots and slack skin.
pub(super) fn skin(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let w = f.wrinkles;
    let sag = smooth(0.45, 1.0, w);
    for side in [-1.0, 1.0] {
        // Hollow cheeks, then jowls.
        let hollow =
            scene.at(side * f.half_width * 0.66, f32::midpoint(f.nose_y, f.mouth_y) + 0.05);
        canvas.glow(hollow, 0.16, 0.28, scene.shade().sheer(0.30 * w));
        let jowl = scene.at(side * f.jaw * 0.62, f.mouth_y + 0.2);
        canvas.glow(jowl, 0.15, 0.13, scene.shade().sheer(0.42 * sag));
    }
    // Pimples of the teens.
    let teens = smooth(11.5, 15.0, f.age) * (1.0 - smooth(18.0, 25.0, f.age));
    for (i, trait_) in scene.identity.traits.iter().enumerate().take(11) {
        let place = i as f32 * 1.9 + trait_;
        let at = scene.at(f.half_width * 0.72 * place.sin(), 0.25 + 0.58 * (place * 1.7).cos());
        canvas.oval(at, 0.022, 0.020, Colour::hex(0x00b8_3c34).sheer(0.42 * teens));
    }
    if f.age > 55.0 {
        let strength = 0.4 * smooth(55.0, 85.0, f.age);
        for (i, trait_) in scene.identity.traits.iter().enumerate().take(9) {
            let x = (i as f32 * 2.4 + trait_).sin() * f.half_width * 0.75;
            let y = -0.35 + 0.62 * (i as f32 * 1.7 + trait_).cos();
            let size = 0.016 + 0.008 * trait_.abs();
            canvas.oval(scene.at(x, y), size, size * 0.8, Colour::hex(0x0080_5030).sheer(strength));
        }
    }
}

/// Lines of forehead, eyes, nose and mouth, each from the age at which it usually shows.
pub(super) fn lines(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let w = f.wrinkles;
    let ink = scene.shade().lit(0.72);
    let mut draw = |outline, width: f32, strength: f32| {
        if strength > 0.02 {
            canvas.stroke(outline, width * (0.6 + 0.7 * w), ink.sheer(strength.min(0.75)));
        }
    };
    let smile = scene.capture.smile.max(0.0);
    for row in 0..4 {
        let y = f.brow_y - 0.13 - 0.10 * row as f32;
        let half = f.half_width * (0.62 - 0.07 * row as f32);
        let lift = 0.03 - 0.02 * scene.identity.traits[row];
        let line = scene.on_face().start(-half, y + lift).bend(0.0, y - lift, half, y + lift);
        draw(
            line,
            0.020,
            0.8 * smooth(0.16 + 0.12 * row as f32, 0.85, w + 1.5 * scene.capture.brows),
        );
    }
    for side in [-1.0, 1.0] {
        let nose = side * f.nose_width;
        let fold = scene.on_face().start(nose * 1.12, f.nose_y - 0.05).curve([
            nose * 1.6,
            f.nose_y + 0.06,
            side * f.mouth_width * 1.28,
            f.mouth_y - 0.08,
            side * f.mouth_width * 1.22,
            f.mouth_y + 0.04,
        ]);
        draw(fold, 0.026, 0.14 * smile + 0.72 * smooth(0.06, 0.7, w));
        let frown = scene.on_face().start(side * 0.045, f.brow_y + 0.05).bend(
            side * 0.035,
            f.brow_y - 0.02,
            side * 0.05,
            f.brow_y - 0.09,
        );
        draw(frown, 0.018, 0.6 * smooth(0.25, 0.8, w));
        let outer = f.eye_x + f.eye_width * 1.08;
        for (k, angle) in [-0.30_f32, -0.02, 0.26, 0.52].into_iter().enumerate() {
            let from = (side * (outer + 0.02), f.eye_y + 0.06 * angle);
            let reach = 0.15 + 0.05 * w;
            let foot = scene.on_face().start(from.0, from.1).bend(
                from.0 + side * reach * 0.5,
                from.1 + reach * angle * 0.3,
                from.0 + side * reach,
                from.1 + reach * angle,
            );
            draw(foot, 0.014, 0.75 * smooth(0.14 + 0.08 * k as f32, 0.8, w + 0.12 * smile));
        }
        let bag = f.eye_y + f.eye_height * 1.5;
        let width = f.eye_width;
        for (k, drop) in [0.03_f32, 0.10].into_iter().enumerate() {
            let under = scene.on_face().start(side * (f.eye_x - width * 0.95), bag).bend(
                side * f.eye_x,
                bag + 0.09 + drop,
                side * (f.eye_x + width * 0.8),
                bag + 0.01,
            );
            draw(under, 0.018, 0.62 * smooth(0.18 + 0.22 * k as f32, 0.85, w));
        }
        let marionette = scene.on_face().start(side * f.mouth_width * 1.12, f.mouth_y + 0.05).bend(
            side * f.mouth_width * 1.25,
            f.mouth_y + 0.15,
            side * f.mouth_width * 1.1,
            f.mouth_y + 0.26,
        );
        draw(marionette, 0.018, 0.6 * smooth(0.45, 0.95, w));
        for step in 1..3 {
            let x = side * f.mouth_width * 0.33 * step as f32;
            let crease = scene
                .on_face()
                .start(x, f.mouth_y - 0.055 - f.lip)
                .line(x * 0.95, f.mouth_y - f.lip * 0.9);
            draw(crease, 0.010, 0.5 * smooth(0.6, 1.0, w));
        }
    }
}

/// Stubble, moustache or beard of a grown man, growing in from about sixteen.
pub(super) fn beard(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let style = scene.identity.beard;
    let grown = smooth(15.0, 24.0, f.age);
    if style == Beard::None || grown < 0.05 {
        return;
    }
    let colour = scene.beard();
    let cover = match style {
        Beard::None | Beard::Moustache => 0.0,
        Beard::Stubble => 0.28,
        Beard::Full => 0.9,
    };
    if cover > 0.0 {
        let (w, jaw, chin) = (f.half_width, f.jaw, f.chin);
        let lip = f.mouth_y - f.lip * 1.6;
        // Ear to ear round the chin, up round the mouth: even-odd would do, but a notch is simpler.
        let mask = scene
            .on_face()
            .start(-w * 0.99, 0.10)
            .curve([-jaw * 1.03, 0.44, -jaw * 1.0, 0.52, -jaw * 0.97, 0.60])
            .curve([-jaw * 0.84, 0.86, -chin, 1.05, 0.0, 1.05])
            .curve([chin, 1.05, jaw * 0.84, 0.86, jaw * 0.97, 0.60])
            .curve([jaw * 1.0, 0.52, jaw * 1.03, 0.44, w * 0.99, 0.10])
            .curve([
                w * 0.80,
                0.45,
                f.mouth_width * 1.7,
                lip - 0.02,
                f.mouth_width * 0.9,
                lip - 0.03,
            ])
            .bend(0.0, lip - 0.12, -f.mouth_width * 0.9, lip - 0.03)
            .curve([-f.mouth_width * 1.7, lip - 0.02, -w * 0.80, 0.45, -w * 0.99, 0.10])
            .close();
        canvas.fill_linear(
            mask,
            (0.0, 0.25, colour.sheer(cover * grown * 0.55)),
            (0.0, 0.75, colour.lit(0.92).sheer(cover * grown)),
        );
        super::mouth::mouth(scene, canvas);
    }
    if style != Beard::Stubble {
        let (y, half) = (f.mouth_y - f.lip * 0.8, f.mouth_width * 1.12);
        let moustache = scene
            .on_face()
            .start(0.0, y - 0.085)
            .curve([half * 0.5, y - 0.11, half * 0.9, y - 0.03, half, y + 0.06])
            .bend(half * 0.5, y + 0.01, 0.0, y)
            .bend(-half * 0.5, y + 0.01, -half, y + 0.06)
            .curve([-half * 0.9, y - 0.03, -half * 0.5, y - 0.11, 0.0, y - 0.085])
            .close();
        canvas.fill(moustache, colour.lit(0.9).sheer(0.92 * grown));
    }
}
