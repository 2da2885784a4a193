//! Extraction: from the bytes of a picture to faces with embeddings, or to a typed rejection.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bounding_box::BoundingBox;
use crate::fingerprint::{Fingerprint, Precision};

/// Least score of the detector, 0 to 1, with which a box is a face; of all extractors, so that they see the same
/// faces.
pub const SCORE_THRESHOLD: f32 = 0.5;

/// blake3 of a picture's bytes: pictures with the same bytes have the same embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageKey([u8; 32]);

impl ImageKey {
    /// The key of a picture's bytes, as they lie in the file.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// A key from its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The rows of each picture that several rows show, byte for byte: rows ascending, pictures by their first
/// row. Rows without a key show no known picture.
///
/// It sorts 16 bytes a row, where a table of pictures would take a hundred.
///
/// ```
/// use facefold_core::{ImageKey, rows_of_equal_pictures};
/// let [a, b] = [b"a", b"b"].map(|bytes| Some(ImageKey::of(bytes)));
/// assert_eq!(rows_of_equal_pictures([b, a, None, a, a, None]), [[1, 3, 4]]);
/// ```
#[must_use]
pub fn rows_of_equal_pictures(
    keys: impl IntoIterator<Item = Option<ImageKey>, IntoIter: Clone>,
) -> Vec<Vec<usize>> {
    let keys = keys.into_iter();
    // The first bytes of a hash distinguish nearly all pictures.
    let start = |key: ImageKey| key.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let mut starts: Vec<(u64, usize)> =
        keys.clone().enumerate().filter_map(|(row, key)| Some((start(key?), row))).collect();
    starts.sort_unstable();
    let alike = |pair: &[(u64, usize)]| pair[0].0 == pair[1].0;
    let mut candidates: Vec<usize> = starts
        .windows(2)
        .filter(|pair| alike(pair))
        .flat_map(|pair| [pair[0].1, pair[1].1])
        .collect();
    drop(starts);
    candidates.sort_unstable();
    candidates.dedup();
    let mut wanted = candidates.into_iter().peekable();
    let mut pictures: HashMap<ImageKey, Vec<usize>> = HashMap::new();
    for (row, key) in keys.enumerate() {
        if wanted.next_if_eq(&row).is_some()
            && let Some(key) = key
        {
            pictures.entry(key).or_default().push(row);
        }
    }
    let mut found: Vec<Vec<usize>> = pictures.into_values().filter(|rows| rows.len() > 1).collect();
    found.sort_unstable();
    found
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl From<ImageKey> for String {
    fn from(key: ImageKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for ImageKey {
    type Error = InvalidImageKey;

    fn try_from(text: String) -> Result<Self, InvalidImageKey> {
        text.parse()
    }
}

/// A text that is no image key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an image key of 64 hexadecimal digits, found `{0}`")]
pub struct InvalidImageKey(String);

impl FromStr for ImageKey {
    type Err = InvalidImageKey;

    fn from_str(text: &str) -> Result<Self, InvalidImageKey> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| InvalidImageKey(text.to_owned()))
    }
}

/// An embedding as the network gives it: finite values, at least one, not normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Checks that every value is finite.
    ///
    /// # Errors
    /// An empty list, or the first value that is not finite.
    pub fn new(values: Vec<f32>) -> Result<Self, InvalidEmbedding> {
        if values.is_empty() {
            return Err(InvalidEmbedding::Empty);
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(InvalidEmbedding::NotFinite { index, value: values[index] }),
            None => Ok(Self(values)),
        }
    }

    /// The values.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Euclidean norm. For ArcFace it correlates with the quality of the picture.
    #[must_use]
    pub fn norm(&self) -> f32 {
        self.0.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt() as f32
    }

    /// Cosine of the angle to another embedding of the same length, in [-1, 1].
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f64 {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
        };
        let lengths = dot(&self.0, &self.0).sqrt() * dot(&other.0, &other.0).sqrt();
        dot(&self.0, &other.0) / lengths
    }
}

/// Values that are no embedding.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidEmbedding {
    /// No value at all.
    #[error("expected an embedding, found no values")]
    Empty,
    /// A value that is infinite or not a number.
    #[error("expected finite values, found {value} at index {index}")]
    NotFinite {
        /// Where it stands.
        index: usize,
        /// What stands there.
        value: f32,
    },
}

/// Which version of a picture an embedding was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaceVariant(pub u32);

impl FaceVariant {
    /// The aligned crop as it is.
    pub const PLAIN: Self = Self(0);
    /// The aligned crop mirrored left to right.
    pub const MIRRORED: Self = Self(1);

    /// Whether rows of this variant may only be trained on (augmentations).
    #[must_use]
    pub fn training_only(self) -> bool {
        self.0 > 1
    }

    /// The first augmented versions of a picture, so many of them.
    pub fn augmented(versions: u32) -> impl Iterator<Item = Self> {
        (0..versions).map(|version| Self(2 + version))
    }
}

/// One version of one face, embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// 0 is the main face; others only if all faces were requested.
    pub index: u16,
    /// As it is, mirrored, or an augmentation.
    pub variant: FaceVariant,
    /// The last layer's output, not normalised.
    pub embedding: Embedding,
    /// The embedding's norm as the backend gave it; none where a server sends unit embeddings only.
    pub norm: Option<f32>,
    /// Pooled intermediate maps: for each map its channel means, then its channel standard
    /// deviations over space. Empty if no taps were requested.
    pub taps: Vec<f32>,
    /// Left, top, right, bottom in pixels of the upright picture.
    pub bounding_box: BoundingBox,
    /// x, y of left eye, right eye, nose, left and right mouth corner, in pixels of the upright
    /// picture; `left` is the viewer's left.
    pub landmarks: [[f32; 2]; 5],
    /// Detector score in [0, 1]; 1 where detection was skipped.
    pub score: f32,
    /// Mean luma of the aligned crop, 0 to 255 (Rec. 601 weights).
    pub luminance: f32,
    /// Variance of the 4-neighbour Laplacian of the aligned crop's luma; higher is sharper.
    pub sharpness: f32,
}

/// Why a picture has no embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// The file cannot be read.
    Unreadable,
    /// The file is empty.
    Empty,
    /// The bytes are no picture of a known format.
    NotAPicture,
    /// The picture's data is corrupt.
    Undecodable,
    /// The picture's data ends early.
    Truncated,
    /// The program ended while it was at the picture.
    Crashed,
    /// More pixels than the limit allows.
    TooLarge,
    /// Fewer pixels than a face needs.
    TooSmall,
    /// A colour layout that has no agreed way to RGB.
    WrongChannels,
    /// Several frames: which one is labelled is unknown.
    Animated,
    /// The detector found no face, padded or not.
    NoFace,
    /// A face was found, with a score below the requested threshold.
    LowScore,
    /// The landmarks do not determine an alignment.
    BadLandmarks,
    /// The network or a server gave values that are no embedding.
    BadEmbedding,
}

impl RejectReason {
    /// Whether the file is at fault, which then has no pixels: it is unreadable, damaged or no picture.
    #[must_use]
    pub fn is_damage(self) -> bool {
        matches!(
            self,
            Self::Unreadable
                | Self::Empty
                | Self::NotAPicture
                | Self::Undecodable
                | Self::Truncated
                | Self::Crashed
        )
    }

    /// Whether the picture was decoded and no face of it can be used.
    #[must_use]
    pub fn is_without_face(self) -> bool {
        matches!(self, Self::NoFace | Self::LowScore | Self::TooSmall | Self::BadLandmarks)
    }

    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Unreadable,
        Self::Empty,
        Self::NotAPicture,
        Self::Undecodable,
        Self::Truncated,
        Self::Crashed,
        Self::TooLarge,
        Self::TooSmall,
        Self::WrongChannels,
        Self::Animated,
        Self::NoFace,
        Self::LowScore,
        Self::BadLandmarks,
        Self::BadEmbedding,
    ];

    /// The name used in stores, reports and on the terminal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Empty => "empty",
            Self::NotAPicture => "not-a-picture",
            Self::Undecodable => "undecodable",
            Self::Truncated => "truncated",
            Self::Crashed => "crashed",
            Self::TooLarge => "too-large",
            Self::TooSmall => "too-small",
            Self::WrongChannels => "wrong-channels",
            Self::Animated => "animated",
            Self::NoFace => "no-face",
            Self::LowScore => "low-score",
            Self::BadLandmarks => "bad-landmarks",
            Self::BadEmbedding => "bad-embedding",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a rejection reason such as `no-face`, found `{0}`")]
pub struct InvalidRejectReason(String);

impl FromStr for RejectReason {
    type Err = InvalidRejectReason;

    fn from_str(text: &str) -> Result<Self, InvalidRejectReason> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| InvalidRejectReason(text.to_owned()))
    }
}

/// A picture that gave no embedding, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The kind of failure.
    pub reason: RejectReason,
    /// What exactly was found, for a person: `ends after 1,204 of 5,120 bytes`.
    pub detail: String,
}

impl Rejection {
    /// A rejection with its detail.
    pub fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// How a picture ended: embedded, or rejected.
#[derive(Debug, Clone, PartialEq)]
pub enum Extraction {
    /// At least one face.
    Embedded {
        /// The main face first, each with all requested variants.
        faces: Vec<Face>,
        /// How many faces the detector found in all.
        found: u32,
    },
    /// No face can be used.
    Rejected(Rejection),
}

/// The taps that this version extracts, for any residual network: of the last two residual sums and
/// of the widest map behind them each channel's mean and standard deviation over space.
pub const TAPS_LAYOUT: &str = "moments of the last three maps";

/// The backend of embeddings that another program made: facefold can make no more of them.
pub const IMPORTED: &str = "import";

/// What an extractor is, for reports and for the head of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractorInfo {
    /// `local`, `insightface`, or [`IMPORTED`].
    pub backend: String,
    /// Model pack: `buffalo_s`, `buffalo_l`, `untrained`, or what a server calls itself.
    pub model: String,
    /// Detector's file or network name; `none` where detection is skipped.
    pub detector: String,
    /// Embedding network's file or network name.
    pub network: String,
    /// Precision class, part of the fingerprint.
    pub precision: Precision,
    /// What ran, which is not part of the fingerprint: `candle f32`, `engine bf16x3 (amx)`.
    pub execution: String,
    /// Length of an embedding.
    pub embedding_length: usize,
    /// Length of the taps; 0 without taps.
    pub taps_length: usize,
    /// What the taps are: [`TAPS_LAYOUT`]; empty without taps. Stores that name another are
    /// refused, unless the taps were imported.
    #[serde(default)]
    pub taps_layout: String,
    /// Terms of the weights, one line.
    pub licence: String,
}

impl ExtractorInfo {
    /// Whether another program made the embeddings.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.backend == IMPORTED
    }
}

/// A failure of the extractor itself, not of a picture: extraction stops, and can be resumed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExtractorError {
    /// What failed and what to do about it.
    pub message: String,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ExtractorError {
    /// A failure with nothing beneath it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }
}

/// Turns the bytes of pictures into faces with embeddings.
///
/// Implemented in process (`facefold-vision`) and as a client of a server
/// (`facefold-insightface`). Called from several threads at once.
pub trait Extractor: Send + Sync {
    /// What the embeddings are made with; a store refuses any other.
    fn fingerprint(&self) -> &Fingerprint;

    /// What this extractor is, for reports.
    fn info(&self) -> &ExtractorInfo;

    /// Extracts pictures given as the bytes of their files: one outcome a picture, in order.
    ///
    /// On one machine an outcome's bits depend on the picture's bytes alone, not on the others
    /// in the list.
    ///
    /// # Errors
    /// Only when the extractor itself fails; a bad picture is an [`Extraction::Rejected`].
    fn extract(&self, pictures: &[&[u8]]) -> Result<Vec<Extraction>, ExtractorError>;

    /// [`Self::extract`], with so many additional augmented versions of each picture's main face.
    ///
    /// # Errors
    /// As [`Self::extract`]; and where versions are requested of an extractor that makes none.
    fn extract_augmented(
        &self,
        pictures: &[(&[u8], u32)],
    ) -> Result<Vec<Extraction>, ExtractorError> {
        if pictures.iter().any(|(_, versions)| *versions > 0) {
            return Err(ExtractorError::new(format!(
                "the backend `{}` makes no augmented versions of pictures: extract without them, or \
                 with the backend `local`",
                self.info().backend
            )));
        }
        let pictures: Vec<&[u8]> = pictures.iter().map(|(bytes, _)| *bytes).collect();
        self.extract(&pictures)
    }
}

#[cfg(test)]
mod tests {
    use super::{Embedding, ImageKey, RejectReason};

    #[test]
    fn an_embedding_is_finite_by_construction() {
        let error = Embedding::new(vec![1.0, f32::NAN]).unwrap_err();
        assert!(error.to_string().contains("at index 1"), "{error}");
        assert!(Embedding::new(vec![]).is_err());
        assert_eq!(Embedding::new(vec![3.0, 4.0]).unwrap().norm(), 5.0);
    }

    #[test]
    fn keys_and_reasons_parse_their_own_display() {
        let key = ImageKey::of(b"picture");
        assert_eq!(key.to_string().parse::<ImageKey>().unwrap(), key);
        for reason in RejectReason::ALL {
            assert_eq!(reason.to_string().parse::<RejectReason>().unwrap(), reason);
        }
    }
}
