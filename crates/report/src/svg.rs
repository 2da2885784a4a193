//! A drawing as SVG text, with nothing that a browser must fetch.

use std::fmt::{Display, Write};

use crate::drawing::{Anchor, DASHES, DOT_OPACITY, Drawing, LINE_WIDTH, Paint, Shape};

impl Drawing {
    /// The drawing as SVG. It has the light colours as attributes, which a file of its own shows, and
    /// a CSS class each, by which a page overrides them.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut body = Body(String::new());
        for shape in &self.shapes {
            body.shape(shape);
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" \
             viewBox=\"0 0 {w:.0} {h:.0}\" font-family=\"sans-serif\">\n{}</svg>\n",
            body.0,
            w = self.width,
            h = self.height
        )
    }
}

/// The class and the attribute (`fill`, `stroke`) that paint an element so.
fn attributes(paint: Paint, attribute: &str) -> String {
    format!(r#"class="{}" {attribute}="{}""#, paint.class(), paint.colour())
}

struct Body(String);

impl Body {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Rectangle { at: (x, y), size: (width, height), paint, opacity, framed } => {
                let mut paint = attributes(*paint, "fill");
                if *framed || *opacity < 1.0 {
                    // Writing to a string cannot fail.
                    let _ = write!(paint, r#" fill-opacity="{opacity:.3}""#);
                }
                if *framed {
                    let _ = write!(paint, r#" stroke="{}""#, Paint::Grid.colour());
                }
                self.push(format_args!(
                    r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" {paint}/>"#
                ));
            }
            Shape::Line { from, to, paint } => {
                let paint = attributes(*paint, "stroke");
                self.push(format_args!(
                    r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" {paint}/>"#,
                    from.0, from.1, to.0, to.1
                ));
            }
            Shape::Polyline { points, paint, opacity, dashed } => {
                let points: Vec<String> =
                    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                let dash = match (dashed, DASHES) {
                    (true, [on, off]) => format!(r#" stroke-dasharray="{on} {off}""#),
                    (false, _) => String::new(),
                };
                let paint = attributes(*paint, "stroke");
                self.push(format_args!(
                    r#"<polyline points="{}" {paint} fill="none" stroke-width="{LINE_WIDTH}" stroke-opacity="{opacity:.2}"{dash}/>"#,
                    points.join(" ")
                ));
            }
            Shape::Dot { at: (x, y), radius, paint } => {
                let paint = attributes(*paint, "fill");
                self.push(format_args!(
                    r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" {paint} fill-opacity="{DOT_OPACITY}"/>"#
                ));
            }
            Shape::Text { at: (x, y), size, anchor, upward, paint, text } => {
                let anchor = match anchor {
                    Anchor::Middle => "middle",
                    Anchor::End => "end",
                };
                let turn = if *upward {
                    format!(r#" transform="rotate(-90 {x:.1} {y:.1})""#)
                } else {
                    String::new()
                };
                let paint = attributes(*paint, "fill");
                self.push(format_args!(
                    r#"<text x="{x:.1}" y="{y:.1}" font-size="{size:.1}" text-anchor="{anchor}" {paint}{turn}>{}</text>"#,
                    escaped(text)
                ));
            }
        }
    }

    fn push(&mut self, element: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{element}");
    }
}

/// Text as it may stand between tags and in an attribute's double quotes, in SVG and HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
