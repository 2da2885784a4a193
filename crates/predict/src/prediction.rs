//! The predictions of a bundle for a face.

use facefold_core::targets::most_probable;
use facefold_core::{
    AgeDecision, AgeThreshold, BoundingBox, DecisionAges, Familiarity, Gender, Rejection,
    probability_over,
};
use serde::{Serialize, Serializer};

/// How a picture ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// A face was found and predicted.
    Ok,
    /// No prediction, with the reason.
    Rejected(Rejection),
}

impl Status {
    /// `ok`, or the reason of the rejection.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected(rejection) => rejection.reason.as_str(),
        }
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One of several classes with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassPrediction {
    /// The most probable class, of equally probable ones the first.
    pub label: String,
    /// Its probability in [0, 1], as calibrated on validation rows.
    pub probability: f32,
    /// The probability of every class, in the bundle's order.
    pub probabilities: Vec<(String, f32)>,
    /// Entropy of the probabilities over that of equal ones: 0 where the head is sure of one class,
    /// 1 for a uniform distribution.
    pub uncertainty: f32,
}

impl ClassPrediction {
    /// The most probable class, of equally probable ones the first; `None` without classes.
    #[must_use]
    pub fn new(probabilities: Vec<(String, f32)>) -> Option<Self> {
        let predicted = most_probable(probabilities.iter().map(|(_, share)| *share))?;
        let (label, probability) = probabilities.get(predicted).cloned()?;
        let entropy = |share: f32| if share > 0.0 { -share * share.ln() } else { 0.0 };
        let most = (probabilities.len().max(2) as f32).ln();
        let sum: f32 = probabilities.iter().map(|(_, share)| entropy(*share)).sum();
        let uncertainty = (sum / most).clamp(0.0, 1.0);
        Some(Self { label, probability, probabilities, uncertainty })
    }
}

/// The decision at one age threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ThresholdDecision {
    /// The threshold, in years.
    pub age: u32,
    /// Over, under, or undecided within the bound on errors.
    pub decision: AgeDecision,
    /// Probability of being that old or older, by the predicted distribution; none where the head
    /// predicts none.
    pub probability_over: Option<f32>,
}

impl ThresholdDecision {
    /// The decision that a head's prediction gives: by its distribution, or by the predicted age
    /// where it predicts no distribution.
    #[must_use]
    pub fn new(limits: &AgeThreshold, age: f32, distribution: Option<&[f32]>) -> Self {
        let decision = limits.decide(distribution.map_or_else(|| age.into(), DecisionAges::of));
        Self { decision, ..Self::unfamiliar(limits, distribution) }
    }

    /// No decision: about a face unlike the training faces, whatever is predicted of it.
    #[must_use]
    pub fn unfamiliar(limits: &AgeThreshold, distribution: Option<&[f32]>) -> Self {
        let probability_over =
            distribution.map(|probabilities| probability_over(probabilities, limits.age));
        Self { age: limits.age, decision: AgeDecision::Undecided, probability_over }
    }
}

/// The predictions of one bundle for one face; `None` for tasks without a head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FacePrediction {
    /// The picture's path; of bytes the name that they came under.
    pub path: String,
    /// How it ended.
    pub status: Status,
    /// What exactly was wrong with a rejected picture.
    pub detail: Option<String>,
    /// The bundle.
    pub bundle: String,
    /// 0 for the main face.
    pub face_index: u16,
    /// Number of faces found in the picture.
    pub faces_found: u32,
    /// Left, top, right, bottom in pixels of the upright picture.
    pub bounding_box: Option<BoundingBox>,
    /// x, y of left eye, right eye, nose, left and right mouth corner in pixels of the upright
    /// picture; `left` is the viewer's left. Of an aligned crop where a crop has them.
    pub landmarks: Option<[[f32; 2]; 5]>,
    /// Detector score in [0, 1]; 1 where no face was looked for.
    pub score: Option<f32>,
    /// Norm of the embedding.
    pub norm: Option<f32>,
    /// How similar the face is to the training faces, where the bundle estimates it: what it
    /// predicts for an unfamiliar face is little more than a guess.
    pub familiarity: Option<Familiarity>,
    /// Gender as annotators would put it.
    pub gender: Option<ClassPrediction>,
    /// Age group.
    pub age_group: Option<ClassPrediction>,
    /// Age in years.
    pub age: Option<f32>,
    /// Lower end of the interval in which eight of ten true ages lie, where the bundle has one; the
    /// interval of an unfamiliar face is wider.
    pub age_low: Option<f32>,
    /// Upper end of that interval.
    pub age_high: Option<f32>,
    /// How much the age varies while units of the network are dropped as in training, as a standard
    /// deviation in years; for heads that estimate it (Monte-Carlo dropout).
    pub age_mc_dropout_uncertainty: Option<f32>,
    /// Standard deviation of the predicted age distribution, in years, where the head predicts one.
    pub age_uncertainty: Option<f32>,
    /// Predicted probabilities of the ages 0, 1, 2, … years, which sum to 1; where the head predicts
    /// them.
    pub age_distribution: Option<Vec<f32>>,
    /// Decisions at the age thresholds that the bundle was trained for, ascending.
    pub thresholds: Vec<ThresholdDecision>,
    /// Folder name, for a class-per-folder bundle.
    pub class: Option<ClassPrediction>,
}

impl FacePrediction {
    /// A prediction without a face.
    #[must_use]
    pub fn rejected(path: &str, bundle: &str, rejection: &Rejection) -> Self {
        Self {
            status: Status::Rejected(rejection.clone()),
            detail: Some(rejection.detail.clone()),
            ..Self::empty(path, bundle)
        }
    }

    pub(crate) fn empty(path: &str, bundle: &str) -> Self {
        Self {
            path: path.to_owned(),
            status: Status::Ok,
            detail: None,
            bundle: bundle.to_owned(),
            face_index: 0,
            faces_found: 0,
            bounding_box: None,
            landmarks: None,
            score: None,
            norm: None,
            familiarity: None,
            gender: None,
            age_group: None,
            age: None,
            age_low: None,
            age_high: None,
            age_mc_dropout_uncertainty: None,
            age_uncertainty: None,
            age_distribution: None,
            thresholds: Vec::new(),
            class: None,
        }
    }

    /// What is decided at an age threshold, where the bundle decides at that.
    #[must_use]
    pub fn decision_at(&self, age: u32) -> Option<AgeDecision> {
        self.thresholds.iter().find(|at| at.age == age).map(|at| at.decision)
    }

    /// Whether the face is unlike those that the bundle was trained on.
    #[must_use]
    pub fn is_unfamiliar(&self) -> bool {
        self.familiarity.is_some_and(|face| face.unfamiliar)
    }

    /// `f` or `m`, where the bundle predicts gender.
    #[must_use]
    pub fn gender_letter(&self) -> Option<&'static str> {
        Gender::parse(&self.gender.as_ref()?.label).map(Gender::letter)
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{AgeDecision, AgeThreshold};

    use super::{ClassPrediction, ThresholdDecision};

    #[test]
    fn uncertainty_is_0_for_one_class_and_1_for_equal_probabilities() {
        let of = |probabilities: &[f32]| {
            let named = probabilities.iter().map(|&share| (share.to_string(), share)).collect();
            ClassPrediction::new(named).unwrap().uncertainty
        };
        assert_eq!(of(&[0.0, 1.0]), 0.0);
        assert!((of(&[0.25; 4]) - 1.0).abs() < 1e-6);
        // scipy.stats.entropy([0.9, 0.1]) / numpy.log(2)
        assert!((of(&[0.9, 0.1]) - 0.468_995_6).abs() < 1e-6);
        assert!(ClassPrediction::new(Vec::new()).is_none());
    }

    #[test]
    fn of_equally_probable_classes_the_first_is_predicted() {
        let named =
            [("a", 0.2), ("b", 0.4), ("c", 0.4)].map(|(name, share)| (name.to_owned(), share));
        let predicted = ClassPrediction::new(named.to_vec()).unwrap();
        assert_eq!((predicted.label.as_str(), predicted.probability), ("b", 0.4));
    }

    #[test]
    fn decisions_use_the_distribution_or_else_the_age() {
        let bound = "1%".parse().unwrap();
        let limits = AgeThreshold::choose(18, bound, &[20.5; 400], &[15.5; 400]);
        assert_eq!((limits.over_from, limits.under_below), (Some(21), Some(15)));
        let mut probabilities = vec![0.0; 117];
        (probabilities[17], probabilities[30]) = (0.05, 0.95);
        let found = ThresholdDecision::new(&limits, 10.0, Some(&probabilities));
        assert_eq!((found.decision, found.probability_over), (AgeDecision::Over, Some(0.95)));
        let found = ThresholdDecision::unfamiliar(&limits, Some(&probabilities));
        assert_eq!((found.decision, found.probability_over), (AgeDecision::Undecided, Some(0.95)));
        let found = ThresholdDecision::new(&limits, 20.9, None);
        assert_eq!((found.decision, found.probability_over), (AgeDecision::Undecided, None));
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(text, r#"{"age":18,"decision":"undecided","probability_over":null}"#);
    }
}
