//! Pictures in base64 as clients write them: in lines, as data URLs, without padding, with the
//! alphabet of URLs.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use facefold_core::{RejectReason, Rejection};

/// The standard alphabet, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The bytes of a text in base64: what stands before a comma (`data:image/jpeg;base64`) and white
/// space are passed over.
///
/// # Errors
/// [`RejectReason::NotAPicture`], with the first character that is not base64.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Rejection> {
    let not_base64 =
        |found: String| Rejection::new(RejectReason::NotAPicture, format!("not base64: {found}"));
    let content = text.rsplit_once(',').map_or(text, |(_, content)| content);
    let mut plain = Vec::with_capacity(content.len());
    for (place, character) in content.char_indices() {
        match character {
            '-' => plain.push(b'+'),
            '_' => plain.push(b'/'),
            'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '/' | '=' => plain.push(character as u8),
            _ if character.is_whitespace() => {}
            _ => {
                let found = character.escape_default();
                return Err(not_base64(format!("found `{found}` at byte {place}")));
            }
        }
    }
    LENIENT.decode(&plain).map_err(|error| not_base64(error.to_string()))
}

/// The picture in bytes of `MessagePack`: their base64 content where that is a picture, else they
/// themselves.
pub(crate) fn picture(bytes: Vec<u8>) -> Vec<u8> {
    let text = str::from_utf8(&bytes).ok().filter(|text| text.is_ascii());
    let decoded = text.and_then(|text| decode(text).ok());
    decoded.filter(|decoded| image::guess_format(decoded).is_ok()).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::{decode, picture};

    /// The beginning of a JPEG, and every byte several times over: all of both alphabets occurs.
    fn bytes() -> Vec<u8> {
        let others = (0..997_u32).map(|i| (i * 7 + i / 256) as u8);
        [0xff, 0xd8, 0xff].into_iter().chain(others).collect()
    }

    #[test]
    fn every_form_gives_the_same_bytes() {
        for bytes in [bytes(), bytes()[..999].to_vec(), bytes()[..998].to_vec()] {
            let plain = STANDARD.encode(&bytes);
            let lines: Vec<&str> =
                plain.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect();
            for form in [
                plain.clone(),
                lines.join("\n"),
                lines.join("\r\n") + "\r\n",
                format!("  {plain}\t\n"),
                plain.trim_end_matches('=').to_owned(),
                URL_SAFE.encode(&bytes),
                URL_SAFE_NO_PAD.encode(&bytes),
                format!("data:image/jpeg;base64,{plain}"),
                format!("data:image/jpeg;name=a.jpg;base64, {}", lines.join("\n")),
                format!("base64,{plain}"),
            ] {
                assert!(decode(&form).unwrap() == bytes, "{}", &form[..40]);
                assert!(picture(form.clone().into_bytes()) == bytes, "{}", &form[..40]);
            }
            assert!(picture(bytes.clone()) == bytes);
        }
        assert_eq!(decode("").unwrap(), b"");
    }

    #[test]
    fn invalid_base64_is_rejected() {
        for (text, found) in [
            ("ab*d", "`*` at byte 2"),
            ("abcd\u{1b}", "`\\u{1b}` at byte 4"),
            ("a", ""),
            ("ab=c", ""),
        ] {
            let rejection = decode(text).unwrap_err();
            assert_eq!(rejection.reason.as_str(), "not-a-picture");
            assert!(rejection.detail.starts_with("not base64: "), "{}", rejection.detail);
            assert!(rejection.detail.contains(found), "{}", rejection.detail);
        }
        // Bytes that are no picture are rejected later with their own reason.
        for bytes in [b"no picture!".as_slice(), b"GIF89a", b""] {
            assert_eq!(picture(bytes.to_vec()), bytes);
        }
    }
}
