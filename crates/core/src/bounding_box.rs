//! Boxes around faces.

use serde::{Deserialize, Serialize};

/// An upright box in pixels of a picture (of the decoded one, EXIF orientation applied), parts of
/// which may lie outside of it. Serialised as the list of its edges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 4]", into = "[f32; 4]")]
pub struct BoundingBox {
    /// The left edge.
    pub left: f32,
    /// The upper edge.
    pub top: f32,
    /// The right edge.
    pub right: f32,
    /// The lower edge.
    pub bottom: f32,
}

impl From<[f32; 4]> for BoundingBox {
    fn from([left, top, right, bottom]: [f32; 4]) -> Self {
        Self { left, top, right, bottom }
    }
}

impl From<BoundingBox> for [f32; 4] {
    fn from(edges: BoundingBox) -> Self {
        [edges.left, edges.top, edges.right, edges.bottom]
    }
}

impl BoundingBox {
    /// The box of this upper left corner and this width and height.
    #[must_use]
    pub fn at([left, top]: [f32; 2], [width, height]: [f32; 2]) -> Self {
        Self { left, top, right: left + width, bottom: top + height }
    }

    /// From the left to the right edge: negative where they are exchanged.
    #[must_use]
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    /// From the upper to the lower edge: negative where they are exchanged.
    #[must_use]
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// Square pixels; 0 where edges are exchanged.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// x and y of the middle.
    #[must_use]
    pub fn centre(&self) -> [f32; 2] {
        [f32::midpoint(self.left, self.right), f32::midpoint(self.top, self.bottom)]
    }

    /// The box in a picture that is so many times as large.
    #[must_use]
    pub fn scaled(&self, factor: f32) -> Self {
        <[f32; 4]>::from(*self).map(|edge| edge * factor).into()
    }

    /// How much this looks like the face that a picture of this size was taken of: its area minus
    /// twice the squared distance of its centre to the picture's (InsightFace, `FaceAnalysis.get`).
    #[must_use]
    pub fn prominence(&self, [width, height]: [u32; 2]) -> f32 {
        let [x, y] = self.centre();
        let (x, y) = (x - width as f32 / 2.0, y - height as f32 / 2.0);
        self.width() * self.height() - 2.0 * (x * x + y * y)
    }

    /// Square pixels that two have in common.
    #[must_use]
    pub fn shared(&self, other: &Self) -> f32 {
        let common = Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        };
        common.area()
    }

    /// Intersection over union of two, in [0, 1]; 0 for boxes without area.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> f32 {
        let shared = self.shared(other);
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// Distance between the nearest points of two; 0 where they touch.
    #[must_use]
    pub fn distance(&self, other: &Self) -> f32 {
        let across = (other.left - self.right).max(self.left - other.right).max(0.0);
        let down = (other.top - self.bottom).max(self.top - other.bottom).max(0.0);
        across.hypot(down)
    }
}

#[cfg(test)]
mod tests {
    use super::BoundingBox;

    fn square(x: f32, y: f32) -> BoundingBox {
        BoundingBox::at([x, y], [100.0; 2])
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        assert_eq!(square(0.0, 0.0).overlap(&square(0.0, 0.0)), 1.0);
        assert_eq!(square(0.0, 0.0).overlap(&square(50.0, 0.0)), 1.0 / 3.0);
        assert_eq!(square(0.0, 0.0).overlap(&square(100.0, 0.0)), 0.0);
        let point = BoundingBox::from([5.0; 4]);
        assert_eq!(point.overlap(&point), 0.0);
        let inside_out = BoundingBox::from([9.0, 9.0, 1.0, 1.0]);
        assert_eq!(inside_out.overlap(&square(0.0, 0.0)), 0.0);
    }

    #[test]
    fn a_large_face_in_the_middle_is_the_most_prominent() {
        let prominence = |edges: [f32; 4]| BoundingBox::from(edges).prominence([200, 200]);
        assert_eq!(prominence([50.0, 50.0, 150.0, 150.0]), 10_000.0);
        assert_eq!(prominence([80.0, 80.0, 118.0, 118.0]), 38.0 * 38.0 - 4.0);
        assert!(prominence([0.0, 0.0, 40.0, 40.0]) < 0.0);
    }

    #[test]
    fn it_is_written_as_its_edges() {
        let text = serde_json::to_string(&BoundingBox::at([1.0, 2.0], [3.0, 4.5])).unwrap();
        assert_eq!(text, "[1.0,2.0,4.0,6.5]");
        assert_eq!(serde_json::from_str::<BoundingBox>(&text).unwrap().height(), 4.5);
    }
}
