//! A drawing as a list of shapes, which is rendered as SVG, PDF and PNG.

/// Where a label's point lies in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Middle,
    End,
}

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Paint {
    /// The ground.
    Sheet,
    /// Text.
    Ink,
    /// Lines behind what is shown.
    Grid,
    /// What is shown, by number.
    Series(usize),
    /// The cell of a matrix, as opaque as its fraction; light enough for text in ink.
    Cell,
}

/// A colour-blind safe palette (Okabe and Ito 2008).
const PALETTE: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

impl Paint {
    pub(crate) fn class(self) -> String {
        match self {
            Self::Sheet => "sheet".to_owned(),
            Self::Ink => "ink".to_owned(),
            Self::Grid => "grid".to_owned(),
            Self::Series(number) => format!("s{}", number % PALETTE.len()),
            Self::Cell => "cell".to_owned(),
        }
    }

    pub(crate) fn colour(self) -> &'static str {
        match self {
            Self::Sheet => "#ffffff",
            Self::Ink => "#222222",
            Self::Grid => "#d9d9d9",
            Self::Series(number) => PALETTE[number % PALETTE.len()],
            Self::Cell => PALETTE[5],
        }
    }

    /// Red, green and blue from 0 to 1.
    pub(crate) fn fractions(self) -> [f64; 3] {
        let part = |at: usize| {
            let digits = self.colour().get(at..at + 2).unwrap_or("00");
            f64::from(u8::from_str_radix(digits, 16).unwrap_or(0)) / 255.0
        };
        [part(1), part(3), part(5)]
    }
}

/// A part of a drawing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Rectangle { at: (f64, f64), size: (f64, f64), paint: Paint, opacity: f64, framed: bool },
    Line { from: (f64, f64), to: (f64, f64), paint: Paint },
    Polyline { points: Vec<(f64, f64)>, paint: Paint, opacity: f64, dashed: bool },
    Dot { at: (f64, f64), radius: f64, paint: Paint },
    Text { at: (f64, f64), size: f64, anchor: Anchor, upward: bool, paint: Paint, text: String },
}

/// The width of a polyline, the opacity of a dot, and the dashes of a dashed line.
pub(crate) const LINE_WIDTH: f64 = 1.8;
pub(crate) const DOT_OPACITY: f64 = 0.7;
pub(crate) const DASHES: [f64; 2] = [5.0, 4.0];

/// A plot; lengths in pixels, y downwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Drawing {
    /// An empty sheet.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        let mut drawing = Self { shapes: Vec::new(), width, height };
        drawing.rectangle(0.0, 0.0, width, height, Paint::Sheet);
        drawing
    }

    pub(crate) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, paint: Paint) {
        let (at, size) = ((x, y), (width, height));
        self.shapes.push(Shape::Rectangle { at, size, paint, opacity: 1.0, framed: false });
    }

    /// A framed square with the opacity `fraction`.
    pub(crate) fn cell(&mut self, x: f64, y: f64, side: f64, fraction: f64) {
        let (at, size, paint) = ((x, y), (side, side), Paint::Cell);
        self.shapes.push(Shape::Rectangle { at, size, paint, opacity: fraction, framed: true });
    }

    /// A rectangle in the first colour with this opacity, without a frame.
    pub(crate) fn shade(&mut self, at: (f64, f64), size: (f64, f64), opacity: f64) {
        let paint = Paint::Series(0);
        self.shapes.push(Shape::Rectangle { at, size, paint, opacity, framed: false });
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), paint: Paint) {
        self.shapes.push(Shape::Line { from, to, paint });
    }

    pub(crate) fn polyline(
        &mut self,
        points: impl Iterator<Item = (f64, f64)>,
        paint: Paint,
        opacity: f64,
        dashed: bool,
    ) {
        self.shapes.push(Shape::Polyline { points: points.collect(), paint, opacity, dashed });
    }

    pub(crate) fn dot(&mut self, at: (f64, f64), radius: f64, paint: Paint) {
        self.shapes.push(Shape::Dot { at, radius, paint });
    }

    pub(crate) fn text(
        &mut self,
        at: (f64, f64),
        size: f64,
        anchor: Anchor,
        paint: Paint,
        text: &str,
    ) {
        let text = text.to_owned();
        self.shapes.push(Shape::Text { at, size, anchor, upward: false, paint, text });
    }

    /// A label that reads upwards.
    pub(crate) fn upward_text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str) {
        let (paint, text) = (Paint::Ink, text.to_owned());
        self.shapes.push(Shape::Text { at, size, anchor, upward: true, paint, text });
    }

    /// The title, in letters so small that it fits.
    pub(crate) fn title(&mut self, text: &str) {
        let size = (15.0 * (self.width - 16.0) / text_width(text, 15.0)).clamp(9.0, 15.0);
        self.text((self.width / 2.0, 22.0), size, Anchor::Middle, Paint::Ink, text);
    }
}

/// The width of a text in pixels, in a wide font without serifs.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    0.62 * size * text.chars().count() as f64
}
