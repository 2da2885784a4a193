//! Which features of a face a head uses.

use std::fmt;
use std::str::FromStr;

use facefold_core::{ExtractorInfo, HeadError};
use serde::{Deserialize, Serialize};

/// Which features of a face a head uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureChoice {
    /// The embedding alone.
    Embedding,
    /// The taps alone.
    Taps,
    /// The embedding, then the taps.
    Both,
}

impl FeatureChoice {
    /// The name on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Taps => "taps",
            Self::Both => "both",
        }
    }

    /// Number of features that an extractor gives a head.
    #[must_use]
    pub fn width(self, extractor: &ExtractorInfo) -> usize {
        match self {
            Self::Embedding => extractor.embedding_length,
            Self::Taps => extractor.taps_length,
            Self::Both => extractor.embedding_length + extractor.taps_length,
        }
    }

    /// Whether heads on these features see mirrored crops too where a bundle's file does not say:
    /// those that see taps, as `extract --taps` embeds both crops.
    #[must_use]
    pub fn usually_mirrored(self) -> bool {
        self != Self::Embedding
    }
}

impl fmt::Display for FeatureChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FeatureChoice {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        [Self::Embedding, Self::Taps, Self::Both]
            .into_iter()
            .find(|choice| choice.as_str() == text)
            .ok_or_else(|| {
                HeadError::Setting(format!(
                    "expected features `embedding`, `taps` or `both`, found `{text}`"
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::FeatureChoice;

    #[test]
    fn names_parse_back() {
        for choice in [FeatureChoice::Embedding, FeatureChoice::Taps, FeatureChoice::Both] {
            assert_eq!(choice.to_string().parse::<FeatureChoice>().unwrap(), choice);
        }
        let error = "tap".parse::<FeatureChoice>().unwrap_err().to_string();
        assert!(error.contains("`taps`") && error.contains("`tap`"), "{error}");
    }
}
