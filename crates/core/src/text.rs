//! Text from elsewhere, such as names of files, made safe to show and to write into tables.

use std::borrow::Cow;

/// The text with each control character as an escape that can be read, such as `\u{1b}` or `\n`: a
/// file's name can hold sequences that move a terminal's cursor, change its title or hide lines.
///
/// ```
/// use facefold_core::text::printable;
/// assert_eq!(printable("a\u{1b}[2Jb.jpg"), "a\\u{1b}[2Jb.jpg");
/// assert_eq!(printable("Zoë 1.jpg"), "Zoë 1.jpg");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, char::is_control)
}

/// As [`printable`], but lines and tabs stay as they are: for texts of several lines.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() && c != '\n' && c != '\t')
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// A text as a cell of CSV for people: [`printable`], and with an apostrophe before what a
/// spreadsheet would run as a formula (OWASP, "CSV Injection"). Quoting is the writer's.
///
/// ```
/// use facefold_core::text::csv_cell;
/// assert_eq!(csv_cell("=1+1.jpg"), "'=1+1.jpg");
/// assert_eq!(csv_cell("a/-1.jpg"), "a/-1.jpg");
/// ```
#[must_use]
pub fn csv_cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) {
        return Cow::Owned(format!("'{}", printable(text)));
    }
    printable(text)
}

#[cfg(test)]
mod tests {
    use super::{csv_cell, printable, printable_lines};

    #[test]
    fn no_control_character_is_left() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        assert!(!printable(&all).chars().any(char::is_control));
        assert_eq!(printable("a\nb\u{9b}31m"), "a\\nb\\u{9b}31m");
        assert_eq!(printable_lines("a\nb\tc\rd\u{7f}"), "a\nb\tc\\rd\\u{7f}");
        for harmless in ["", "päth/to a.jpg", "\u{202f}", "日本.png"] {
            assert_eq!(printable(harmless), harmless);
        }
    }

    #[test]
    fn no_cell_begins_as_a_formula_does() {
        for formula in ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)"] {
            assert_eq!(csv_cell(formula), format!("'{formula}"));
        }
        // A tab or a line's end before a formula is run too.
        assert_eq!(csv_cell("\t=1"), "\\t=1");
        assert_eq!(csv_cell("\r=1"), "\\r=1");
        assert_eq!(csv_cell("a=1"), "a=1");
    }
}
