//! A drawing as PNG, with text as outlines.

use tiny_skia::{
    FillRule, Paint as Brush, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use crate::drawing::{DASHES, DOT_OPACITY, Drawing, LINE_WIDTH, Paint, Shape};
use crate::error::ReportError;
use crate::font::{Step, outlines};
use crate::pdf::circle;

/// Pixels of the picture a pixel of the drawing: 300 a inch where the drawing is 4.8 inches wide.
const SCALE: f32 = 3.0;

impl Drawing {
    /// The drawing as PNG, three pixels to each of its own.
    ///
    /// # Errors
    /// [`ReportError::Picture`] where there is no memory for so many pixels.
    pub fn png(&self) -> Result<Vec<u8>, ReportError> {
        let picture = |message: &str| ReportError::Picture { message: message.to_owned() };
        let side = |length: f64| (length * f64::from(SCALE)).ceil() as u32;
        let pixmap = Pixmap::new(side(self.width), side(self.height));
        let mut pixmap = pixmap.ok_or_else(|| picture("a side is empty or too long"))?;
        for shape in &self.shapes {
            draw(&mut pixmap, shape);
        }
        encoded(&pixmap).map_err(|error| picture(&error.to_string()))
    }
}

/// Without opacity: the sheet has none.
fn encoded(pixmap: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let pixels = pixmap.data().chunks_exact(4).flat_map(|pixel| &pixel[..3]);
    let pixels: Vec<u8> = pixels.copied().collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixmap.width(), pixmap.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(bytes)
}

fn draw(pixmap: &mut Pixmap, shape: &Shape) {
    match shape {
        Shape::Rectangle { at, size, paint, opacity, framed } => {
            let [x, y, width, height] = [at.0, at.1, size.0, size.1].map(|value| value as f32);
            let Some(area) = Rect::from_xywh(x, y, width, height) else { return };
            let path = PathBuilder::from_rect(area);
            fill(pixmap, &path, *paint, *opacity);
            if *framed {
                stroke(pixmap, &path, Paint::Grid, 1.0, &Stroke::default());
            }
        }
        Shape::Line { from, to, paint } => {
            if let Some(path) = path_of(&[Step::Move(*from), Step::Line(*to)]) {
                stroke(pixmap, &path, *paint, 1.0, &Stroke::default());
            }
        }
        Shape::Polyline { points, paint, opacity, dashed } => {
            let step = |(number, &point)| match number {
                0 => Step::Move(point),
                _ => Step::Line(point),
            };
            let steps: Vec<Step> = points.iter().enumerate().map(step).collect();
            let dashes = DASHES.map(|length| length as f32).to_vec();
            let dash = StrokeDash::new(dashes, 0.0).filter(|_| *dashed);
            let line = Stroke { width: LINE_WIDTH as f32, dash, ..Stroke::default() };
            if let Some(path) = path_of(&steps) {
                stroke(pixmap, &path, *paint, *opacity, &line);
            }
        }
        Shape::Dot { at, radius, paint } => {
            if let Some(path) = path_of(&circle(*at, *radius)) {
                fill(pixmap, &path, *paint, DOT_OPACITY);
            }
        }
        Shape::Text { at, size, anchor, upward, paint, text } => {
            if let Some(path) = path_of(&outlines(text, *at, *size, *anchor, *upward)) {
                fill(pixmap, &path, *paint, 1.0);
            }
        }
    }
}

/// None where nothing is drawn.
fn path_of(steps: &[Step]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let single = |(x, y): (f64, f64)| (x as f32, y as f32);
    for step in steps {
        match *step {
            Step::Move(to) => builder.move_to(single(to).0, single(to).1),
            Step::Line(to) => builder.line_to(single(to).0, single(to).1),
            Step::Curve(one, two, to) => {
                let [(a, b), (c, d), (x, y)] = [one, two, to].map(single);
                builder.cubic_to(a, b, c, d, x, y);
            }
        }
    }
    builder.finish()
}

fn fill(pixmap: &mut Pixmap, path: &Path, paint: Paint, opacity: f64) {
    let scale = Transform::from_scale(SCALE, SCALE);
    pixmap.fill_path(path, &brush(paint, opacity), FillRule::Winding, scale, None);
}

fn stroke(pixmap: &mut Pixmap, path: &Path, paint: Paint, opacity: f64, line: &Stroke) {
    let scale = Transform::from_scale(SCALE, SCALE);
    pixmap.stroke_path(path, &brush(paint, opacity), line, scale, None);
}

fn brush(paint: Paint, opacity: f64) -> Brush<'static> {
    let mut brush = Brush::default();
    let [red, green, blue, alpha] = {
        let [red, green, blue] = paint.fractions();
        [red, green, blue, opacity].map(|part| (255.0 * part.clamp(0.0, 1.0)).round() as u8)
    };
    brush.set_color_rgba8(red, green, blue, alpha);
    brush
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use crate::drawing::{Anchor, Drawing, Paint};

    #[test]
    fn the_picture_has_the_colours_of_the_drawing() {
        let mut drawing = Drawing::new(40.0, 20.0);
        drawing.rectangle(0.0, 0.0, 10.0, 20.0, Paint::Series(0));
        drawing.cell(10.0, 0.0, 10.0, 0.5);
        drawing.text((39.0, 15.0), 14.0, Anchor::End, Paint::Ink, "M");
        let decoder = png::Decoder::new(Cursor::new(drawing.png().unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.width, frame.height), (120, 60));
        let at = |x: usize, y: usize| {
            let first = 3 * (120 * y + x);
            [pixels[first], pixels[first + 1], pixels[first + 2]]
        };
        assert_eq!(at(15, 30), [0x00, 0x72, 0xb2]);
        assert_eq!(at(45, 15), [170, 217, 244], "half of #56b4e9 on white");
        assert_eq!(at(62, 55), [255, 255, 255]);
        let dark = (66..118).filter(|&x| at(x, 40)[0] < 90).count();
        assert!(dark > 5, "{dark} pixels of the letter's stems");
    }
}
