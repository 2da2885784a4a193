//! Ties trained bundles to the networks that their features come from.

use facefold_core::{
    Extraction, Extractor, ExtractorError, ExtractorInfo, Face, FaceVariant, Fingerprint,
    HeadError, Rejection,
};
use facefold_heads::{Bundle, BundleError, FeatureChoice};
use facefold_vision::LocalExtractor;

use crate::bundles::{Bundles, Crops};
use crate::card::BundleCard;
use crate::prediction::FacePrediction;

pub use facefold_vision::extractor::ExtractionRequest;

/// Why there is no prediction for a picture, other than by its own fault.
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

/// Predicts for pictures. Called from several threads at once.
///
/// [`Self::predict`] does all for one picture. A service embeds several pictures together with
/// [`Self::extract`], and then predicts for their faces with [`Self::predictions`].
pub struct Predictor {
    pub(crate) extractor: LocalExtractor,
    pub(crate) bundles: Bundles,
    /// Pictures are aligned crops.
    aligned: bool,
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
        extractor: LocalExtractor,
        bundles: Vec<(String, Bundle)>,
    ) -> Result<Self, PredictError> {
        let bundles = Bundles::new(bundles, extractor.fingerprint(), extractor.info())?;
        let aligned = !extractor.detects();
        Ok(Self { extractor, bundles, aligned })
    }

    /// The same for pictures that are aligned crops: [`Self::predict`] looks for no face, and takes
    /// each picture whole. The predictions for a crop are those for the face that it was cut out of.
    #[must_use]
    pub fn of_aligned_crops(self) -> Self {
        Self { aligned: true, ..self }
    }

    /// Whether pictures are taken whole, as aligned crops.
    #[must_use]
    pub fn takes_aligned_crops(&self) -> bool {
        self.aligned
    }

    /// What the embeddings are made with.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        self.extractor.fingerprint()
    }

    /// What the extractor is.
    #[must_use]
    pub fn info(&self) -> &ExtractorInfo {
        self.extractor.info()
    }

    /// Number of bundles.
    #[must_use]
    pub fn bundles(&self) -> usize {
        self.bundles.len()
    }

    /// What each bundle is.
    #[must_use]
    pub fn cards(&self) -> Vec<BundleCard> {
        self.bundles.iter().map(|(name, bundle)| BundleCard::new(name, bundle)).collect()
    }

    /// The age thresholds that any of the bundles decides at, ascending.
    #[must_use]
    pub fn thresholds(&self) -> Vec<u32> {
        self.bundles.thresholds()
    }

    /// Whether a bundle was trained on mirrored crops too, so that pictures are to be extracted with
    /// them; other bundles do not look at them.
    #[must_use]
    pub fn wants_mirrored(&self) -> bool {
        self.bundles.iter().any(|(_, bundle)| bundle.mirrored)
    }

    /// The prediction of every bundle for a rejected picture.
    #[must_use]
    pub fn rejected(&self, path: &str, rejection: &Rejection) -> Vec<FacePrediction> {
        self.bundles.names().map(|name| FacePrediction::rejected(path, name, rejection)).collect()
    }

    /// Predicts for the faces of a picture: faces in the extractor's order, and for each face one
    /// prediction a bundle. A picture without a face gets one rejected prediction a bundle.
    ///
    /// # Errors
    /// [`PredictError`] where the extractor or a head fails; a rejected picture is a prediction.
    pub fn predict(&self, path: &str, bytes: &[u8]) -> Result<Vec<FacePrediction>, PredictError> {
        let (aligned, mirrored) = (self.aligned, self.wants_mirrored());
        let request = ExtractionRequest { aligned, mirrored, ..self.extractor.request() };
        match self.extract(&[(bytes, request)])?.pop() {
            Some(Extraction::Embedded { faces, found }) => {
                let picture = ExtractedFaces { path, faces: &faces, found };
                Ok(self.predictions(&[picture])?.into_iter().flatten().flatten().collect())
            }
            Some(Extraction::Rejected(rejection)) => Ok(self.rejected(path, &rejection)),
            None => Err(ExtractorError::new("the extractor gave no outcome for a picture").into()),
        }
    }

    /// Extracts pictures given as the bytes of their files: one outcome a picture, in order, with
    /// the same bits as one at a time.
    ///
    /// # Errors
    /// Only when the extractor itself fails; a bad picture is an [`Extraction::Rejected`].
    pub fn extract(
        &self,
        pictures: &[(&[u8], ExtractionRequest)],
    ) -> Result<Vec<Extraction>, ExtractorError> {
        self.extractor.extract_together(pictures)
    }

    /// Predicts for the extracted faces of pictures, all in one call of each head: for each
    /// picture and each of its faces, in order, one prediction a bundle. Each bundle predicts as it
    /// does alone. One that was trained on mirrored crops too predicts a face that was extracted
    /// without one by its crop alone.
    ///
    /// # Errors
    /// [`PredictError::Head`] where a head fails.
    pub fn predictions(
        &self,
        pictures: &[ExtractedFaces<'_>],
    ) -> Result<Vec<Vec<Vec<FacePrediction>>>, PredictError> {
        let crops: Vec<Vec<Crops<'_>>> = pictures.iter().map(ExtractedFaces::crops).collect();
        let mut predictions = self.bundles.predict_faces(&crops.concat())?.into_iter();
        Ok(crops.iter().map(|faces| predictions.by_ref().take(faces.len()).collect()).collect())
    }
}

/// The faces that were extracted from a picture.
#[derive(Debug, Clone, Copy)]
pub struct ExtractedFaces<'a> {
    /// The picture.
    pub path: &'a str,
    /// Its faces, each with its variants.
    pub faces: &'a [Face],
    /// Number of faces found in it.
    pub found: u32,
}

impl<'a> ExtractedFaces<'a> {
    fn crops(&self) -> Vec<Crops<'a>> {
        let Self { path, faces, found } = *self;
        let plain = faces.iter().filter(|face| face.variant == FaceVariant::PLAIN);
        let crops = plain.map(|plain| {
            let is_mirrored =
                |face: &&Face| face.index == plain.index && face.variant == FaceVariant::MIRRORED;
            Crops { path, found, plain, mirrored: faces.iter().find(is_mirrored) }
        });
        crops.collect()
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
        let predictor = Predictor::new(extractor, vec![(DEFAULT_BUNDLE.to_owned(), bundle)]);
        let error = predictor.err().unwrap().to_string();
        for part in [expected.as_str(), "buffalo_s", "precision class", "use the model"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
