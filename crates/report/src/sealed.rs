//! The bytes of a `report.json`, whose last entry is a checksum of them.

use facefold_core::checksum::{self, Checksum, UNSEALED};
use serde::Serialize;

/// Stands before the checksum.
const MARKER: &[u8] = br#","checksum":""#;

/// Stands behind it.
const END: &[u8] = b"\"}";

/// A document as JSON with its checksum as the last entry, and a line feed.
pub(crate) fn sealed(document: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(document)?;
    bytes.pop();
    for part in [MARKER, UNSEALED.as_bytes(), END, b"\n"] {
        bytes.extend_from_slice(part);
    }
    // The marker stands there.
    let _ = checksum::seal(&mut bytes, MARKER);
    Ok(bytes)
}

/// Refuses bytes that are not those that were sealed. Bytes without a checksum at their end pass: another program,
/// or an earlier version of this one, wrote them.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let is_sealed = bytes.trim_ascii_end().strip_suffix(END).is_some_and(|bytes| {
        let before = bytes.len().checked_sub(UNSEALED.len());
        before.is_some_and(|before| bytes[..before].ends_with(MARKER))
    });
    if is_sealed && checksum::check(bytes, MARKER) != Checksum::Right {
        return Err(
            "expected what its checksum says, found other bytes: it was damaged, or written by \
                    another program; copy it anew, repeat its run, or take its entry `checksum` out"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use facefold_core::checksum::UNSEALED;
    use serde_json::{Value, json};

    use super::{END, MARKER, check, sealed};

    #[test]
    fn every_flipped_bit_before_the_checksum_is_found() {
        let bytes = sealed(&json!({ "format": 1, "accuracy": 0.875 })).unwrap();
        check(&bytes).unwrap();
        let read: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read["accuracy"], 0.875);
        let document = bytes.len() - MARKER.len() - UNSEALED.len() - END.len() - 1;
        for bit in 0..8 * document {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            check(&damaged).unwrap_err();
        }
        // Of the checksum itself, too.
        let mut damaged = bytes.clone();
        damaged[document + 20] ^= 1;
        check(&damaged).unwrap_err();
    }

    #[test]
    fn bytes_of_another_program_pass() {
        let bytes = sealed(&json!({ "format": 1 })).unwrap();
        let read: Value = serde_json::from_slice(&bytes).unwrap();
        check(&serde_json::to_vec_pretty(&read).unwrap()).unwrap();
        check(b"{\"format\":1}").unwrap();
        check(b"").unwrap();
    }
}
