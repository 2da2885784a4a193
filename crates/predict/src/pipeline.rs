//! Bundles over the extractor in this process, with settings for each picture, as a service needs
//! them.

use facefold_core::{
    Extraction, Extractor, ExtractorError, ExtractorInfo, Face, FaceVariant, Fingerprint,
};
use facefold_heads::Bundle;
use facefold_vision::LocalExtractor;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::bundles::Bundles;
use crate::predictor::PredictError;

pub use facefold_vision::extractor::Wanted;

/// Extracts and answers in two steps. Called from several threads at once, one a core.
pub struct Pipeline {
    extractor: LocalExtractor,
    bundles: Bundles,
}

/// What a user must know of a bundle before believing it. Holds no path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BundleCard {
    /// Its name.
    pub name: String,
    /// One entry a head.
    pub tasks: Vec<TaskCard>,
    /// What the heads see of a face: `embedding`, `taps` or `both`.
    pub features: String,
    /// Model pack of the embeddings.
    pub model: String,
    /// What the training embeddings were made with.
    pub fingerprint: String,
    /// How labels became targets.
    pub label_policy: String,
    /// By task what the heads scored on subjects that were kept from training.
    pub metrics: Value,
    /// Terms of the weights and the pictures, one line.
    pub licence: String,
    /// Version of facefold that trained the heads.
    pub facefold_version: String,
}

/// One head of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskCard {
    /// `gender`, `age-group`, `age` or `class`.
    pub task: String,
    /// The kind of head: `mlp`, `svm`, `linear`.
    pub head: String,
    /// Names of its classes; empty for years.
    pub classes: Vec<String>,
}

impl Pipeline {
    /// Ties named bundles to an extractor.
    ///
    /// # Errors
    /// A bundle with another fingerprint than the extractor's, or one that cannot be restored.
    pub fn new(
        extractor: LocalExtractor,
        bundles: Vec<(String, Bundle)>,
    ) -> Result<Self, PredictError> {
        let bundles = Bundles::new(bundles, extractor.fingerprint(), extractor.info())?;
        Ok(Self { extractor, bundles })
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

    /// Whether a bundle was trained with mirrored crops, so that answers want them.
    #[must_use]
    pub fn wants_mirrored(&self) -> bool {
        self.info().taps_length > 0
    }

    /// What each bundle is.
    #[must_use]
    pub fn cards(&self) -> Vec<BundleCard> {
        self.bundles
            .iter()
            .map(|(name, bundle)| BundleCard {
                name: name.to_owned(),
                tasks: bundle
                    .heads
                    .iter()
                    .map(|head| TaskCard {
                        task: head.task.to_string(),
                        head: head.parts.kind.clone(),
                        classes: head.classes.clone(),
                    })
                    .collect(),
                features: bundle.features.to_string(),
                model: bundle.extractor.model.clone(),
                fingerprint: bundle.fingerprint.to_string(),
                label_policy: bundle.label_policy.clone(),
                metrics: bundle.metrics.clone(),
                licence: bundle.licence.clone(),
                facefold_version: bundle.facefold_version.clone(),
            })
            .collect()
    }

    /// Extracts pictures given as the bytes of their files: one outcome a picture, in order, with
    /// the same bits as one at a time.
    ///
    /// # Errors
    /// Only when the extractor itself fails; a bad picture is an [`Extraction::Rejected`].
    pub fn extract(&self, pictures: &[(&[u8], Wanted)]) -> Result<Vec<Extraction>, ExtractorError> {
        self.extractor.extract_together(pictures)
    }

    /// What the bundles tell about extracted faces: for each face, in order, one answer a bundle.
    ///
    /// # Errors
    /// [`PredictError::Head`] where a head fails.
    pub fn answers(&self, faces: &[Face], found: u32) -> Result<Vec<Vec<Answer>>, PredictError> {
        faces
            .iter()
            .filter(|face| face.variant == FaceVariant::PLAIN)
            .map(|plain| {
                let mirrored = faces.iter().find(|face| {
                    face.index == plain.index && face.variant == FaceVariant::MIRRORED
                });
                let told = self.bundles.tell("", plain, mirrored)?;
                Ok(told.into_iter().map(|answer| Answer { faces: found, ..answer }).collect())
            })
            .collect()
    }
}
