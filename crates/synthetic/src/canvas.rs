//! Drawing in head units: the head's centre is the origin, its crown lies at y = -1 and its chin
//! at y = 1; a pose turns it and a camera transform brings it to pixels.

use tiny_skia::{
    FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Mask, Paint, Path, PathBuilder,
    Pixmap, Point, RadialGradient, Rect, Shader, SpreadMode, Stroke, Transform,
};

use crate::colour::Colour;

/// How the head is turned, in radians: features move over a flat ellipsoid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    /// Positive turns the face to the picture's right.
    pub yaw: f32,
    /// Positive tips the face down.
    pub pitch: f32,
}

impl Pose {
    /// Looking straight ahead; also for what does not turn with the head.
    pub(super) const STILL: Self = Self { yaw: 0.0, pitch: 0.0 };

    /// Where a point of the face goes when the head turns.
    pub(super) fn place(self, x: f32, y: f32) -> (f32, f32) {
        let depth = 0.7 * (1.0 - (x / 0.95).powi(2) - (y / 1.15).powi(2)).max(0.0).sqrt();
        (
            x * self.yaw.cos() + depth * self.yaw.sin(),
            y * self.pitch.cos() + depth * self.pitch.sin(),
        )
    }
}

/// A path in head units under a pose.
pub(super) struct Outline {
    segments: Vec<Segment>,
    pose: Pose,
}

/// A part of a path, in posed head units.
enum Segment {
    Start([f32; 2]),
    Line([f32; 2]),
    /// A control point, then the end.
    Bend([f32; 4]),
    /// Two control points, then the end.
    Curve([f32; 6]),
    Close,
}

impl Outline {
    pub(super) fn new(pose: Pose) -> Self {
        Self { segments: Vec::new(), pose }
    }

    pub(super) fn start(self, x: f32, y: f32) -> Self {
        let (x, y) = self.pose.place(x, y);
        self.with(Segment::Start([x, y]))
    }

    pub(super) fn line(self, x: f32, y: f32) -> Self {
        let (x, y) = self.pose.place(x, y);
        self.with(Segment::Line([x, y]))
    }

    /// A quadratic curve with one control point.
    pub(super) fn bend(self, cx: f32, cy: f32, x: f32, y: f32) -> Self {
        let (cx, cy) = self.pose.place(cx, cy);
        let (x, y) = self.pose.place(x, y);
        self.with(Segment::Bend([cx, cy, x, y]))
    }

    /// A cubic curve: two control points, then the end.
    pub(super) fn curve(self, [c1x, c1y, c2x, c2y, x, y]: [f32; 6]) -> Self {
        let (c1x, c1y) = self.pose.place(c1x, c1y);
        let (c2x, c2y) = self.pose.place(c2x, c2y);
        let (x, y) = self.pose.place(x, y);
        self.with(Segment::Curve([c1x, c1y, c2x, c2y, x, y]))
    }

    pub(super) fn close(self) -> Self {
        self.with(Segment::Close)
    }

    fn with(mut self, segment: Segment) -> Self {
        self.segments.push(segment);
        self
    }

    /// The path. tiny-skia's builder is made and used up here: handed from call to call by value,
    /// rustc 1.95 wrote through a copy of it that was no longer the owner (opt-level 3).
    fn finish(self) -> Option<Path> {
        let mut path = PathBuilder::new();
        for segment in self.segments {
            match segment {
                Segment::Start([x, y]) => path.move_to(x, y),
                Segment::Line([x, y]) => path.line_to(x, y),
                Segment::Bend([cx, cy, x, y]) => path.quad_to(cx, cy, x, y),
                Segment::Curve([c1x, c1y, c2x, c2y, x, y]) => {
                    path.cubic_to(c1x, c1y, c2x, c2y, x, y);
                }
                Segment::Close => path.close(),
            }
        }
        path.finish()
    }
}

/// A colour and how much of it covers what lies below, 0..1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    pub colour: Colour,
    pub alpha: f32,
}

impl Colour {
    /// This colour, covering all.
    pub(super) fn solid(self) -> Ink {
        Ink { colour: self, alpha: 1.0 }
    }

    /// This colour, letting what lies below shine through.
    pub(super) fn sheer(self, alpha: f32) -> Ink {
        Ink { colour: self, alpha }
    }
}

/// The picture being rendered, and the transform from head units to its pixels.
pub(super) struct Canvas {
    pub(super) pixmap: Pixmap,
    view: Transform,
    clip: Option<Mask>,
}

impl Canvas {
    /// A square black canvas of `side` pixels, or `None` for a side that tiny-skia can't hold.
    pub(super) fn new(side: u32, view: Transform) -> Option<Self> {
        Some(Self { pixmap: Pixmap::new(side, side)?, view, clip: None })
    }

    /// Until [`Canvas::release`], nothing is painted outside `outlines`.
    pub(super) fn clip_to(&mut self, outlines: impl IntoIterator<Item = Outline>) {
        let Some(mut mask) = Mask::new(self.pixmap.width(), self.pixmap.height()) else { return };
        for path in outlines.into_iter().filter_map(Outline::finish) {
            mask.fill_path(&path, FillRule::Winding, true, self.view);
        }
        self.clip = Some(mask);
    }

    /// Ends what [`Canvas::clip_to`] began.
    pub(super) fn release(&mut self) {
        self.clip = None;
    }

    pub(super) fn fill(&mut self, outline: Outline, ink: Ink) {
        self.fill_shader(outline, Shader::SolidColor(ink.colour.with_alpha(ink.alpha)));
    }

    /// Fills from one ink at `from` to another at `to`, both in head units.
    pub(super) fn fill_linear(
        &mut self,
        outline: Outline,
        from: (f32, f32, Ink),
        to: (f32, f32, Ink),
    ) {
        let shader = LinearGradient::new(
            Point::from_xy(from.0, from.1),
            Point::from_xy(to.0, to.1),
            vec![stop(0.0, from.2), stop(1.0, to.2)],
            SpreadMode::Pad,
            Transform::identity(),
        );
        if let Some(shader) = shader {
            self.fill_shader(outline, shader);
        }
    }

    /// Fills from `inner` at the centre to `outer` at `radius` round it.
    pub(super) fn fill_radial(
        &mut self,
        outline: Outline,
        at: (f32, f32),
        radius: f32,
        inner: Ink,
        outer: Ink,
    ) {
        if let Some(shader) =
            radial(inner, outer, Transform::from_row(radius, 0.0, 0.0, radius, at.0, at.1))
        {
            self.fill_shader(outline, shader);
        }
    }

    /// A soft spot that fades out at its edge: an ellipse of half axes `rx` and `ry`.
    pub(super) fn glow(&mut self, at: (f32, f32), rx: f32, ry: f32, ink: Ink) {
        let place = Transform::from_row(rx, 0.0, 0.0, ry, at.0, at.1);
        let clear = Ink { alpha: 0.0, ..ink };
        let (Some(shader), Some(path)) = (radial(ink, clear, place), ellipse(at, rx, ry)) else {
            return;
        };
        let paint = Paint { shader, anti_alias: false, ..Paint::default() };
        self.pixmap.fill_path(&path, &paint, FillRule::Winding, self.view, self.clip.as_ref());
    }

    /// A filled ellipse of half axes `rx` and `ry`.
    pub(super) fn oval(&mut self, at: (f32, f32), rx: f32, ry: f32, ink: Ink) {
        let Some(path) = ellipse(at, rx, ry) else { return };
        let paint = Paint {
            shader: Shader::SolidColor(ink.colour.with_alpha(ink.alpha)),
            ..Paint::default()
        };
        self.pixmap.fill_path(&path, &paint, FillRule::Winding, self.view, self.clip.as_ref());
    }

    /// The outline of an ellipse.
    pub(super) fn ring(&mut self, at: (f32, f32), rx: f32, ry: f32, width: f32, ink: Ink) {
        if let Some(path) = ellipse(at, rx, ry) {
            self.stroke_path(&path, width, ink);
        }
    }

    /// A line along `outline`, `width` in head units, with round ends.
    pub(super) fn stroke(&mut self, outline: Outline, width: f32, ink: Ink) {
        if let Some(path) = outline.finish() {
            self.stroke_path(&path, width, ink);
        }
    }

    fn stroke_path(&mut self, path: &Path, width: f32, ink: Ink) {
        let paint = Paint {
            shader: Shader::SolidColor(ink.colour.with_alpha(ink.alpha)),
            ..Paint::default()
        };
        let stroke = Stroke {
            width,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        self.pixmap.stroke_path(path, &paint, &stroke, self.view, self.clip.as_ref());
    }

    fn fill_shader(&mut self, outline: Outline, shader: Shader<'_>) {
        let Some(path) = outline.finish() else { return };
        let paint = Paint { shader, ..Paint::default() };
        self.pixmap.fill_path(&path, &paint, FillRule::Winding, self.view, self.clip.as_ref());
    }
}

fn stop(position: f32, ink: Ink) -> GradientStop {
    GradientStop::new(position, ink.colour.with_alpha(ink.alpha))
}

fn radial(inner: Ink, outer: Ink, place: Transform) -> Option<Shader<'static>> {
    let centre = Point::zero();
    RadialGradient::new(
        centre,
        centre,
        1.0,
        vec![stop(0.0, inner), stop(1.0, outer)],
        SpreadMode::Pad,
        place,
    )
}

fn ellipse(at: (f32, f32), rx: f32, ry: f32) -> Option<Path> {
    PathBuilder::from_oval(Rect::from_xywh(at.0 - rx, at.1 - ry, 2.0 * rx, 2.0 * ry)?)
}
