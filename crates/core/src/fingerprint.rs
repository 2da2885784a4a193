//! A short name for everything that an embedding was made with, which stores and bundles compare.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The precision class of an extraction.
///
/// Members of one class give embeddings that agree to 1 - cosine <= 1e-6, so a store or bundle
/// made on one machine serves on any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// f32 in candle or in the CPU engine, and bf16x3.
    F32Equivalent,
    /// Plain bf16, cosine to f32 about 0.9999.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32Equivalent => "f32-equivalent",
            Self::Bf16 => "bf16",
        })
    }
}

/// A hash of the tensors of detector and embedding network in layer order, the version of the
/// preprocessing, and the precision class: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Starts a fingerprint; feed it everything that can change an embedding.
    #[must_use]
    pub fn builder() -> FingerprintBuilder {
        FingerprintBuilder(blake3::Hasher::new_derive_key("facefold 2026 fingerprint v1"))
    }

    /// The 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;

    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        let digits = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() == 32 && text.bytes().all(digits) {
            Ok(Self(text))
        } else {
            Err(InvalidFingerprint(text))
        }
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        Self::try_from(text.to_owned())
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a fingerprint of 32 lower-case hexadecimal digits, found `{0}`")]
pub struct InvalidFingerprint(String);

/// Collects what goes into a [`Fingerprint`].
pub struct FingerprintBuilder(blake3::Hasher);

impl FingerprintBuilder {
    /// Adds a named text: a version, a class, a model's name on a server.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.add(name, value.as_bytes());
        self
    }

    /// Adds a named tensor: its shape, then its values bit by bit.
    #[must_use]
    pub fn tensor(mut self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes: Vec<u8> = shape
            .iter()
            .flat_map(|&side| (side as u64).to_le_bytes())
            .chain(values.iter().flat_map(|value| value.to_le_bytes()))
            .collect();
        self.add(name, &bytes);
        self
    }

    /// The finished fingerprint.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().to_hex()[..32].to_owned())
    }

    // Lengths go first, so that no two lists of parts give the same bytes.
    fn add(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn depends_on_names_values_and_field_boundaries() {
        let of = |name: &str, value: &str| Fingerprint::builder().text(name, value).finish();
        assert_eq!(of("a", "b"), of("a", "b"));
        assert_ne!(of("a", "b"), of("ab", ""));
        let tensor =
            |shape: &[usize]| Fingerprint::builder().tensor("w", shape, &[1.0, 2.0]).finish();
        assert_ne!(tensor(&[1, 2]), tensor(&[2, 1]));
    }

    #[test]
    fn parses_its_own_display_only() {
        let made = Fingerprint::builder().text("a", "b").finish();
        assert_eq!(made.to_string().parse::<Fingerprint>().unwrap(), made);
        assert!("xyz".parse::<Fingerprint>().unwrap_err().to_string().contains("xyz"));
    }
}
