//! Names of people and classes that are written in more than one way.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Letters that show nothing: the soft hyphen, the blank of no width, marks of direction, the word joiner and the
/// byte order mark.
pub const INVISIBLE: [char; 6] =
    ['\u{ad}', '\u{200b}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}'];

/// A person's name in the one form in which it is compared: composed letters of one width (Unicode's NFKC), nothing
/// invisible, and one blank between its parts. Systems and spreadsheets write `é` as one character or as two; one
/// person must not become two by it. Case stays.
///
/// ```
/// use facefold_core::names::normalised;
/// assert_eq!(normalised("Zoe\u{308}  Mu\u{308}ller\u{200b}"), "Zoë Müller");
/// assert_eq!(normalised("ｐ１２\t"), "p12");
/// ```
#[must_use]
pub fn normalised(name: &str) -> Cow<'_, str> {
    let visible: String = name.chars().filter(|letter| !INVISIBLE.contains(letter)).collect();
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(&visible);
    let parts = composed.split_whitespace().collect::<Vec<_>>().join(" ");
    if parts == name { Cow::Borrowed(name) } else { Cow::Owned(parts) }
}

/// A class's name with its letters composed (Unicode's NFC), and nothing else changed: `x²` and `x2` are two classes.
///
/// ```
/// use facefold_core::names::composed;
/// assert_eq!(composed("Zoe\u{308}"), "Zoë");
/// assert_eq!(composed("x²"), "x²");
/// ```
#[must_use]
pub fn composed(name: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(name)
}

/// The name of a column of a table as it is looked for: composed letters in lower case, without blanks around it, and
/// with `_` for blanks and hyphens inside.
///
/// ```
/// use facefold_core::names::column_name;
/// assert_eq!(column_name(" Label Conflict"), "label_conflict");
/// assert_eq!(column_name("Age-Group"), column_name("age_group"));
/// ```
#[must_use]
pub fn column_name(name: &str) -> String {
    composed(name.trim()).to_lowercase().replace(['-', ' '], "_")
}
