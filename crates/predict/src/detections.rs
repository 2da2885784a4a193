//! The faces of a picture as an InsightFace-REST container returns them: aligned crops, and the picture
//! with the detections drawn on it.

use std::io::Cursor;

use facefold_core::{BoundingBox, Face, RejectReason, Rejection};
use facefold_vision::align::{CROP_SIDE, align};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::annotate::{fill, frame};
use crate::lettering::Lettering;
use crate::predictor::Predictor;

/// Quality of the JPEG files, as OpenCV writes them.
const QUALITY: u8 = 95;

/// Colours of the box and of the five landmarks, in their order.
const BOX: [u8; 3] = [0, 255, 0];
const LANDMARKS: [[u8; 3]; 5] =
    [[255, 0, 0], [255, 255, 0], [255, 0, 255], [0, 255, 0], [0, 0, 255]];
const INK: [u8; 3] = [0, 0, 0];

/// Lines of text are so many pixels high; the line that counts the faces is twice as high.
const LINE: f32 = 16.0;

/// What is drawn on a picture, other than the boxes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectionMarks {
    /// The five landmarks of each face.
    pub landmarks: bool,
    /// The detector's score of each face.
    pub scores: bool,
    /// The width of each box, in pixels.
    pub sizes: bool,
    /// Faces of a lower score are left out.
    pub threshold: f32,
    /// Faces that are less wide are left out, in pixels.
    pub min_face_size: f32,
}

impl Default for DetectionMarks {
    /// All that can be drawn, on every face.
    fn default() -> Self {
        Self { landmarks: true, scores: true, sizes: true, threshold: 0.0, min_face_size: 0.0 }
    }
}

impl DetectionMarks {
    fn shows(&self, face: &Face) -> bool {
        face.score >= self.threshold && face.bounding_box.width() >= self.min_face_size
    }
}

impl Predictor {
    /// The aligned crops of faces of a picture, as JPEG files of 112 x 112 pixels.
    ///
    /// # Errors
    /// The rejection of a picture that cannot be decoded, or of landmarks that are not its own.
    pub fn crop_files(&self, picture: &[u8], faces: &[Face]) -> Result<Vec<Vec<u8>>, Rejection> {
        if faces.is_empty() {
            return Ok(Vec::new());
        }
        let upright = self.extractor.decode(picture)?;
        let crop = |face: &Face| {
            let crop = align(&upright, &face.landmarks)?;
            jpeg(crop.pixels(), [CROP_SIDE as u32; 2])
        };
        faces.iter().map(crop).collect()
    }

    /// The picture with its faces drawn on it, as a JPEG file of the picture's size.
    ///
    /// # Errors
    /// The rejection of a picture that cannot be decoded.
    pub fn drawn(
        &self,
        picture: &[u8],
        faces: &[Face],
        marks: &DetectionMarks,
    ) -> Result<Vec<u8>, Rejection> {
        let upright = self.extractor.decode(picture)?;
        let mut canvas = RgbImage::clone(&upright);
        draw(&mut canvas, faces, marks, &self.info().detector);
        jpeg(canvas.as_raw(), [canvas.width(), canvas.height()])
    }
}

fn draw(canvas: &mut RgbImage, faces: &[Face], marks: &DetectionMarks, detector: &str) {
    let (small, large) = (Lettering::new(LINE), Lettering::new(2.0 * LINE));
    let shown: Vec<&Face> = faces.iter().filter(|face| marks.shows(face)).collect();
    for face in &shown {
        let bounding_box = face.bounding_box;
        frame(canvas, &bounding_box, 1.0, BOX);
        if marks.landmarks {
            let radius = (bounding_box.width() * 0.025).max(1.0);
            for (point, colour) in face.landmarks.iter().zip(LANDMARKS) {
                let corner = point.map(|value| value - radius);
                fill(canvas, &BoundingBox::at(corner, [2.0 * radius; 2]), colour);
            }
        }
        if marks.scores {
            let text = format!("{:.3}", face.score);
            // Above the box, or inside it where there is no room.
            let top =
                if bounding_box.top >= LINE { bounding_box.top - LINE } else { bounding_box.top };
            label(canvas, &small, &text, [bounding_box.left, top]);
        }
        if marks.sizes {
            let text = format!("w:{}", bounding_box.width() as u32);
            label(canvas, &small, &text, [bounding_box.left, bounding_box.bottom - LINE]);
        }
    }
    let total = format!("faces: {} ({detector})", shown.len());
    let top = (canvas.height() as f32 - 2.0 * LINE).max(0.0);
    label(canvas, &large, &total, [0.0, top]);
}

/// A text on a ground of the boxes' colour.
fn label(canvas: &mut RgbImage, letters: &Lettering, text: &str, corner: [f32; 2]) {
    let size = [letters.width(text) + 4.0, letters.height()];
    fill(canvas, &BoundingBox::at(corner, size), BOX);
    letters.write(canvas, text, [corner[0] + 2.0, corner[1]], INK);
}

fn jpeg(pixels: &[u8], [width, height]: [u32; 2]) -> Result<Vec<u8>, Rejection> {
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| {
            let detail = format!("{width}x{height} cannot be written as JPEG: {error}");
            Rejection::new(RejectReason::TooLarge, detail)
        })?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use facefold_core::{Embedding, Face, FaceVariant};
    use image::{Rgb, RgbImage};

    use super::{BOX, DetectionMarks, LANDMARKS, draw};

    fn face(bounding_box: [f32; 4], score: f32) -> Face {
        Face {
            index: 0,
            variant: FaceVariant::PLAIN,
            embedding: Embedding::new(vec![1.0; 512]).unwrap(),
            norm: Some(1.0),
            taps: Vec::new(),
            bounding_box: bounding_box.into(),
            landmarks: [
                [150.0, 150.0],
                [250.0, 150.0],
                [200.0, 200.0],
                [160.0, 250.0],
                [240.0, 250.0],
            ],
            score,
            luminance: 0.0,
            sharpness: 0.0,
        }
    }

    #[test]
    fn boxes_landmarks_scores_and_sizes_are_drawn_where_asked_for() {
        let drawn = |marks: DetectionMarks| {
            let mut canvas = RgbImage::from_pixel(400, 400, Rgb([90; 3]));
            let faces =
                [face([100.0, 100.0, 300.0, 320.0], 0.9), face([5.0, 5.0, 25.0, 30.0], 0.5)];
            draw(&mut canvas, &faces, &marks, "scrfd");
            canvas
        };
        let all = drawn(DetectionMarks::default());
        assert_eq!(all.get_pixel(100, 200).0, BOX);
        assert_eq!(all.get_pixel(150, 150).0, LANDMARKS[0]);
        assert_eq!(all.get_pixel(220, 300).0, [90; 3]);
        let changed = |marks: DetectionMarks| {
            all.pixels().zip(drawn(marks).pixels()).filter(|(a, b)| a != b).count()
        };
        let all = DetectionMarks::default();
        assert_eq!(changed(all), 0);
        for marks in [
            DetectionMarks { landmarks: false, ..all },
            DetectionMarks { scores: false, ..all },
            DetectionMarks { sizes: false, ..all },
            DetectionMarks { threshold: 0.6, ..all },
            DetectionMarks { min_face_size: 50.0, ..all },
        ] {
            assert!(changed(marks) > 50, "{marks:?}");
        }
    }
}
