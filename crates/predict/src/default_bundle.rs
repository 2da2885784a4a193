//! The bundle embedded in the program, so that a picture is predicted without any other file than
//! the network's weights.
//!
//! `scripts/default_bundle` makes it anew; `docs/default-bundle.md` has what it was trained on and
//! what it must not be used for.

use facefold_heads::{Bundle, BundleError};

/// The name of the embedded bundle in predictions.
pub const DEFAULT_BUNDLE: &str = "default";

const BYTES: &[u8] = include_bytes!("../assets/default.facefold");

/// The embedded bundle, for the embeddings of `buffalo_s` at its default precision class.
///
/// ```
/// # fn main() -> Result<(), facefold_heads::BundleError> {
/// let bundle = facefold_predict::default_bundle()?;
/// assert_eq!(bundle.extractor.model, "buffalo_s");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`BundleError::Corrupt`] where the program was built with a file that is no bundle.
pub fn default_bundle() -> Result<Bundle, BundleError> {
    let corrupt = |reason| BundleError::Corrupt { path: DEFAULT_BUNDLE.into(), reason };
    Bundle::from_bytes(BYTES).map_err(corrupt)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use facefold_core::{Precision, Task};
    use facefold_vision::models::BUFFALO_S;

    use super::{BYTES, default_bundle};

    #[test]
    fn the_embedded_bundle_is_small_and_of_the_default_network() {
        assert!(BYTES.len() <= 6_000_000, "{} bytes", BYTES.len());
        let bundle = default_bundle().unwrap();
        assert_eq!(bundle.extractor.model, BUFFALO_S.name);
        assert_eq!(bundle.extractor.precision, Precision::F32Equivalent);
        let tasks: BTreeSet<Task> = bundle.heads.iter().map(|head| head.task).collect();
        assert_eq!(tasks, BTreeSet::from([Task::Gender, Task::AgeGroup, Task::Age]));
        assert!(bundle.heads.iter().any(|head| head.age_intervals.is_some()));
        assert!(!bundle.training.is_empty() && bundle.licence.contains("non-commercial"));
        assert!(!bundle.command.contains('/'), "a path: {}", bundle.command);
        // As it was written: nothing is lost or rounded a second time.
        assert!(bundle.to_bytes().unwrap() == BYTES);
    }
}
