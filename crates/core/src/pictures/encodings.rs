//! What bytes that should be a list of paths are instead: text of another encoding, or no text.

use super::ENDINGS;

/// Fewer control characters than this are those of odd names.
const LEAST_CONTROLS: usize = 5;
/// Of so many bytes one is a control character in what is no text: in compressed data one of nine.
const BYTES_A_CONTROL: usize = 20;

/// Whether every four bytes are a character of UTF-32, with a byte order mark or without.
pub(super) fn is_utf32(bytes: &[u8]) -> bool {
    let quads = bytes.as_chunks::<4>().0;
    let all = |value: fn([u8; 4]) -> u32| {
        quads.iter().all(|quad| char::from_u32(value(*quad)).is_some_and(|c| c != '\0'))
    };
    quads.len() >= 2 && (all(u32::from_le_bytes) || all(u32::from_be_bytes))
}

/// Whether the bytes look like UTF-16 without a byte order mark: there is a picture's ending in two
/// bytes a letter; or a line feed in two bytes, and the rest is no text of single bytes.
///
/// A list with a NUL after each path can have zeros at the same places: one of names of one letter.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    let order = [u16::from_le_bytes, u16::from_be_bytes];
    order.into_iter().filter_map(|unit| decoded(bytes, unit)).any(|text| {
        let is_latin = || text.chars().all(|c| c < '\u{100}');
        has_ending(&text) || (text.contains('\n') && (is_latin() || !is_text(bytes)))
    })
}

/// The bytes as UTF-16; none where that has control characters, which names have not.
fn decoded(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
    let text: Option<String> = char::decode_utf16(units).map(Result::ok).collect();
    text.filter(|text| !text.contains(|c: char| c.is_control() && !"\n\r\t".contains(c)))
}

fn has_ending(text: &str) -> bool {
    text.split('.').skip(1).any(|after| {
        let word: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
        ENDINGS.contains(&word.to_ascii_lowercase().as_str())
    })
}

/// Whether the bytes but for zeros are UTF-8 without control characters.
fn is_text(bytes: &[u8]) -> bool {
    let rest: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let is_control = |byte: &u8| byte.is_ascii_control() && !b"\n\r".contains(byte);
    !rest.iter().any(is_control) && std::str::from_utf8(&rest).is_ok()
}

/// Whether the bytes are no text: they start with several zeros, as the boxes of HEIC, JPEG XL and
/// JPEG 2000 do; or they are no UTF-8 and have more control characters than names have.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    if bytes.starts_with(&[0, 0]) {
        return true;
    }
    // Escapes are part of Japanese encodings.
    let is_control = |byte: &&u8| byte.is_ascii_control() && !b"\0\t\n\r\x1b".contains(byte);
    let controls = bytes.iter().filter(is_control).count();
    controls >= LEAST_CONTROLS
        && controls > bytes.len() / BYTES_A_CONTROL
        && std::str::from_utf8(bytes).is_err()
}

#[cfg(test)]
mod tests {
    use super::super::{ListError, list};

    fn wide<const N: usize>(text: &str, bytes: fn(u32) -> [u8; N]) -> Vec<u8> {
        text.chars().flat_map(|c| bytes(u32::from(c))).collect()
    }

    /// What a list is refused as.
    fn refused(bytes: &[u8]) -> String {
        list(bytes).expect_err(&bytes.escape_ascii().to_string()).to_string()
    }

    #[test]
    fn wide_encodings_are_refused_whatever_the_letters() {
        let orders: [fn(u32) -> [u8; 2]; 2] =
            [|c| (c as u16).to_le_bytes(), |c| (c as u16).to_be_bytes()];
        for text in ["Анна.jpg\n花子.jpg\n", "花子\n一\n", "a.jpg", "Zoë\r\nb\r\n", "ください.PNG"]
        {
            for order in orders {
                assert!(refused(&wide(text, order)).contains("UTF-16 without"), "{text}");
            }
            for (order, mark) in [
                (u32::to_le_bytes as fn(u32) -> [u8; 4], "\u{feff}"),
                (u32::to_be_bytes, "\u{feff}"),
                (u32::to_le_bytes, ""),
                (u32::to_be_bytes, ""),
            ] {
                let said = refused(&wide(&format!("{mark}{text}"), order));
                assert!(said.contains("found UTF-32; save it as UTF-8"), "{text}: {said}");
            }
        }
    }

    #[test]
    fn zeros_after_short_names_are_no_wide_letters() {
        for (text, names) in [
            ("1\0a\0b\0c\0", 4),
            ("1\0a\0b\0c\0d\0e", 6),
            (".\0./a.jpg\0./b.jpg\0", 3),
            ("ab\0cd\0", 2),
            ("a\n\0b.jpg\0", 2),
            ("x\ny.jpg\0é.jpg\0", 2),
        ] {
            assert_eq!(list(text.as_bytes()).unwrap().len(), names, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_neither() {
        let mut data = Vec::new();
        let mut state = 1_u32;
        data.extend(
            std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .take(4096),
        );
        for start in [
            b"\0\0\0\x18ftypheic".as_slice(),
            b"\0\0\0\x0cJXL \r\n\x87\n",
            b"\xff\x0a",
            b"\xff\x4f\xff\x51",
            b"\n\xff\xd8\xff\xe0\0\x10JFIF\0",
        ] {
            let bytes = [start, &data].concat();
            let error = list(&bytes).unwrap_err();
            assert!(matches!(error, ListError::Binary { .. }), "{error}");
            assert!(error.to_string().contains("neither a picture that can be read"), "{error}");
        }
        // Names in an older encoding, and one with control characters.
        let odd = b"Zo\xe9.jpg\nb\x01\x02\x03\x04\x05.jpg\n".to_vec();
        let long = [odd, b"plain name of a picture.jpg\n".repeat(9)].concat();
        assert_eq!(list(&long).unwrap().len(), 11);
    }
}
