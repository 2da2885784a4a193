//! Lists of paths, as other programs write them to stdin.

use std::ffi::OsString;
use std::path::PathBuf;

use super::encodings;

/// Why bytes are no list of paths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A list in another encoding.
    #[error(
        "the list of paths: expected one path a line in UTF-8 or the system's encoding, found \
         {found}; save it as UTF-8"
    )]
    Encoding {
        /// The encoding.
        found: &'static str,
    },
    /// No text, and nothing that a decoder reads either.
    #[error(
        "found neither a picture that can be read (JPEG, PNG, WebP, BMP, TIFF or GIF) nor a list of \
         paths: the bytes start {start}"
    )]
    Binary {
        /// The first bytes, in hexadecimal digits.
        start: String,
    },
}

/// The paths of a list, one a line; or one before each NUL where the list has any. A byte order
/// mark is no part of the first, and UTF-16 is read where it has one. Empty lines are left out.
///
/// # Errors
/// [`ListError::Encoding`] for UTF-16 that is invalid or has no byte order mark, and for UTF-32;
/// [`ListError::Binary`] for what is no text.
pub fn list(bytes: &[u8]) -> Result<Vec<PathBuf>, ListError> {
    if encodings::is_utf32(bytes) {
        return Err(ListError::Encoding { found: "UTF-32" });
    }
    let bytes = match bytes {
        [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => rest,
        _ => bytes,
    };
    if encodings::is_utf16(bytes) {
        return Err(ListError::Encoding { found: "UTF-16 without a byte order mark" });
    }
    if encodings::is_binary(bytes) {
        let start = bytes[..bytes.len().min(12)].iter().map(|byte| format!("{byte:02x}"));
        return Err(ListError::Binary { start: start.collect::<Vec<_>>().join(" ") });
    }
    if bytes.contains(&0) {
        return Ok(paths(bytes.split(|&byte| byte == 0)).collect());
    }
    let lines = bytes.split(|&byte| byte == b'\n');
    Ok(paths(lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))).collect())
}

fn paths<'a>(names: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = PathBuf> {
    names.filter(|name| !name.is_empty()).map(|name| PathBuf::from(native(name)))
}

#[cfg(unix)]
fn native(name: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(name.to_vec())
}

#[cfg(not(unix))]
fn native(name: &[u8]) -> OsString {
    String::from_utf8_lossy(name).into_owned().into()
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<PathBuf>, ListError> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|bytes| unit(*bytes)).collect();
    match String::from_utf16(&units) {
        Ok(text) if rest.is_empty() => Ok(paths(text.lines().map(str::as_bytes)).collect()),
        _ => Err(ListError::Encoding { found: "invalid UTF-16" }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::list;

    #[cfg(unix)]
    #[test]
    fn a_list_is_split_at_newlines_or_nuls() {
        use std::os::unix::ffi::OsStrExt;

        let bytes = |list: Vec<PathBuf>| -> Vec<Vec<u8>> {
            list.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect()
        };
        let expected = |names: &[&[u8]]| names.iter().map(|name| name.to_vec()).collect::<Vec<_>>();
        for (text, names) in [
            (b"a.jpg\nb c.jpg\n".as_slice(), [b"a.jpg".as_slice(), b"b c.jpg"].as_slice()),
            (b"a.jpg\r\n\r\nb.jpg", &[b"a.jpg", b"b.jpg"]),
            (b"\xef\xbb\xbfa.jpg\nb.jpg", &[b"a.jpg", b"b.jpg"]),
            (b"Zo\xe9.jpg\nb\x01\x1b.jpg\n", &[b"Zo\xe9.jpg", b"b\x01\x1b.jpg"]),
            (b"a\nb.jpg\0c\r.jpg\0", &[b"a\nb.jpg", b"c\r.jpg"]),
            (b"\xff\xfea\0\xe9\0\r\0\n\0b\0", &["aé".as_bytes(), b"b"]),
            (b"\xfe\xff\0a\0\n\0b", &[b"a", b"b"]),
            (b"", &[]),
        ] {
            assert_eq!(bytes(list(text).unwrap()), expected(names), "{}", text.escape_ascii());
        }
        for text in [b"a\0.\0j\0p\0g\0\n\0".as_slice(), b"\xff\xfea\0b", b"\xff\xfe\x00\xd8a\0"] {
            let error = list(text).unwrap_err().to_string();
            assert!(error.contains("UTF-16") && error.ends_with("save it as UTF-8"), "{error}");
        }
    }
}
