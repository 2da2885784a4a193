//! The interface of every executor of a network, whatever it runs on.

use facefold_kernels::KernelError;

use crate::network::{InvalidNetwork, Shape};

/// A batch of pictures of one size, already scaled to the network's range: NHWC, f32.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// n x height x width x channels values.
    pub data: &'a [f32],
    /// Number of pictures.
    pub count: usize,
    /// Shape of each.
    pub shape: Shape,
}

/// That a batch of so many values holds what its shape says, and what a network takes.
///
/// # Errors
/// A batch of another length or number of channels.
pub(crate) fn check_size(
    found: usize,
    count: usize,
    shape: Shape,
    channels: usize,
) -> Result<(), EngineError> {
    let expected = count * shape.size();
    if found != expected {
        return Err(EngineError::Batch { expected, found });
    }
    if shape.channels != channels {
        return Err(EngineError::Channels { expected: channels, found: shape.channels });
    }
    Ok(())
}

impl Images<'_> {
    /// That the batch has the size that its shape says and the network's channels, and that all
    /// values are finite.
    ///
    /// # Errors
    /// As for [`check_size`], or a value that is not finite.
    pub(crate) fn check(&self, channels: usize) -> Result<(), EngineError> {
        check_size(self.data.len(), self.count, self.shape, channels)?;
        let mut pictures = self.data.chunks_exact(self.shape.size().max(1));
        match pictures.position(|picture| !are_finite(picture)) {
            Some(picture) => Err(EngineError::NotFinite { picture }),
            None => Ok(()),
        }
    }
}

/// A batch of pictures of one size in bytes: NHWC. The network takes `(byte - mean) * scale`.
#[derive(Debug, Clone, Copy)]
pub struct ByteImages<'a> {
    /// n x height x width x channels bytes.
    pub data: &'a [u8],
    /// Number of pictures.
    pub count: usize,
    /// Shape of each.
    pub shape: Shape,
    /// The byte that becomes 0.
    pub mean: f32,
    /// What one step of a byte becomes.
    pub scale: f32,
}

impl ByteImages<'_> {
    /// The network's input, as [`Images`] hold it.
    #[must_use]
    pub fn scaled(&self) -> Vec<f32> {
        self.data.iter().map(|&byte| (f32::from(byte) - self.mean) * self.scale).collect()
    }
}

/// Whether all values are finite. Not `all`: without an early way out, compilers test many values
/// at once.
pub(crate) fn are_finite(values: &[f32]) -> bool {
    !values.iter().fold(false, |found, value| found | !value.is_finite())
}

/// One output of a network for a batch: NHWC, f32. A row has height and width 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// n x height x width x channels values.
    pub data: Vec<f32>,
    /// Number of pictures.
    pub count: usize,
    /// Shape for each picture.
    pub shape: Shape,
}

/// Runs one network. Called from several threads at once; the bits of a picture's outputs do not
/// depend on the other pictures in the batch.
pub trait Executor: Send + Sync {
    /// Computes the network's outputs, in the order of [`crate::Network::outputs`].
    ///
    /// # Errors
    /// A picture size that the network cannot take, or a failure of the device.
    fn run(&self, images: Images<'_>) -> Result<Vec<Tensor>, EngineError>;

    /// The same for pictures in bytes, to the bit; executors may scale them on the way.
    ///
    /// # Errors
    /// As for [`Self::run`].
    fn run_bytes(&self, images: ByteImages<'_>) -> Result<Vec<Tensor>, EngineError> {
        let data = images.scaled();
        self.run(Images { data: &data, count: images.count, shape: images.shape })
    }

    /// What runs, for reports: `candle f32`, `engine bf16x3 (amx)`.
    fn describe(&self) -> String;
}

/// Why a network did not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The description or the picture size does not fit.
    #[error(transparent)]
    Network(#[from] InvalidNetwork),
    /// The batch does not hold what its shape says.
    #[error("expected {expected} values for the batch, found {found}")]
    Batch {
        /// From the shape.
        expected: usize,
        /// In the slice.
        found: usize,
    },
    /// Pictures of another number of channels than the network's input.
    #[error("the network takes pictures of {expected} channels, found {found}")]
    Channels {
        /// The network's.
        expected: usize,
        /// The batch's.
        found: usize,
    },
    /// A picture with a value that is infinite or not a number: it could spread to other
    /// pictures.
    #[error("picture {picture} of the batch holds a value that is not finite; decode it again")]
    NotFinite {
        /// Its place in the batch.
        picture: usize,
    },
    /// Kernels that this machine does not have.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A device or library failed.
    #[error("{0}")]
    Device(String),
}
