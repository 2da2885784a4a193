//! A checksum embedded in the file that it protects.
//!
//! A file that is written whole and read whole can hold a hash of its own bytes: 64 hexadecimal
//! digits behind a marker, which count as zeros while the hash is taken. It stays what it is to
//! every other reader, JSON or Parquet.
//!
//! ```
//! use facefold_core::checksum::{Checksum, UNSEALED, check, seal};
//! let marker = br#""checksum":""#;
//! let mut bytes = format!(r#"{{"age":35,"checksum":"{UNSEALED}"}}"#).into_bytes();
//! assert!(seal(&mut bytes, marker));
//! assert_eq!(check(&bytes, marker), Checksum::Right);
//! bytes[7] ^= 1;
//! assert_eq!(check(&bytes, marker), Checksum::Wrong);
//! ```

use std::ops::Range;

/// Stands in the place of the digits until [`seal`] puts them there.
pub const UNSEALED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The result of comparing a file's checksum with its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// They are what was written.
    Right,
    /// They are something else.
    Wrong,
    /// There is no marker, or too few bytes behind it.
    Absent,
}

/// Puts the digits behind the last marker; `false`, and nothing is changed, where there is no
/// marker with room behind it.
#[must_use]
pub fn seal(bytes: &mut [u8], marker: &[u8]) -> bool {
    let Some(digits) = place(bytes, marker) else { return false };
    let sum = sum(bytes, &digits);
    bytes[digits].copy_from_slice(sum.as_bytes());
    true
}

/// Compares bytes with the digits behind the last marker.
#[must_use]
pub fn check(bytes: &[u8], marker: &[u8]) -> Checksum {
    match place(bytes, marker) {
        None => Checksum::Absent,
        Some(digits) if bytes[digits.clone()] == *sum(bytes, &digits).as_bytes() => Checksum::Right,
        Some(_) => Checksum::Wrong,
    }
}

fn place(bytes: &[u8], marker: &[u8]) -> Option<Range<usize>> {
    let start = bytes.windows(marker.len()).rposition(|window| window == marker)? + marker.len();
    let digits = start..start + UNSEALED.len();
    (digits.end <= bytes.len()).then_some(digits)
}

fn sum(bytes: &[u8], digits: &Range<usize>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..digits.start]);
    hasher.update(UNSEALED.as_bytes());
    hasher.update(&bytes[digits.end..]);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::{Checksum, UNSEALED, check, seal};

    const MARKER: &[u8] = b"sum=";

    #[test]
    fn every_flipped_bit_is_detected_or_removes_the_marker() {
        let mut bytes = format!("text sum=none sum={UNSEALED} more").into_bytes();
        assert!(seal(&mut bytes, MARKER));
        assert_eq!(check(&bytes, MARKER), Checksum::Right);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(check(&flipped, MARKER), Checksum::Right, "bit {bit}");
        }
    }

    #[test]
    fn without_a_marker_or_room_there_is_no_checksum() {
        for text in ["", "sum", "sum=", "sum=0123", "no marker at all, and none to come either"] {
            let mut bytes = text.as_bytes().to_vec();
            assert_eq!(check(&bytes, MARKER), Checksum::Absent, "{text}");
            assert!(!seal(&mut bytes, MARKER));
            assert_eq!(bytes, text.as_bytes());
        }
    }
}
