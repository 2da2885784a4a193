//! Faces of all dialects: checked embeddings, and the choice of the main face.

use facefold_core::{BoundingBox, Embedding, Rejection, SCORE_THRESHOLD};

/// Length of an embedding; all ArcFace networks of these containers have it.
pub const EMBEDDING_LENGTH: usize = 512;

/// How far from 1 the length of a unit embedding may be; half-precision servers are 5e-4 off.
const UNIT_TOLERANCE: f64 = 2e-3;

/// A face as a server describes it. Coordinates are pixels of the picture that was sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DetectedFace {
    /// Around the face.
    pub bounding_box: BoundingBox,
    /// x, y of left eye, right eye, nose, left and right mouth corner.
    pub landmarks: [[f32; 2]; 5],
    /// In [0, 1].
    pub score: f32,
    /// The embedding, or why it is none.
    pub embedding: Result<CheckedEmbedding, BadEmbedding>,
}

/// A checked embedding: scaled by its norm, or of unit length where the server gives no norm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CheckedEmbedding {
    pub embedding: Embedding,
    pub norm: Option<f32>,
}

/// A server's response for one picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaceResponse {
    /// The faces, in any order; none where the server found none.
    Faces(Vec<DetectedFace>),
    /// The embedding of a crop.
    Crop(Result<CheckedEmbedding, BadEmbedding>),
    /// A rejection that the server vouches for: only facefold itself gives any.
    Rejected(Rejection),
}

/// Values from a server that are no embedding.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadEmbedding {
    /// No list of numbers, as InsightFace-REST gives for a norm of zero.
    #[error("expected {EMBEDDING_LENGTH} values, found no list of numbers")]
    NoList,
    /// Too few or too many values.
    #[error("expected {EMBEDDING_LENGTH} values, found {0}")]
    Length(usize),
    /// A value that is infinite or not a number.
    #[error("expected finite values, found one at index {0} that is not")]
    NotFinite(usize),
    /// Values that are not of unit length.
    #[error("expected values of unit length, found length {0}")]
    NotUnit(f64),
    /// A norm that no embedding can have.
    #[error("expected a norm above 0, found {0}")]
    Norm(f64),
}

/// Checks the values of a unit embedding, NaN standing for whatever was no number, and scales them
/// by the norm, if there is one.
pub(crate) fn embedded(
    values: &[f64],
    norm: Option<f64>,
) -> Result<CheckedEmbedding, BadEmbedding> {
    if values.len() != EMBEDDING_LENGTH {
        return Err(BadEmbedding::Length(values.len()));
    }
    if let Some(index) = values.iter().position(|&value| !(value as f32).is_finite()) {
        return Err(BadEmbedding::NotFinite(index));
    }
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    if (length - 1.0).abs() > UNIT_TOLERANCE {
        return Err(BadEmbedding::NotUnit(length));
    }
    if let Some(norm) = norm
        && !((norm as f32).is_finite() && norm as f32 > 0.0)
    {
        return Err(BadEmbedding::Norm(norm));
    }
    let scale = norm.unwrap_or(1.0);
    let values: Vec<f32> = values.iter().map(|value| (value * scale) as f32).collect();
    let embedding = Embedding::new(values).map_err(|_| BadEmbedding::Norm(scale))?;
    Ok(CheckedEmbedding { embedding, norm: norm.map(|norm| norm as f32) })
}

impl DetectedFace {
    /// The face with the coordinates of the picture: what was sent was divided by `reduction`, and
    /// had the picture so many pixels from the left and the top. Coordinates are of pixels' centres.
    pub(crate) fn in_picture(mut self, reduction: u32, offset: u32) -> Self {
        let (factor, offset) = (reduction as f32, offset as f32);
        let moved = |value: f32| match reduction {
            // To the bit.
            1 => value - offset,
            _ => (value + 0.5) * factor - 0.5 - offset,
        };
        self.bounding_box = <[f32; 4]>::from(self.bounding_box).map(moved).into();
        for value in self.landmarks.iter_mut().flatten() {
            *value = moved(*value);
        }
        self
    }

    /// Length of the box's longer side.
    pub(crate) fn longer_side(&self) -> f32 {
        self.bounding_box.width().max(self.bounding_box.height())
    }
}

/// The face that is meant in a picture of this size, and how many there are. Faces below the
/// threshold count as none, whatever threshold the server used.
pub(crate) fn main_face(faces: Vec<DetectedFace>, size: [u32; 2]) -> Option<(DetectedFace, u32)> {
    let mut faces: Vec<DetectedFace> =
        faces.into_iter().filter(|face| face.score >= SCORE_THRESHOLD).collect();
    let count = faces.len() as u32;
    // Stable, so that of equally prominent faces the better score wins, as in the local extractor.
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    faces.sort_by(|a, b| {
        b.bounding_box.prominence(size).total_cmp(&a.bounding_box.prominence(size))
    });
    Some((faces.into_iter().next()?, count))
}

#[cfg(test)]
mod tests {
    use super::{BadEmbedding, DetectedFace, EMBEDDING_LENGTH, embedded, main_face};

    fn unit() -> Vec<f64> {
        vec![(1.0 / EMBEDDING_LENGTH as f64).sqrt(); EMBEDDING_LENGTH]
    }

    #[test]
    fn an_embedding_is_scaled_by_its_norm_or_left_at_unit_length() {
        let scaled = embedded(&unit(), Some(20.0)).unwrap();
        assert!((scaled.embedding.norm() - 20.0).abs() < 1e-4);
        assert_eq!(scaled.norm, Some(20.0));
        let bare = embedded(&unit(), None).unwrap();
        assert!((bare.embedding.norm() - 1.0).abs() < 1e-6);
        assert_eq!(bare.norm, None);
    }

    #[test]
    fn invalid_values_have_distinct_errors() {
        assert_eq!(embedded(&unit()[1..], None), Err(BadEmbedding::Length(511)));
        let mut values = unit();
        values[7] = f64::NAN;
        assert_eq!(embedded(&values, Some(1.0)), Err(BadEmbedding::NotFinite(7)));
        values[7] = 1e300;
        assert_eq!(embedded(&values, Some(1.0)), Err(BadEmbedding::NotFinite(7)));
        let twice: Vec<f64> = unit().iter().map(|value| 2.0 * value).collect();
        assert!(matches!(embedded(&twice, None), Err(BadEmbedding::NotUnit(_))));
        assert!(matches!(embedded(&[0.0; 512], Some(0.0)), Err(BadEmbedding::NotUnit(_))));
        for norm in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(matches!(embedded(&unit(), Some(norm)), Err(BadEmbedding::Norm(_))), "{norm}");
        }
    }

    #[test]
    fn the_main_face_is_large_and_near_the_centre() {
        let face = |bounding_box: [f32; 4], score: f32| DetectedFace {
            bounding_box: bounding_box.into(),
            landmarks: [[0.0; 2]; 5],
            score,
            embedding: embedded(&unit(), None),
        };
        let faces = vec![
            face([0.0, 0.0, 40.0, 40.0], 0.99),
            face([80.0, 80.0, 118.0, 118.0], 0.6),
            face([50.0, 50.0, 150.0, 150.0], 0.49),
        ];
        let (main, count) = main_face(faces, [200, 200]).unwrap();
        assert_eq!((main.score, count), (0.6, 2));
        assert!(main_face(vec![face([0.0; 4], 0.4)], [9, 9]).is_none());
    }
}
