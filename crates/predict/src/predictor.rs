//! Ties trained bundles to the extractor that their features come from.

use facefold_core::{
    Extraction, Extractor, ExtractorError, Face, FaceVariant, HeadError, Rejection,
};
use facefold_heads::{Bundle, BundleError, FeatureChoice};

use crate::bundles::Bundles;
use crate::prediction::FacePrediction;

/// Why a picture could not be predicted, other than a rejection.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// A bundle of another network, or a corrupt one.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A head that fails.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The extractor failed.
    #[error(transparent)]
    Extractor(#[from] ExtractorError),
    /// Bundles that want features the extractor does not give.
    #[error("the bundle `{bundle}` needs {needed} features a face, the extractor gives {found}")]
    Features {
        /// The bundle's name.
        bundle: String,
        /// What it needs.
        needed: usize,
        /// What there is.
        found: usize,
    },
}

/// Predicts pictures. Called from several threads at once.
pub struct Predictor {
    extractor: Box<dyn Extractor>,
    bundles: Bundles,
}

impl Predictor {
    /// Whether any of these bundles sees taps, so that the extractor must give them.
    #[must_use]
    pub fn needs_taps(bundles: &[(String, Bundle)]) -> bool {
        bundles.iter().any(|(_, bundle)| bundle.features != FeatureChoice::Embedding)
    }

    /// Ties named bundles to an extractor.
    ///
    /// # Errors
    /// A bundle with another fingerprint than the extractor's, or one that cannot be restored.
    pub fn new(
        extractor: Box<dyn Extractor>,
        bundles: Vec<(String, Bundle)>,
    ) -> Result<Self, PredictError> {
        let bundles = Bundles::new(bundles, extractor.fingerprint(), extractor.info())?;
        Ok(Self { extractor, bundles })
    }

    /// Number of bundles.
    #[must_use]
    pub fn bundles(&self) -> usize {
        self.bundles.len()
    }

    /// The age thresholds that any of the bundles decides at, ascending.
    #[must_use]
    pub fn thresholds(&self) -> Vec<u32> {
        self.bundles.thresholds()
    }

    /// The prediction of every bundle for a rejected picture.
    #[must_use]
    pub fn rejected(&self, path: &str, rejection: &Rejection) -> Vec<FacePrediction> {
        self.bundles.names().map(|name| FacePrediction::rejected(path, name, rejection)).collect()
    }

    /// The predictions for the faces of a picture: faces in the extractor's order, and for each
    /// face one prediction a bundle. A picture without a face gets one rejected prediction a
    /// bundle.
    ///
    /// # Errors
    /// [`PredictError`] where the extractor or a head fails; a rejected picture is a prediction.
    pub fn predict(&self, path: &str, bytes: &[u8]) -> Result<Vec<FacePrediction>, PredictError> {
        let mut outcomes = self.extractor.extract(&[bytes])?;
        match outcomes.pop() {
            Some(Extraction::Embedded { faces, found }) => self.predict_faces(path, &faces, found),
            Some(Extraction::Rejected(rejection)) => Ok(self.rejected(path, &rejection)),
            None => Err(ExtractorError::new("the extractor gave no outcome for a picture").into()),
        }
    }

    fn predict_faces(
        &self,
        path: &str,
        faces: &[Face],
        found: u32,
    ) -> Result<Vec<FacePrediction>, PredictError> {
        let mut indices: Vec<u16> = faces.iter().map(|face| face.index).collect();
        indices.dedup();
        let mut predictions = Vec::with_capacity(indices.len() * self.bundles.len());
        for index in indices {
            let of =
                |variant| faces.iter().find(|face| face.index == index && face.variant == variant);
            let Some(plain) = of(FaceVariant::PLAIN) else { continue };
            let predicted = self.bundles.predict_faces(path, plain, of(FaceVariant::MIRRORED))?;
            predictions.extend(
                predicted
                    .into_iter()
                    .map(|prediction| FacePrediction { faces: found, ..prediction }),
            );
        }
        Ok(predictions)
    }
}

#[cfg(test)]
mod tests {
    use facefold_vision::models::UNTRAINED;
    use facefold_vision::{LocalExtractor, LocalOptions};

    use super::Predictor;
    use crate::default_bundle::{DEFAULT_BUNDLE, default_bundle};

    #[test]
    fn the_embedded_bundle_refuses_another_network() {
        let extractor = LocalExtractor::new(&LocalOptions::new(&UNTRAINED)).unwrap();
        let bundle = default_bundle().unwrap();
        let expected = bundle.fingerprint.to_string();
        let predictor =
            Predictor::new(Box::new(extractor), vec![(DEFAULT_BUNDLE.to_owned(), bundle)]);
        let error = predictor.err().unwrap().to_string();
        for part in [expected.as_str(), "buffalo_s", "precision class", "use the model"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
