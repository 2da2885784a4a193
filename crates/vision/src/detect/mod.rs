//! SCRFD face detection: preprocessing, decoding of the outputs, and the choice of the main face.

mod output;
mod suppress;

use std::array;

use facefold_core::BoundingBox;
use facefold_engine::{ByteImages, EngineError, Executor, InvalidNetwork, Network, Shape, Tensor};
use image::RgbImage;

use crate::resize::resize;

/// Boxes that overlap by more (intersection over union) show the same face.
pub const OVERLAP_THRESHOLD: f32 = 0.4;

/// Steps of the three grids of anchors, in pixels of the network's input.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// The longer side of the network's input is a multiple of this,
const SIDE_STEP: u32 = 32;
/// at least this,
const LEAST_SIDE: u32 = 256;
/// and at most this.
const MOST_SIDE: u32 = 640;
/// The other size of a last attempt, where the largest was tried already.
const OTHER_SIDE: u32 = 320;

/// A face that the detector found. Coordinates are pixels of the decoded picture (EXIF orientation
/// applied), and may lie outside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Around the face.
    pub bounding_box: BoundingBox,
    /// x, y of left eye, right eye, nose, left and right mouth corner; `left` is the viewer's.
    pub landmarks: [[f32; 2]; 5],
    /// In [0, 1].
    pub score: f32,
}

impl Detection {
    /// How much this looks like the face that a picture was taken of.
    #[must_use]
    pub fn prominence(&self, width: u32, height: u32) -> f32 {
        self.bounding_box.prominence([width, height])
    }
}

/// What the detector made of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// Faces of at least [`SCORE_THRESHOLD`](facefold_core::SCORE_THRESHOLD), the main one first, then by falling prominence.
    pub faces: Vec<Detection>,
    /// The best score of any anchor in any attempt, which distinguishes a near miss from an empty
    /// picture.
    pub best_score: f32,
}

/// An SCRFD network on some executor.
pub struct Detector {
    executor: Box<dyn Executor>,
    /// For each stride, which outputs are scores, boxes and landmarks.
    heads: [Head; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    score: usize,
    bounding_box: usize,
    landmarks: usize,
}

/// How a picture is shown to the network: zeros added all round, and the input's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Pixels added on each side of the picture.
    pub padding: u32,
    /// Side of the input, which the longer side of the padded picture is scaled to.
    pub side: u32,
}

impl Detector {
    /// A detector from a network and the executor that runs it.
    ///
    /// Outputs are identified by their shapes, since files of this family name them differently
    /// (`score_8` or `448`): at each stride two anchors a cell with 1, 4 and 10 values each.
    ///
    /// # Errors
    /// A network without these nine outputs.
    pub fn new(network: &Network, executor: Box<dyn Executor>) -> Result<Self, InvalidNetwork> {
        let side = LEAST_SIDE as usize;
        let shapes = network.shapes(side, side)?;
        let find = |stride: usize, channels: usize| {
            let wanted = Shape { channels, height: side / stride, width: side / stride };
            let found = network.outputs.iter().position(|output| shapes[output.value.0] == wanted);
            found.ok_or_else(|| InvalidNetwork {
                network: network.name.clone(),
                layer: "outputs".to_owned(),
                problem: format!(
                    "expected an SCRFD detector with landmarks, found no output of {wanted} for \
                     an input of {side}x{side}"
                ),
            })
        };
        let head = |stride| {
            Ok(Head {
                score: find(stride, 2)?,
                bounding_box: find(stride, 8)?,
                landmarks: find(stride, 20)?,
            })
        };
        let heads = [head(STRIDES[0])?, head(STRIDES[1])?, head(STRIDES[2])?];
        Ok(Self { executor, heads })
    }

    /// What runs the network, for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        self.executor.describe()
    }

    /// Finds the faces of a picture.
    ///
    /// A face that fills the frame is missed, so a picture without faces is tried again with a
    /// quarter of its longer side in zeros all round, and then at another size.
    ///
    /// # Errors
    /// A failure of the executor.
    pub fn detect(&self, picture: &RgbImage) -> Result<Detections, EngineError> {
        let (width, height) = picture.dimensions();
        let mut best_score = 0.0_f32;
        for attempt in attempts(width, height) {
            let (mut faces, best) = self.attempt(picture, attempt)?;
            best_score = best_score.max(best);
            if !faces.is_empty() {
                // Stable: faces of equal prominence stay in the order of their scores.
                let prominence = |face: &Detection| face.prominence(width, height);
                faces.sort_by(|a, b| prominence(b).total_cmp(&prominence(a)));
                return Ok(Detections { faces, best_score });
            }
        }
        Ok(Detections { faces: Vec::new(), best_score })
    }

    fn attempt(
        &self,
        picture: &RgbImage,
        attempt: Attempt,
    ) -> Result<(Vec<Detection>, f32), EngineError> {
        let Attempt { padding, side } = attempt;
        let padded = [picture.width() + 2 * padding, picture.height() + 2 * padding];
        let [width, height] = fitted(padded, side);
        let input = input(resize(picture, padding, width, height), side as usize);
        let shape = Shape { channels: 3, height: side as usize, width: side as usize };
        let images = ByteImages { data: &input, count: 1, shape, mean: 127.5, scale: 1.0 / 128.0 };
        let outputs = self.executor.run_bytes(images)?;
        let output = |index: usize| values(&outputs, index);
        let scale = [padded[0] as f32 / width as f32, padded[1] as f32 / height as f32];
        let place = output::Placement { scale, offset: padding as f32 };
        let mut candidates = Vec::new();
        let mut best_score = 0.0_f32;
        for (stride, head) in STRIDES.into_iter().zip(self.heads) {
            let grid = output::Grid {
                stride,
                cells: side as usize / stride,
                scores: output(head.score)?,
                boxes: output(head.bounding_box)?,
                landmarks: output(head.landmarks)?,
            };
            best_score = best_score.max(grid.candidates(&place, &mut candidates)?);
        }
        Ok((suppress::suppress(candidates), best_score))
    }
}

fn values(outputs: &[Tensor], index: usize) -> Result<&[f32], EngineError> {
    outputs
        .get(index)
        .map(|tensor| tensor.data.as_slice())
        .ok_or(EngineError::Batch { expected: index + 1, found: outputs.len() })
}

/// The input's side for a picture whose longer side has this many pixels: rounded up to a
/// multiple of 32, at least 256, at most 640.
#[must_use]
pub fn input_side(longer: u32) -> u32 {
    longer.clamp(LEAST_SIDE, MOST_SIDE).next_multiple_of(SIDE_STEP)
}

/// The attempts at a picture of this width and height, until one finds a face.
#[must_use]
pub fn attempts(width: u32, height: u32) -> [Attempt; 3] {
    let longer = width.max(height);
    let padding = longer / 4;
    let side = input_side(longer + 2 * padding);
    let other = if side == MOST_SIDE { OTHER_SIDE } else { MOST_SIDE };
    [
        Attempt { padding: 0, side: input_side(longer) },
        Attempt { padding, side },
        Attempt { padding, side: other },
    ]
}

/// Width and height scaled, up too, so that the longer one is `side`.
fn fitted(size: [u32; 2], side: u32) -> [u32; 2] {
    let longer = f64::from(size[0].max(size[1]));
    array::from_fn(|axis| ((f64::from(side) * f64::from(size[axis]) / longer) as u32).max(1))
}

/// The network's input: the picture top left on zero pixels.
fn input(picture: RgbImage, side: usize) -> Vec<u8> {
    let length = picture.width() as usize * 3;
    let mut bytes = picture.into_raw();
    if length == side * 3 {
        // Nothing to the right: zeros below, if any.
        bytes.resize(side * side * 3, 0);
        return bytes;
    }
    let mut input = vec![0; side * side * 3];
    for (to, from) in input.chunks_exact_mut(side * 3).zip(bytes.chunks_exact(length)) {
        to[..length].copy_from_slice(from);
    }
    input
}

#[cfg(test)]
mod tests;
