//! A drawing as a PDF of one page, with text as outlines: no font to embed, none to miss.

use std::fmt::Write;

use crate::drawing::{DASHES, DOT_OPACITY, Drawing, LINE_WIDTH, Paint, Shape};
use crate::font::{Step, outlines};

/// Control points that make four cubic curves a circle of radius 1.
const ROUND: f64 = 0.552_284_75;

impl Drawing {
    /// The drawing as PDF 1.4; a pixel is a point.
    #[must_use]
    pub fn pdf(&self) -> Vec<u8> {
        let mut page = Content { operators: String::new(), opacities: vec![1.0] };
        // y downwards, as in the drawing.
        page.push(format_args!("1 0 0 -1 0 {:.2} cm", self.height));
        for shape in &self.shapes {
            page.shape(shape);
        }
        let states = page.opacities.iter().enumerate();
        let states: Vec<String> = states
            .map(|(number, opacity)| format!("/G{number} << /ca {opacity:.3} /CA {opacity:.3} >>"))
            .collect();
        file(&[
            "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
            format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {:.2} {:.2}] /Contents 4 0 R \
                 /Resources << /ExtGState << {} >> >> >>",
                self.width,
                self.height,
                states.join(" ")
            ),
            format!("<< /Length {} >>\nstream\n{}endstream", page.operators.len(), page.operators),
        ])
    }
}

/// Objects with their numbers, and the table of where they stand.
fn file(objects: &[String]) -> Vec<u8> {
    let mut text = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(text.len());
        // Writing to a string cannot fail.
        let _ = write!(text, "{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let (table, count) = (text.len(), objects.len() + 1);
    let _ = write!(text, "xref\n0 {count}\n0000000000 65535 f \n");
    for place in places {
        let _ = writeln!(text, "{place:010} 00000 n ");
    }
    let _ = write!(text, "trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n");
    text.into_bytes()
}

/// The operators of the page, and the opacities that they name.
struct Content {
    operators: String,
    opacities: Vec<f64>,
}

impl Content {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Rectangle { at, size, paint, opacity, framed } => {
                self.fill(*paint, *opacity);
                let area = format!("{:.2} {:.2} {:.2} {:.2} re", at.0, at.1, size.0, size.1);
                self.push(format_args!("{area} f"));
                if *framed {
                    self.stroke(Paint::Grid, 1.0, 1.0);
                    self.push(format_args!("{area} S"));
                }
            }
            Shape::Line { from, to, paint } => {
                self.stroke(*paint, 1.0, 1.0);
                self.path(&[Step::Move(*from), Step::Line(*to)], "S");
            }
            Shape::Polyline { points, paint, opacity, dashed } => {
                self.stroke(*paint, *opacity, LINE_WIDTH);
                let [on, off] = DASHES;
                if *dashed {
                    self.push(format_args!("[{on} {off}] 0 d"));
                }
                let step = |(number, &point)| match number {
                    0 => Step::Move(point),
                    _ => Step::Line(point),
                };
                let steps: Vec<Step> = points.iter().enumerate().map(step).collect();
                self.path(&steps, "S");
                self.push(format_args!("[] 0 d"));
            }
            Shape::Dot { at, radius, paint } => {
                self.fill(*paint, DOT_OPACITY);
                self.path(&circle(*at, *radius), "f");
            }
            Shape::Text { at, size, anchor, upward, paint, text } => {
                self.fill(*paint, 1.0);
                self.path(&outlines(text, *at, *size, *anchor, *upward), "f");
            }
        }
    }

    fn fill(&mut self, paint: Paint, opacity: f64) {
        self.opacity(opacity);
        let [red, green, blue] = paint.fractions();
        self.push(format_args!("{red:.3} {green:.3} {blue:.3} rg"));
    }

    fn stroke(&mut self, paint: Paint, opacity: f64, width: f64) {
        self.opacity(opacity);
        let [red, green, blue] = paint.fractions();
        self.push(format_args!("{red:.3} {green:.3} {blue:.3} RG {width} w"));
    }

    fn opacity(&mut self, opacity: f64) {
        let known = self.opacities.iter().position(|&other| (other - opacity).abs() < 5e-4);
        let number = known.unwrap_or_else(|| {
            self.opacities.push(opacity);
            self.opacities.len() - 1
        });
        self.push(format_args!("/G{number} gs"));
    }

    /// A path, and the operator that paints it.
    fn path(&mut self, steps: &[Step], operator: &str) {
        if steps.is_empty() {
            return;
        }
        for step in steps {
            match step {
                Step::Move((x, y)) => self.push(format_args!("{x:.2} {y:.2} m")),
                Step::Line((x, y)) => self.push(format_args!("{x:.2} {y:.2} l")),
                Step::Curve(one, two, end) => self.push(format_args!(
                    "{:.2} {:.2} {:.2} {:.2} {:.2} {:.2} c",
                    one.0, one.1, two.0, two.1, end.0, end.1
                )),
            }
        }
        self.push(format_args!("{operator}"));
    }

    fn push(&mut self, operator: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.operators, "{operator}");
    }
}

/// A circle as four curves.
pub(crate) fn circle((x, y): (f64, f64), radius: f64) -> Vec<Step> {
    let at = |across: f64, down: f64| (x + radius * across, y + radius * down);
    vec![
        Step::Move(at(1.0, 0.0)),
        Step::Curve(at(1.0, ROUND), at(ROUND, 1.0), at(0.0, 1.0)),
        Step::Curve(at(-ROUND, 1.0), at(-1.0, ROUND), at(-1.0, 0.0)),
        Step::Curve(at(-1.0, -ROUND), at(-ROUND, -1.0), at(0.0, -1.0)),
        Step::Curve(at(ROUND, -1.0), at(1.0, -ROUND), at(1.0, 0.0)),
    ]
}

#[cfg(test)]
mod tests {
    use crate::plot::confusion;

    #[test]
    fn every_object_stands_where_the_table_says() {
        let classes = ["f", "m"].map(str::to_owned);
        let pdf = confusion("gender by mlp", &classes, &[vec![3, 1], vec![0, 2]]).pdf();
        let text = String::from_utf8(pdf).unwrap();
        assert!(text.starts_with("%PDF-1.4\n") && text.ends_with("%%EOF\n"));
        let table = text.split("startxref\n").nth(1).unwrap().lines().next().unwrap();
        let table = &text[table.parse::<usize>().unwrap()..];
        assert!(table.starts_with("xref\n0 5\n"));
        for (index, line) in table.lines().skip(3).take(4).enumerate() {
            let place: usize = line.split(' ').next().unwrap().parse().unwrap();
            assert!(text[place..].starts_with(&format!("{} 0 obj\n", index + 1)), "{line}");
        }
        let length: usize =
            text.split("/Length ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let stream = text.split(">>\nstream\n").nth(1).unwrap();
        assert_eq!(stream.split("endstream").next().unwrap().len(), length);
        assert!(text.contains("/ca 0.750"), "a cell with three of four rows");
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }
}
