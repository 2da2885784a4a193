//! Non-maximum suppression: of boxes that show the same face, the best scored stays.

use super::{Detection, OVERLAP_THRESHOLD};
use facefold_core::BoundingBox;

/// The detections that no better one overlaps by more than [`OVERLAP_THRESHOLD`], best first.
pub(super) fn suppress(mut candidates: Vec<Detection>) -> Vec<Detection> {
    // Stable, so that equal scores keep the grids' order and a picture always gives the same.
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|better| overlap(better, &candidate) <= OVERLAP_THRESHOLD) {
            kept.push(candidate);
        }
    }
    kept
}

/// Intersection over union, with pixels counted inclusively (`SCRFD.nms` in InsightFace).
fn overlap(a: &Detection, b: &Detection) -> f32 {
    let (a, b) = (a.bounding_box, b.bounding_box);
    let area = |of: BoundingBox| (of.width() + 1.0) * (of.height() + 1.0);
    let (width, height) =
        (a.right.min(b.right) - a.left.max(b.left), a.bottom.min(b.bottom) - a.top.max(b.top));
    let shared = (width + 1.0).max(0.0) * (height + 1.0).max(0.0);
    shared / (area(a) + area(b) - shared)
}

#[cfg(test)]
mod tests {
    use super::{overlap, suppress};
    use crate::detect::Detection;

    fn face(bounding_box: [f32; 4], score: f32) -> Detection {
        Detection { bounding_box: bounding_box.into(), landmarks: [[0.0; 2]; 5], score }
    }

    #[test]
    fn overlap_counts_border_pixels() {
        // Boxes of 10 x 10 pixels; half of each is shared: 50 / (100 + 100 - 50).
        let (a, b) = (face([0.0, 0.0, 9.0, 9.0], 1.0), face([5.0, 0.0, 14.0, 9.0], 1.0));
        assert_eq!(overlap(&a, &b), 1.0 / 3.0);
        assert_eq!(overlap(&a, &face([20.0, 20.0, 30.0, 30.0], 1.0)), 0.0);
    }

    #[test]
    fn suppression_keeps_the_best_box_of_each_face() {
        let weak = face([1.0, 1.0, 100.0, 100.0], 0.6);
        let strong = face([0.0, 0.0, 99.0, 99.0], 0.9);
        let other = face([200.0, 0.0, 299.0, 99.0], 0.7);
        assert_eq!(suppress(vec![weak, other, strong]), vec![strong, other]);
    }
}
