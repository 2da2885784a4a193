//! A drawing as SVG text: rectangles, lines and labels, and nothing that a browser must fetch.

use std::fmt::{Display, Write};

/// Where a label's point lies in it.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Middle,
    End,
}

/// What a colour is for. A drawing has the light colours as attributes, which a file of its own
/// shows, and a CSS class each, by which a page overrides them.
#[derive(Clone, Copy)]
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
    fn class(self) -> String {
        match self {
            Self::Sheet => "sheet".to_owned(),
            Self::Ink => "ink".to_owned(),
            Self::Grid => "grid".to_owned(),
            Self::Series(number) => format!("s{}", number % PALETTE.len()),
            Self::Cell => "cell".to_owned(),
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Sheet => "#ffffff",
            Self::Ink => "#222222",
            Self::Grid => "#d9d9d9",
            Self::Series(number) => PALETTE[number % PALETTE.len()],
            Self::Cell => PALETTE[5],
        }
    }

    /// The class and the attribute (`fill`, `stroke`) that paint an element so.
    fn as_attributes(self, attribute: &str) -> String {
        format!(r#"class="{}" {attribute}="{}""#, self.class(), self.colour())
    }
}

/// An SVG document under construction; lengths in pixels, y downwards.
pub(crate) struct Svg {
    body: String,
    width: f64,
    height: f64,
}

impl Svg {
    /// An empty sheet.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        let mut svg = Self { body: String::new(), width, height };
        svg.rectangle(0.0, 0.0, width, height, Paint::Sheet);
        svg
    }

    pub(crate) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, paint: Paint) {
        let paint = paint.as_attributes("fill");
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" {paint}/>"#
        ));
    }

    /// A square with the opacity `fraction`.
    pub(crate) fn cell(&mut self, x: f64, y: f64, side: f64, fraction: f64) {
        let (paint, frame) = (Paint::Cell.as_attributes("fill"), Paint::Grid.colour());
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{side:.1}" height="{side:.1}" {paint} fill-opacity="{fraction:.3}" stroke="{frame}"/>"#
        ));
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), paint: Paint) {
        let paint = paint.as_attributes("stroke");
        self.push(format_args!(
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" {paint}/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    pub(crate) fn polyline(
        &mut self,
        points: impl Iterator<Item = (f64, f64)>,
        paint: Paint,
        opacity: f64,
        dashed: bool,
    ) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dash = if dashed { r#" stroke-dasharray="5 4""# } else { "" };
        let paint = paint.as_attributes("stroke");
        self.push(format_args!(
            r#"<polyline points="{}" {paint} fill="none" stroke-width="1.8" stroke-opacity="{opacity:.2}"{dash}/>"#,
            points.join(" ")
        ));
    }

    pub(crate) fn dot(&mut self, (x, y): (f64, f64), radius: f64, paint: Paint) {
        let paint = paint.as_attributes("fill");
        self.push(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" {paint} fill-opacity="0.7"/>"#
        ));
    }

    pub(crate) fn text(
        &mut self,
        at: (f64, f64),
        size: f64,
        anchor: Anchor,
        paint: Paint,
        text: &str,
    ) {
        self.label(at, size, anchor, paint, "", text);
    }

    /// A label that reads upwards.
    pub(crate) fn upward_text(
        &mut self,
        (x, y): (f64, f64),
        size: f64,
        anchor: Anchor,
        text: &str,
    ) {
        let turn = format!(r#" transform="rotate(-90 {x:.1} {y:.1})""#);
        self.label((x, y), size, anchor, Paint::Ink, &turn, text);
    }

    /// The title, in letters so small that it fits.
    pub(crate) fn title(&mut self, text: &str) {
        let size = (15.0 * (self.width - 16.0) / text_width(text, 15.0)).clamp(9.0, 15.0);
        self.text((self.width / 2.0, 22.0), size, Anchor::Middle, Paint::Ink, text);
    }

    pub(crate) fn finish(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" \
             viewBox=\"0 0 {w:.0} {h:.0}\" font-family=\"sans-serif\">\n{}</svg>\n",
            self.body,
            w = self.width,
            h = self.height
        )
    }

    fn label(
        &mut self,
        (x, y): (f64, f64),
        size: f64,
        anchor: Anchor,
        paint: Paint,
        more: &str,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let paint = paint.as_attributes("fill");
        self.push(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size:.1}" text-anchor="{anchor}" {paint}{more}>{}</text>"#,
            escaped(text)
        ));
    }

    fn push(&mut self, element: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

/// The width of a text in pixels, in a wide font without serifs.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    0.62 * size * text.chars().count() as f64
}

/// Text as it may stand between tags and in an attribute's double quotes, in SVG and HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
