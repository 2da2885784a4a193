//! Names of people and classes that are written in more than one way.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Letters that show nothing: the soft hyphen, the blank of no width, marks of direction, the word joiner and the
/// byte order mark.
const INVISIBLE: [char; 6] = ['\u{ad}', '\u{200b}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}'];

/// A name in the one form in which it is compared: composed letters of one width (Unicode's NFKC), nothing
/// invisible, and one blank between its parts. Systems and spreadsheets write `é` as one character or as two; one
/// person or class must not become two by it. Case stays.
///
/// ```
/// use facefold_core::names::normalised;
/// assert_eq!(normalised("Zoe\u{308}  Mu\u{308}ller\u{200b}"), "Zoë Müller");
/// assert_eq!(normalised("ｐ１２"), "p12");
/// ```
#[must_use]
pub fn normalised(name: &str) -> Cow<'_, str> {
    if name.is_ascii() && !name.contains("  ") {
        return Cow::Borrowed(name);
    }
    let visible: String = name.chars().filter(|letter| !INVISIBLE.contains(letter)).collect();
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(&visible);
    let parts: Vec<&str> = composed.split_whitespace().collect();
    Cow::Owned(parts.join(" "))
}
