//! Annotates pictures with boxes around their faces and the predictions of each.

mod place;

use std::path::Path;

use facefold_core::BoundingBox;
use image::RgbImage;
use image::imageops::{FilterType, resize};

use crate::lettering::{Lettering, blend};
use crate::prediction::{ClassPrediction, FacePrediction};
use place::{hidden, place};

/// A picture whose longer side has fewer pixels is enlarged, so that words have room on it.
const LEAST_SIDE: u32 = 640;
/// Lines of a label are the picture's longer side divided by this,
const LINES: f32 = 42.0;
/// but at least this many pixels high where there is room,
const LEAST_LINE: f32 = 17.0;
/// at least this many so that other faces stay in sight,
const CROWDED_LINE: f32 = 11.0;
/// and never less than this.
const SMALLEST_LINE: f32 = 8.0;
/// Share of a face that labels of others may hide before letters shrink.
const HIDDEN: f32 = 0.05;
/// Letters, dark on each of the light [`COLOURS`].
const INK: [u8; 3] = [20, 22, 26];
/// Colours of boxes and labels, cycled through the faces, so that neighbours differ.
const COLOURS: [[u8; 3]; 6] = [
    [255, 210, 63],
    [92, 225, 230],
    [255, 158, 203],
    [142, 224, 107],
    [255, 165, 82],
    [201, 170, 255],
];

/// A face and the lines of its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Around the face.
    pub bounding_box: BoundingBox,
    /// Which colour it has: faces of one number have one colour.
    pub number: usize,
    /// The lines of its label.
    pub lines: Vec<String>,
}

/// The marks of a picture's predictions: one a face, with a line or two a bundle.
#[must_use]
pub fn marks(predictions: &[FacePrediction]) -> Vec<Mark> {
    let faces =
        predictions.iter().filter_map(|prediction| Some((prediction, prediction.bounding_box?)));
    let mut marks: Vec<(u16, Mark)> = Vec::new();
    let several = predictions.iter().any(|prediction| prediction.bundle != predictions[0].bundle);
    for (prediction, bounding_box) in faces {
        let index = prediction.face_index;
        let lines = lines(prediction, several);
        match marks.iter_mut().find(|(known, _)| *known == index) {
            Some((_, mark)) => mark.lines.extend(lines),
            None => {
                marks.push((index, Mark { bounding_box, number: usize::from(index), lines }));
            }
        }
    }
    marks.into_iter().map(|(_, mark)| mark).collect()
}

/// A prediction in a line or two; with several bundles in one, which names the bundle.
#[must_use]
pub fn lines(prediction: &FacePrediction, several_bundles: bool) -> Vec<String> {
    let classes = [&prediction.class, &prediction.gender, &prediction.age_group];
    let age = prediction.age.map(|age| (age, prediction.age_low.zip(prediction.age_high)));
    let words = words(classes, age);
    if several_bundles { vec![on_one_line(&prediction.bundle, &words)] } else { words }
}

/// Classes with their probabilities, then an age with its interval.
pub(crate) fn words(
    classes: [&Option<ClassPrediction>; 3],
    age: Option<(f32, Option<(f32, f32)>)>,
) -> Vec<String> {
    let class =
        |class: &ClassPrediction| format!("{} {:.0} %", class.label, 100.0 * class.probability);
    let years = age.map(|(age, ends)| match ends {
        Some((low, high)) => format!("{age:.0} years ({low:.0} to {high:.0})"),
        None => format!("{age:.0} years"),
    });
    classes.into_iter().flatten().map(class).chain(years).collect()
}

/// A bundle's words behind its name.
pub(crate) fn on_one_line(bundle: &str, words: &[String]) -> String {
    let name = Path::new(bundle).file_stem().unwrap_or_default().to_string_lossy();
    format!("{name}: {}", words.join(", "))
}

/// Draws boxes and labels on a copy of a picture. A small picture is enlarged by a whole number
/// first; letters grow with large ones. Labels do not cover each other, and shrink where there is
/// too little room for all of them.
#[must_use]
pub fn annotate(picture: &RgbImage, marks: &[Mark]) -> RgbImage {
    let longer = picture.width().max(picture.height()).max(1);
    let factor = LEAST_SIDE.div_ceil(longer);
    let mut canvas = if factor == 1 {
        picture.clone()
    } else {
        let [width, height] = [picture.width(), picture.height()].map(|side| side * factor);
        resize(picture, width, height, FilterType::CatmullRom)
    };
    let [width, height] = [canvas.width() as f32, canvas.height() as f32];
    let faces: Vec<BoundingBox> = marks
        .iter()
        .map(|mark| {
            let BoundingBox { left, top, right, bottom } = mark.bounding_box.scaled(factor as f32);
            BoundingBox {
                left: left.clamp(0.0, width),
                top: top.clamp(0.0, height),
                right: right.clamp(0.0, width),
                bottom: bottom.clamp(0.0, height),
            }
        })
        .collect();
    let line = (width.max(height) / LINES).max(LEAST_LINE);
    let stroke = (line / 8.0).round().max(2.0);
    for (mark, face) in marks.iter().zip(&faces) {
        frame(&mut canvas, face, stroke, colour(mark));
    }
    let (letters, labels) = arranged(marks, &faces, [width, height], line);
    for ((mark, face), label) in marks.iter().zip(&faces).zip(&labels) {
        if face.distance(label) > stroke {
            leader(&mut canvas, label, face, stroke / 2.0, colour(mark));
        }
    }
    for (mark, label) in marks.iter().zip(&labels) {
        fill(&mut canvas, label, colour(mark));
        let padding = letters.height() * PADDING;
        for (index, text) in mark.lines.iter().enumerate() {
            let top = label.top + padding / 2.0 + index as f32 * letters.height();
            letters.write(&mut canvas, text, [label.left + padding, top], INK);
        }
    }
    canvas
}

/// Room left and right of a label's words, in lines; half of it above and below.
const PADDING: f32 = 0.3;

/// The letters in the largest size in which all labels find a place and hide no other face (or, of
/// a crowd, in a small size), and those places.
fn arranged(
    marks: &[Mark],
    faces: &[BoundingBox],
    canvas: [f32; 2],
    mut line: f32,
) -> (Lettering, Vec<BoundingBox>) {
    loop {
        let letters = Lettering::new(line);
        let padding = line * PADDING;
        let size = |mark: &Mark| {
            let widest = mark.lines.iter().map(|text| letters.width(text)).fold(0.0, f32::max);
            [widest + 2.0 * padding, mark.lines.len() as f32 * line + padding]
        };
        let sizes: Vec<[f32; 2]> = marks.iter().map(size).collect();
        if let Some(labels) = place(faces, &sizes, canvas)
            && (line <= CROWDED_LINE || hidden(faces, &labels) <= HIDDEN)
        {
            return (letters, labels);
        }
        if line <= SMALLEST_LINE {
            // No room at all: each at its own face, as far as the picture reaches.
            let at = |(face, &size): (&BoundingBox, &[f32; 2])| {
                let top = face.bottom.min(canvas[1] - size[1]).max(0.0);
                BoundingBox::at([face.left.min(canvas[0] - size[0]).max(0.0), top], size)
            };
            return (letters, faces.iter().zip(&sizes).map(at).collect());
        }
        let least = if line > CROWDED_LINE { CROWDED_LINE } else { SMALLEST_LINE };
        line = (line * 0.85).max(least);
    }
}

fn colour(mark: &Mark) -> [u8; 3] {
    COLOURS[mark.number % COLOURS.len()]
}

pub(crate) fn fill(canvas: &mut RgbImage, area: &BoundingBox, colour: [u8; 3]) {
    for y in area.top.round() as i64..area.bottom.round() as i64 {
        for x in area.left.round() as i64..area.right.round() as i64 {
            blend(canvas, [x, y], colour, 1.0);
        }
    }
}

/// The outline of a box, drawn inwards.
pub(crate) fn frame(canvas: &mut RgbImage, area: &BoundingBox, stroke: f32, colour: [u8; 3]) {
    let sides = [
        BoundingBox { bottom: area.top + stroke, ..*area },
        BoundingBox { top: area.bottom - stroke, ..*area },
        BoundingBox { right: area.left + stroke, ..*area },
        BoundingBox { left: area.right - stroke, ..*area },
    ];
    for side in &sides {
        fill(canvas, side, colour);
    }
}

/// A line from a label that is not adjacent to its face.
fn leader(
    canvas: &mut RgbImage,
    label: &BoundingBox,
    face: &BoundingBox,
    radius: f32,
    colour: [u8; 3],
) {
    let [from, centre] = [label.centre(), face.centre()];
    // To the nearest point of the box, not through the face.
    let to = [from[0].clamp(face.left, face.right), from[1].clamp(face.top, face.bottom)];
    let to = if to == from { centre } else { to };
    let steps = (to[0] - from[0]).hypot(to[1] - from[1]).ceil().max(1.0);
    for step in 0..=steps as u32 {
        let share = step as f32 / steps;
        let spot = [0, 1].map(|axis| from[axis] + (to[axis] - from[axis]) * share - radius);
        fill(canvas, &BoundingBox::at(spot, [2.0 * radius; 2]), colour);
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::{COLOURS, Mark, annotate, lines, marks};
    use crate::prediction::{ClassPrediction, FacePrediction};

    fn mark(number: usize, bounding_box: [f32; 4]) -> Mark {
        let lines = vec!["female 97 %".to_owned(), "31 years (25 to 37)".to_owned()];
        Mark { bounding_box: bounding_box.into(), number, lines }
    }

    fn grey(width: u32, height: u32) -> RgbImage {
        RgbImage::from_pixel(width, height, Rgb([90; 3]))
    }

    /// Number of pixels of words: darker than the ground, boxes and labels.
    fn words(picture: &RgbImage) -> usize {
        picture.pixels().filter(|pixel| pixel.0.iter().all(|&value| value < 70)).count()
    }

    #[test]
    fn boxes_and_labels_are_drawn_and_other_pixels_unchanged() {
        let picture = grey(800, 600);
        let drawn = annotate(&picture, &[mark(0, [300.0, 200.0, 500.0, 420.0])]);
        assert_eq!(drawn.dimensions(), (800, 600));
        assert_eq!(drawn.get_pixel(300, 300).0, COLOURS[0], "the left edge");
        assert_eq!(drawn.get_pixel(400, 300).0, [90; 3], "the face itself");
        assert!(words(&drawn) > 200, "no words");
        let changed = drawn.pixels().zip(picture.pixels()).filter(|(a, b)| a != b).count();
        assert!(changed < 800 * 600 / 10, "{changed} pixels are no longer the picture's");
    }

    #[test]
    fn small_pictures_are_enlarged_and_large_ones_get_larger_text() {
        let small = annotate(&grey(112, 112), &[mark(0, [0.0, 0.0, 112.0, 112.0])]);
        assert_eq!(small.dimensions(), (672, 672));
        assert!(words(&small) > 200, "no words");
        let large = |side: u32| {
            let edge = side as f32;
            let face = [0.3 * edge, 0.3 * edge, 0.6 * edge, 0.7 * edge];
            let drawn = annotate(&grey(side, side), &[mark(0, face)]);
            words(&drawn) as f32
        };
        assert!(large(3200) > 8.0 * large(800), "letters do not grow with the picture");
    }

    #[test]
    fn labels_of_neighbours_do_not_overlap() {
        let faces: Vec<Mark> = (0..4)
            .map(|n| {
                let left = 60.0 + 130.0 * n as f32;
                mark(n, [left, 200.0, left + 120.0, 340.0])
            })
            .collect();
        let alone: usize = faces
            .iter()
            .map(|face| words(&annotate(&grey(700, 500), std::slice::from_ref(face))))
            .sum();
        let together = words(&annotate(&grey(700, 500), &faces));
        // Edges of letters fall on other parts of pixels elsewhere.
        assert!(together.abs_diff(alone) < alone / 20, "{together} of {alone} pixels of words");
    }

    #[test]
    fn more_faces_than_room_can_be_annotated() {
        let crowd: Vec<Mark> = (0..300)
            .map(|n| {
                let [left, top] = [(n % 20) as f32 * 10.0, (n / 20) as f32 * 13.0];
                mark(n, [left, top, left + 9.0, top + 11.0])
            })
            .collect();
        assert_eq!(annotate(&RgbImage::new(200, 200), &crowd).dimensions(), (800, 800));
    }

    #[test]
    fn predictions_become_text_with_the_bundle_if_there_are_several() {
        let gender =
            ClassPrediction::new(vec![("female".to_owned(), 0.97), ("male".to_owned(), 0.03)]);
        let prediction = FacePrediction {
            gender,
            age: Some(31.4),
            age_low: Some(24.6),
            age_high: Some(37.0),
            bounding_box: Some([1.0, 2.0, 3.0, 4.0].into()),
            ..FacePrediction::empty("a.jpg", "heads/one.facefold")
        };
        assert_eq!(lines(&prediction, false), ["female 97 %", "31 years (25 to 37)"]);
        let second = FacePrediction { bundle: "two.facefold".to_owned(), ..prediction.clone() };
        let marks = marks(&[prediction, second]);
        assert_eq!(marks.len(), 1, "one face");
        let expected = ["one: female 97 %, 31 years (25 to 37)"; 2];
        assert_eq!(marks[0].lines, [expected[0].to_owned(), expected[1].replace("one", "two")]);
    }
}
