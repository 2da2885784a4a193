//! Progress and cancellation: how long work speaks to whoever started it.

/// What long work is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Fetching a model pack; counted in bytes.
    Fetching,
    /// Drawing synthetic pictures.
    Drawing,
    /// Embedding pictures.
    Extracting,
    /// Reading embeddings that another program made.
    Importing,
    /// Fitting heads.
    Fitting,
    /// Predicting for pictures.
    Predicting,
    /// Predicting for the frames of a video.
    Frames,
    /// Computing occlusion maps of pictures.
    Explaining,
}

impl Stage {
    /// The word for it: `extracting`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::Drawing => "drawing",
            Self::Extracting => "extracting",
            Self::Importing => "importing",
            Self::Fitting => "fitting",
            Self::Predicting => "predicting",
            Self::Frames => "frames",
            Self::Explaining => "explaining",
        }
    }
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The stage.
    pub stage: Stage,
    /// Items (of [`Stage::Fetching`], bytes) that are finished.
    pub done: u64,
    /// Items of the whole stage, where that is known.
    pub total: Option<u64>,
    /// The item that was finished last, where it has a name; else empty.
    pub item: &'a str,
}

/// Listens to long work, and may ask it to stop. Called from several threads at once.
///
/// Every method has a default that does nothing: `&()` is a listener that hears nothing and never
/// stops the work.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use facefold::{Progress, Step};
///
/// /// Prints to stderr, and stops when the flag is set.
/// struct Printed(AtomicBool);
///
/// impl Progress for Printed {
///     fn step(&self, step: Step<'_>) {
///         eprintln!("{} {} of {:?}", step.stage.as_str(), step.done, step.total);
///     }
///     fn note(&self, message: &str) {
///         eprintln!("{message}");
///     }
///     fn is_cancelled(&self) -> bool {
///         self.0.load(Ordering::Relaxed)
///     }
/// }
/// ```
pub trait Progress: Sync {
    /// An item of a stage is finished. Steps may arrive slightly out of order.
    fn step(&self, _step: Step<'_>) {}

    /// Something a person should read now: rows that are left out and why, a warning, a choice that
    /// was made. Whatever concerns the result is also part of the result.
    fn note(&self, _message: &str) {}

    /// Whether to stop. Work stops before its next item, keeps what is finished and says so.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Progress for () {}
