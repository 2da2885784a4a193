//! The quality of a face as numbers, and the least that a user accepts.

use std::str::FromStr;

use facefold_store::FaceSummary;

/// A measure of a face's quality: the higher, the better or brighter.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// The name on the command line.
    pub name: &'static str,
    /// The name in reports.
    pub title: &'static str,
    /// The number, where the face has it.
    pub of: fn(&FaceSummary) -> Option<f32>,
}

/// All that is known of a face's quality.
pub const MEASURES: [Measure; 5] = [
    Measure { name: "size", title: "face size (pixels)", of: |face| Some(face.size()) },
    Measure { name: "score", title: "detector score", of: |face| Some(face.score) },
    Measure { name: "norm", title: "embedding norm", of: |face| face.norm },
    Measure { name: "luminance", title: "luminance", of: |face| Some(face.luminance) },
    Measure { name: "sharpness", title: "sharpness", of: |face| Some(face.sharpness) },
];

/// The least value of a measure that a row may have.
#[derive(Debug, Clone)]
pub struct LeastQuality {
    measure: Measure,
    least: f32,
}

impl LeastQuality {
    /// The measure's name on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.measure.name
    }

    /// Whether the measure is of the picture, and not of the embedding.
    #[must_use]
    pub fn needs_picture(&self) -> bool {
        self.measure.name != "norm"
    }

    /// Why a face is not good enough, if it is not. A face without the number is.
    #[must_use]
    pub fn refuses(&self, face: &FaceSummary) -> Option<String> {
        let value = (self.measure.of)(face)?;
        // A number that is none is below everything.
        let enough = value >= self.least;
        (!enough).then(|| format!("{} below {}", self.measure.title, self.least))
    }
}

impl FromStr for LeastQuality {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || MEASURES.map(|measure| measure.name).join(", ");
        let (name, least) = text.split_once('=').ok_or_else(|| {
            format!("expected --min-quality WHAT=LEAST with WHAT of {}, found `{text}`", names())
        })?;
        let measure = MEASURES
            .into_iter()
            .find(|measure| measure.name == name.trim())
            .ok_or_else(|| format!("--min-quality: expected one of {}, found `{name}`", names()))?;
        match least.trim().parse::<f32>() {
            Ok(least) if least.is_finite() => Ok(Self { measure, least }),
            _ => Err(format!("--min-quality {name}: expected a number, found `{least}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LeastQuality;
    use facefold_store::FaceSummary;

    fn face(norm: Option<f32>) -> FaceSummary {
        FaceSummary {
            found: 1,
            norm,
            score: 0.7,
            luminance: 100.0,
            sharpness: f32::NAN,
            bounding_box: [10.0, 10.0, 50.0, 50.0].into(),
        }
    }

    #[test]
    fn faces_below_the_least_are_refused_with_the_reason() {
        let refused = |text: &str, norm| text.parse::<LeastQuality>().unwrap().refuses(&face(norm));
        assert_eq!(refused("size=40", None), None);
        assert_eq!(refused("size=41", None).unwrap(), "face size (pixels) below 41");
        assert_eq!(refused("score=0.71", None).unwrap(), "detector score below 0.71");
        assert_eq!(refused("norm=15", None), None, "not known, so not refused");
        assert_eq!(refused("norm=15", Some(14.0)).unwrap(), "embedding norm below 15");
        assert!(refused("sharpness=-1000000", None).is_some());
    }

    #[test]
    fn mistakes_name_what_is_known() {
        for text in ["size", "sise=3", "size=big", "size=NaN"] {
            let message = text.parse::<LeastQuality>().unwrap_err();
            assert!(message.contains("--min-quality"), "{message}");
        }
        assert!("sise=3".parse::<LeastQuality>().unwrap_err().contains("size, score, norm"));
    }
}
