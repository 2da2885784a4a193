//! Hair: the mass behind the head, the cap over the skull with its hairline, strands and curls.

use super::Scene;
use super::head::silhouette;
use crate::canvas::{Canvas, Outline, Pose};
use crate::colour::Colour;
use crate::random::mix;

/// How far down the hair hangs today, y in head units; below 0.3 it does not show behind the face.
fn hanging(scene: &Scene<'_>) -> f32 {
    let length = scene.identity.hair_length * scene.capture.hair.0 - 1.0;
    let grown = scene.features.hair_cover;
    if scene.capture.tied { 0.1 } else { mix(-0.6, length, grown) }
}

fn volume(scene: &Scene<'_>) -> f32 {
    let long = if scene.identity.hair_length > 1.4 { 0.10 } else { 0.05 };
    let thick = (long + 0.16 * scene.identity.curl) * scene.capture.hair.1;
    mix(0.02, thick, scene.features.hair_cover) * (1.0 - 0.75 * scene.features.bald)
}

/// Long hair falling behind neck and shoulders, and knots of tied hair.
pub(super) fn behind(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let dark = scene.hair.lit(0.62);
    let down = hanging(scene);
    let v = volume(scene);
    if scene.capture.tied && f.age > 2.5 {
        let side = 0.5 * scene.identity.parting.signum();
        canvas.oval((side * 0.3, -1.08), 0.34, 0.30, dark.lit(1.15).solid());
        canvas.glow((side * 0.3 - 0.05, -1.18), 0.2, 0.16, Colour::WHITE.sheer(0.14));
    }
    if down < 0.3 {
        return;
    }
    let w = f.half_width + 0.10 + v;
    let wave = 0.10 * scene.identity.curl;
    let tail = w * mix(1.0, 1.12, scene.identity.curl);
    let fall = Outline::new(Pose::STILL)
        .start(0.0, -1.0 - v)
        .curve([0.75 * w, -1.0 - v, w * 1.02, -0.55, w, 0.05])
        .curve([w + wave, down * 0.35, w - wave, down * 0.7, tail, down * 0.9])
        .bend(tail, down, tail * 0.7, down)
        .line(-tail * 0.7, down)
        .bend(-tail, down, -tail, down * 0.9)
        .curve([-w + wave, down * 0.7, -w - wave, down * 0.35, -w, 0.05])
        .curve([-w * 1.02, -0.55, -0.75 * w, -1.0 - v, 0.0, -1.0 - v])
        .close();
    canvas.fill_linear(fall, (0.0, -0.8, scene.hair.lit(0.85).solid()), (0.0, down, dark.solid()));
    for step in 0..6 {
        let x = w * (0.72 + 0.05 * step as f32);
        for side in [-1.0, 1.0] {
            let strand = Outline::new(Pose::STILL).start(side * x, -0.1).curve([
                side * (x + wave),
                down * 0.3,
                side * (x - wave),
                down * 0.65,
                side * x * 1.04,
                down * 0.93,
            ]);
            let tone = if step % 2 == 0 { 1.35 } else { 0.75 };
            canvas.stroke(strand, 0.022, scene.hair.lit(tone).sheer(0.35));
        }
    }
}

/// The cap of hair over skull and temples.
pub(super) fn front(scene: &Scene<'_>, canvas: &mut Canvas) {
    let f = scene.features;
    let cover = f.hair_cover;
    let v = volume(scene);
    let w = f.half_width;
    let part = scene.identity.parting * 0.45 * w;
    // The hairline: higher as hair is swept back or lost, lower under a fringe.
    let fringe = scene.capture.fringe * if scene.capture.tied { 0.3 } else { 1.0 };
    let brow_gap = f.brow_y + 0.72;
    let line = -0.70 + 0.30 * brow_gap * fringe * mix(0.5, 1.0, cover) - 0.26 * f.bald;
    let crown = -1.0 - v;
    let side = w + 0.02 + v * 0.75;
    // Sideburns, or locks next to the cheeks when the hair is long.
    let hangs = hanging(scene);
    let low = if hangs > 0.3 { (hangs * 0.75).min(0.62) } else { mix(-0.35, 0.02, cover) };
    let inner = if hangs > 0.3 { 0.86 } else { 0.965 };
    let temple = mix(-0.42, -0.62, f.bald);
    let cap = |outline: Outline| {
        let outline = outline
            .start(-side, low)
            .curve([-side * 1.04, -0.55, -side * 0.72, crown, 0.0, crown])
            .curve([side * 0.72, crown, side * 1.04, -0.55, side, low]);
        let outline = outline.line(w * (inner - 0.02), low).curve([
            w * inner,
            -0.05,
            w * 0.88,
            temple + 0.12,
            w * 0.80,
            temple,
        ]);
        outline
            .curve([
                w * 0.68,
                line - 0.10,
                part + 0.25 * w,
                line - 0.06,
                part,
                line - 0.08 * (1.0 - fringe),
            ])
            .curve([part - 0.25 * w, line - 0.02, -w * 0.68, line - 0.06, -w * 0.80, temple])
            .curve([-w * 0.88, temple + 0.12, -w * inner, -0.05, -w * (inner - 0.02), low])
            .close()
    };
    if cover < 0.4 {
        return down(scene, canvas, part);
    }
    // What is left on a balding head lies thin over the top.
    let top = mix(mix(0.35, 1.0, cover), 0.12, f.bald);
    let hair = scene.hair;
    if f.bald > 0.45 {
        for s in [-1.0, 1.0] {
            let fringe_of_hair = scene
                .on_face()
                .start(s * side, low)
                .curve([s * side * 1.04, -0.30, s * side * 0.96, -0.62, s * w * 0.80, -0.74])
                .curve([s * w * 0.90, -0.50, s * w * 0.92, -0.30, s * w * (inner - 0.02), low])
                .close();
            canvas.fill(fringe_of_hair, hair.lit(0.9).sheer(0.95));
        }
        canvas.glow(scene.at(-0.15, -0.8), 0.3, 0.12, Colour::WHITE.sheer(0.25 * f.bald));
        return;
    }
    // Shadow that the hair throws on the forehead.
    let edge = scene.at(0.5 * part, line - 0.02);
    canvas.glow(edge, w * 0.85, 0.16, scene.shade().sheer(0.3 * top));
    let bright = hair.lit(1.18).sheer(top);
    canvas.fill_linear(
        cap(scene.on_face()),
        (part, crown, bright),
        (0.0, low.max(0.0), hair.lit(0.68).sheer(top)),
    );
    curls(scene, canvas, side, crown, low, top);
    let (angle, hardness) = scene.capture.light;
    canvas.clip_to([cap(scene.on_face())]);
    strands(scene, canvas, part, line, crown, top);
    let shine = (0.5 * angle.sin(), -0.86);
    canvas.glow(shine, 0.5, 0.17, Colour::WHITE.mix(hair, 0.35).sheer(0.32 * hardness * top));
    canvas.release();
}

/// The first hair of an infant, no more than a tint on the skull.
fn down(scene: &Scene<'_>, canvas: &mut Canvas, part: f32) {
    let thick = 0.45 + 0.9 * scene.features.hair_cover;
    canvas.clip_to([silhouette(scene)]);
    let tint = scene.hair.sheer(thick);
    canvas.glow(scene.at(0.0, -0.98), scene.features.half_width * 1.1, 0.52, tint);
    strands(scene, canvas, part, -0.66, -1.0, thick);
    canvas.release();
}

fn strands(scene: &Scene<'_>, canvas: &mut Canvas, part: f32, line: f32, crown: f32, top: f32) {
    let w = scene.features.half_width;
    for step in 0..18 {
        let t = (step as f32 + 0.5) / 18.0 * 2.0 - 1.0;
        let wobble = 0.05 * (step as f32 * 2.7 + scene.capture.fringe * 9.0).sin();
        let end_y = mix(line - 0.03, -0.38, t.abs().powf(1.7));
        let strand = scene.on_face().start(part + 0.1 * t, mix(crown, line, 0.12)).bend(
            mix(part, t * w, 0.6) + wobble,
            crown + 0.06 + 0.2 * t * t,
            t * w * 0.92 + wobble,
            end_y,
        );
        let tone = if step % 3 == 0 { 1.4 } else { 0.72 };
        canvas.stroke(strand, 0.016, scene.hair.lit(tone).sheer(0.38 * top));
    }
}

/// Locks that break the silhouette.
fn curls(scene: &Scene<'_>, canvas: &mut Canvas, side: f32, crown: f32, low: f32, top: f32) {
    let curl = scene.identity.curl;
    if curl < 0.35 {
        return;
    }
    for step in 0..22 {
        let angle = std::f32::consts::PI * (step as f32 + 0.5) / 22.0;
        let wobble = 1.0 + 0.05 * (step as f32 * 3.1 + scene.capture.fringe * 5.0).sin();
        let x = -angle.cos() * side * wobble;
        let y = mix(low.min(0.1), crown, angle.sin().powf(0.75)) * wobble;
        let size = 0.09 + 0.09 * curl;
        let tone = 0.82 + 0.2 * ((step * 7 % 5) as f32) / 4.0;
        canvas.oval((x, y), size, size, scene.hair.lit(tone).sheer(0.85 * top));
    }
}
