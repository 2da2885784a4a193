//! Words for missing values in label files.

use facefold_core::names::INVISIBLE;

/// The words, in lower case and without blanks and marks: `N/A` is `na`.
const WORDS: [&str; 18] = [
    "nan",
    "none",
    "null",
    "nil",
    "na",
    "unknown",
    "missing",
    "undefined",
    "unspecified",
    "notknown",
    "notavailable",
    "notapplicable",
    "nodata",
    "pdna",
    "unk",
    "undef",
    "notspecified",
    "notset",
];

/// What programs write, letter for letter: a database's NULL, a date that pandas does not know, a
/// spreadsheet's lost cell, "no date". In another spelling they may be a person's name.
const VERBATIM: [&str; 4] = [r"\N", "NaT", "#REF!", "n.d."];

/// Marks for a missing value where they stand alone: `-`, `?`, `...`.
const MARKS: [char; 6] = ['-', '–', '—', '?', '.', '_'];

/// A label without blanks around it; none where it is empty or a word for what is not known, in any
/// case and spacing: `nan`, `None`, `NULL`, `n/a`, `not available`, `<NA>`, `-`, `?`.
///
/// Every column of every label file and every class folder is read through this, so that what is
/// not known never becomes one person or one class.
///
/// ```
/// use facefold_datasets::known;
/// assert_eq!(known(" ann "), Some("ann"));
/// assert_eq!(known("N / A"), None);
/// assert_eq!(known("nana"), Some("nana"));
/// ```
#[must_use]
pub fn known(text: &str) -> Option<&str> {
    let text = text.trim();
    if VERBATIM.contains(&text) {
        return None;
    }
    let bare: String = text
        .chars()
        .map(narrow)
        .filter(|letter| letter.is_alphanumeric())
        .collect::<String>()
        .to_lowercase();
    let silent = text.chars().all(|letter| {
        letter.is_whitespace() || MARKS.contains(&letter) || INVISIBLE.contains(&letter)
    });
    (!silent && !WORDS.contains(&bare.as_str())).then_some(text)
}

/// A full-width letter of the block U+FF01 to U+FF5E as the ASCII one; any other as it is.
fn narrow(letter: char) -> char {
    let code = u32::from(letter);
    let ascii = (0xff01..=0xff5e).contains(&code).then(|| char::from_u32(code - 0xfee0));
    ascii.flatten().unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn missing_value_words_match_in_any_case_and_spacing() {
        for text in [
            "",
            "  ",
            "\u{200b}",
            "-\u{feff}",
            "nan\u{200b}",
            "nan",
            "NaN",
            "NONE",
            "null",
            "Nil",
            "n/a",
            "N/A",
            r"\N",
            "NaT",
            "unk",
            "not specified",
            "n.d.",
            "#REF!",
            "ｎａｎ",
            "n / a",
            "NA",
            "N.A.",
            "<NA>",
            "#N/A",
            "unknown",
            " Unknown ",
            "missing",
            "(none)",
            "\"nan\"",
            "-",
            "--",
            "—",
            "?",
            "???",
            "...",
            "_",
            "not available",
            "Not_Known",
            "\u{a0}nan\u{a0}",
        ] {
            assert_eq!(known(text), None, "{text:?}");
        }
    }

    #[test]
    fn labels_are_kept_as_they_are() {
        for text in ["ann", "Nana", "none of them", "na-1", "0", "-1", "+", "60+", "u", "Unknown 7"]
        {
            assert_eq!(known(text), Some(text));
        }
        assert_eq!(known(" (25, 32) "), Some("(25, 32)"));
    }
}
