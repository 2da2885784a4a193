//! Decodes SCRFD's anchor grids to boxes and landmarks in the picture.

use facefold_core::{BoundingBox, SCORE_THRESHOLD};
use facefold_engine::EngineError;

use super::Detection;

/// Anchors in a cell of the grid.
const ANCHORS: usize = 2;

/// Where the network's input lies in the picture.
pub(super) struct Placement {
    /// Picture pixels to an input pixel, across and down.
    pub scale: [f32; 2],
    /// Zeros that were added to the left and above, in picture pixels.
    pub offset: f32,
}

/// One stride's outputs, row by row; an anchor sits at the upper left corner of its cell.
pub(super) struct Grid<'a> {
    /// Input pixels to a cell.
    pub stride: usize,
    /// Cells in a row, and rows.
    pub cells: usize,
    /// One score an anchor.
    pub scores: &'a [f32],
    /// Distances to the left, top, right and bottom of the box, in strides.
    pub boxes: &'a [f32],
    /// Distances right and down to the five landmarks, in strides.
    pub landmarks: &'a [f32],
}

impl Grid<'_> {
    /// Appends the anchors that reach the threshold, and gives the best score of all.
    pub fn candidates(
        &self,
        place: &Placement,
        found: &mut Vec<Detection>,
    ) -> Result<f32, EngineError> {
        let anchors = self.cells * self.cells * ANCHORS;
        for (values, each) in [(self.scores, 1), (self.boxes, 4), (self.landmarks, 10)] {
            if values.len() != anchors * each {
                return Err(EngineError::Batch { expected: anchors * each, found: values.len() });
            }
        }
        let mut best = 0.0_f32;
        for (anchor, &score) in self.scores.iter().enumerate() {
            best = best.max(score);
            if score >= SCORE_THRESHOLD {
                found.push(self.detection(anchor, score, place));
            }
        }
        Ok(best)
    }

    fn detection(&self, anchor: usize, score: f32, place: &Placement) -> Detection {
        let cell = anchor / ANCHORS;
        let stride = self.stride as f32;
        let corner = [cell % self.cells, cell / self.cells].map(|index| index as f32 * stride);
        let in_picture = |axis: usize, distance: f32| {
            (corner[axis] + distance * stride) * place.scale[axis] - place.offset
        };
        let sides = &self.boxes[4 * anchor..4 * anchor + 4];
        let points = &self.landmarks[10 * anchor..10 * anchor + 10];
        Detection {
            bounding_box: BoundingBox {
                left: in_picture(0, -sides[0]),
                top: in_picture(1, -sides[1]),
                right: in_picture(0, sides[2]),
                bottom: in_picture(1, sides[3]),
            },
            landmarks: std::array::from_fn(|point| {
                [in_picture(0, points[2 * point]), in_picture(1, points[2 * point + 1])]
            }),
            score,
        }
    }
}
