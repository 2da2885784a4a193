//! Eyes with lids, lashes, iris and catchlight, and the brows above them.

use super::Scene;
use crate::canvas::{Canvas, Outline};
use crate::colour::Colour;
use crate::random::mix;

/// One eye's almond: `side` is -1 for the picture's left.
struct Eye {
    side: f32,
    x: f32,
    y: f32,
    width: f32,
    upper: f32,
    lower: f32,
    tilt: f32,
}

impl Eye {
    fn new(scene: &Scene<'_>, side: f32) -> Self {
        let f = scene.features;
        let open = f.eye_height * scene.capture.eyes;
        Self {
            side,
            x: side * f.eye_x,
            y: f.eye_y,
            width: f.eye_width,
            upper: open * (1.25 - 0.42 * f.droop),
            lower: open * 0.85,
            tilt: f.eye_tilt,
        }
    }

    /// The outer and inner corner.
    fn corners(&self) -> [(f32, f32); 2] {
        let (x, s) = (self.x, self.side);
        [(x + s * self.width, self.y - self.tilt), (x - s * self.width, self.y + self.tilt * 0.6)]
    }

    fn upper_lid(&self, outline: Outline, lift: f32) -> Outline {
        let [outer, inner] = self.corners();
        let up = (self.upper + lift) * 1.33;
        outline.start(inner.0, inner.1).curve([
            self.x - self.side * self.width * 0.55,
            self.y - up,
            self.x + self.side * self.width * 0.5,
            self.y - up - self.tilt,
            outer.0,
            outer.1,
        ])
    }

    fn almond(&self, outline: Outline) -> Outline {
        let (inner, down) = (self.corners()[1], self.lower * 1.33);
        self.upper_lid(outline, 0.0)
            .curve([
                self.x + self.side * self.width * 0.5,
                self.y + down,
                self.x - self.side * self.width * 0.5,
                self.y + down,
                inner.0,
                inner.1,
            ])
            .close()
    }
}

fn both(scene: &Scene<'_>) -> [Eye; 2] {
    [Eye::new(scene, -1.0), Eye::new(scene, 1.0)]
}

/// The hollows that the eyes lie in, deeper with the years.
pub(super) fn sockets(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    for eye in both(scene) {
        let at = scene.at(eye.x * 0.98, eye.y - 0.02);
        canvas.glow(
            at,
            f.eye_width * 1.75,
            f.eye_width * 1.35,
            scene.shade().sheer(0.28 + 0.22 * f.growth),
        );
        if scene.capture.makeup {
            let shadow = scene.capture.cloth.mix(Colour::hex(0x005a_3548), 0.65);
            canvas.glow(
                scene.at(eye.x, eye.y - eye.upper),
                f.eye_width * 1.25,
                eye.upper * 1.7,
                shadow.sheer(0.55),
            );
        }
        let inner = scene.at(eye.x - eye.side * f.eye_width * 1.05, eye.y - 0.02);
        canvas.glow(inner, 0.07, 0.14, scene.shade().sheer(0.30 * f.growth));
    }
}

/// Sclera, iris, pupil, catchlight, lids and lashes.
pub(super) fn eyes(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let capture = scene.capture;
    let lash = Colour::hex(0x0020_1512);
    canvas.clip_to(both(scene).iter().map(|eye| eye.almond(scene.on_face())));
    for eye in both(scene) {
        let white = Colour::hex(0x00f2_eeea).mix(Colour::hex(0x00d9_c3b0), 0.6 * f.wrinkles);
        canvas.fill(eye.almond(scene.on_face()), white.solid());
        let at = scene.at(
            eye.x + capture.gaze.0 * f.eye_width,
            eye.y - 0.012 + capture.gaze.1 * f.eye_height,
        );
        canvas.oval(at, f.iris, f.iris, scene.identity.iris.lit(0.55).solid());
        canvas.oval(at, f.iris * 0.84, f.iris * 0.84, scene.identity.iris.solid());
        canvas.glow(
            (at.0, at.1 + f.iris * 0.35),
            f.iris * 0.7,
            f.iris * 0.5,
            Colour::WHITE.sheer(0.35),
        );
        canvas.oval(at, f.iris * 0.42, f.iris * 0.42, Colour::BLACK.solid());
        let side = capture.light.0.sin() * 0.35;
        canvas.oval(
            (at.0 + side * f.iris, at.1 - f.iris * 0.35),
            f.iris * 0.2,
            f.iris * 0.2,
            Colour::WHITE.sheer(0.9),
        );
        // The upper lid throws a shadow on the eyeball.
        let lid = scene.at(eye.x, eye.y - eye.upper);
        canvas.glow(lid, f.eye_width, eye.upper * 0.7, Colour::BLACK.sheer(0.4));
    }
    canvas.release();
    let made_up = if capture.makeup { 1.0 } else { 0.0 };
    let lashes = 0.020 + 0.006 * f.expression.clamp(-1.5, 1.5) + 0.014 * made_up;
    for eye in both(scene) {
        canvas.stroke(eye.upper_lid(scene.on_face(), 0.0), lashes, lash.sheer(0.85));
        if made_up > 0.0 || f.expression > 0.7 {
            let [outer, _] = eye.corners();
            let flick = scene
                .on_face()
                .start(outer.0 - eye.side * 0.03, outer.1 - 0.012)
                .line(outer.0 + eye.side * 0.045, outer.1 - 0.045);
            canvas.stroke(flick, lashes * 0.8, lash.sheer(0.8));
        }
        // The fold above the lid sinks and covers it with age.
        let fold = eye.upper_lid(scene.on_face(), mix(0.045, 0.022, f.droop));
        canvas.stroke(
            fold,
            0.014 + 0.016 * f.droop,
            scene.shade().lit(0.8).sheer(0.35 + 0.35 * f.droop),
        );
        let [outer, inner] = eye.corners();
        let lower = scene.on_face().start(inner.0, inner.1).bend(
            eye.x,
            eye.y + eye.lower * 2.1,
            outer.0,
            outer.1,
        );
        canvas.stroke(lower, 0.010, scene.shade().lit(0.8).sheer(0.45));
    }
}

/// Brows: tapered, arched more or less, raised with the expression.
pub(super) fn brows(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let y = f.brow_y - scene.capture.brows;
    let thick = f.brow_thickness.max(0.008);
    let alpha = mix(0.35, 0.88, f.growth);
    for side in [-1.0, 1.0] {
        let inner = side * (f.eye_x - f.eye_width * 1.05);
        let peak = side * (f.eye_x + f.eye_width * 0.45);
        let outer = side * (f.eye_x + f.eye_width * 1.35);
        let brow = scene
            .on_face()
            .start(inner, y + thick * 0.4)
            .bend(f32::midpoint(inner, peak), y - f.brow_arch, peak, y - f.brow_arch)
            .bend(f32::midpoint(peak, outer), y - f.brow_arch, outer, y + 0.035)
            .bend(
                f32::midpoint(peak, outer),
                y - f.brow_arch + thick,
                peak,
                y - f.brow_arch + thick * 1.15,
            )
            .bend(f32::midpoint(inner, peak), y - f.brow_arch + thick * 1.3, inner, y + thick * 1.6)
            .close();
        canvas.fill(brow, scene.brow().sheer(alpha));
    }
}
