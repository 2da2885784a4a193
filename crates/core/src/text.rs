//! Text from elsewhere, such as names of files, made safe to show and to write into tables.

use std::borrow::Cow;

/// The text with each control character as an escape that can be read, such as `\u{1b}` or `\n`: a
/// file's name can hold sequences that move a terminal's cursor, change its title or hide lines. So
/// with Unicode's separators of lines and paragraphs, and with the characters that turn the direction
/// of writing and would show a name in another order.
///
/// ```
/// use facefold_core::text::printable;
/// assert_eq!(printable("a\u{1b}[2Jb.jpg"), "a\\u{1b}[2Jb.jpg");
/// assert_eq!(printable("Zoë 1.jpg"), "Zoë 1.jpg");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, moves)
}

/// Whether a character moves what stands around it: a control character, a separator of lines or
/// paragraphs, or one of Unicode's embeddings, overrides and isolates (UAX 9).
fn moves(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// As [`printable`], but lines and tabs stay as they are: for texts of several lines, in which names
/// are [`printable`] already.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| moves(c) && c != '\n' && c != '\t')
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

/// What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"), full-width
/// forms among them, and the apostrophe that prevents it.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\'', '＝', '＋', '－', '＠'];

/// A text as a cell of CSV that no spreadsheet runs: with an apostrophe before what it would take
/// for a formula. [`from_cell`] takes it away again. Quoting is the writer's.
///
/// ```
/// use facefold_core::text::{cell, from_cell};
/// assert_eq!(cell("=1+1.jpg"), "'=1+1.jpg");
/// assert_eq!(from_cell("'=1+1.jpg"), "=1+1.jpg");
/// assert_eq!(cell("a/-1.jpg"), "a/-1.jpg");
/// ```
#[must_use]
pub fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// The text that [`cell`] wrote.
#[must_use]
pub fn from_cell(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

/// A word as a shell takes it: in single quotes where it has more than plain letters.
///
/// ```
/// use facefold_core::text::shell_word;
/// assert_eq!(shell_word("/a/b_c-1.npy"), "/a/b_c-1.npy");
/// assert_eq!(shell_word("my clip.npy"), "'my clip.npy'");
/// assert_eq!(shell_word("it's"), r"'it'\''s'");
/// assert_eq!(shell_word(""), "''");
/// ```
#[must_use]
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Columns of a terminal that tables and texts fit into where its width is not known.
pub const TERMINAL_WIDTH: usize = 80;

/// The text with lines that are longer than so many letters broken between words, indented as they begin.
/// Lines of tables stay as they are, and so do words that are longer.
///
/// ```
/// use facefold_core::text::wrapped;
/// assert_eq!(wrapped("  one two three", 9), "  one two\n  three");
/// ```
#[must_use]
pub fn wrapped(text: &str, width: usize) -> String {
    let of_table = |c: char| ('\u{2500}'..='\u{257f}').contains(&c);
    let mut lines = Vec::new();
    for line in text.split('\n') {
        if line.chars().count() <= width || line.contains(of_table) {
            lines.push(line.to_owned());
            continue;
        }
        let words = line.trim_start();
        let indent = &line[..line.len() - words.len()];
        let mut current = indent.to_owned();
        for word in words.split(' ') {
            let fits = current.chars().count() + 1 + word.chars().count() <= width;
            if current.len() == indent.len() {
                current.push_str(word);
            } else if fits {
                current = format!("{current} {word}");
            } else {
                lines.push(std::mem::replace(&mut current, format!("{indent}{word}")));
            }
        }
        lines.push(current);
    }
    lines.join("\n")
}

/// The name that is most like one that there is not, by letters to insert, delete, replace or swap; none
/// where more than a third of its letters would change.
///
/// ```
/// use facefold_core::text::nearest;
/// assert_eq!(nearest("protocl", ["store", "protocol"]), Some("protocol"));
/// assert_eq!(nearest("haed", ["head", "seed"]), Some("head"));
/// assert_eq!(nearest("colour", ["store", "protocol"]), None);
/// ```
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const PROPOSED: usize = 3;
    let (distance, found) =
        names.into_iter().map(|candidate| (distance(name, candidate), candidate)).min()?;
    (PROPOSED * distance <= name.chars().count().max(PROPOSED)).then_some(found)
}

/// Letters to insert, delete or replace, or neighbours to swap (optimal string alignment).
fn distance(first: &str, second: &str) -> usize {
    let [first, second] = [first, second].map(|text| text.chars().collect::<Vec<char>>());
    let mut rows: Vec<Vec<usize>> = vec![(0..=second.len()).collect()];
    for at in 1..=first.len() {
        let mut row = vec![at];
        for to in 1..=second.len() {
            let replaced = rows[at - 1][to - 1] + usize::from(first[at - 1] != second[to - 1]);
            let mut least = replaced.min(rows[at - 1][to] + 1).min(row[to - 1] + 1);
            let is_swap = at > 1
                && to > 1
                && first[at - 1] == second[to - 2]
                && first[at - 2] == second[to - 1];
            if is_swap {
                least = least.min(rows[at - 2][to - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[first.len()][second.len()]
}

/// An error and its causes, joined by colons, without those whose words an earlier one has.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{cell, from_cell, printable, printable_lines, wrapped};

    #[test]
    fn lines_are_broken_between_words_alone() {
        let text =
            "a sentence of some words\n    and   a column\n│ a table stays as it is │\nshort";
        assert_eq!(
            wrapped(text, 12),
            "a sentence\nof some\nwords\n    and   a\n    column\n│ a table stays as it is │\nshort"
        );
        assert_eq!(wrapped("/a/path/that/is/long and more", 10), "/a/path/that/is/long\nand more");
        assert_eq!(wrapped("", 10), "");
    }

    #[test]
    fn no_control_character_is_left() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        assert!(!printable(&all).chars().any(char::is_control));
        assert_eq!(printable("a\nb\u{9b}31m"), "a\\nb\\u{9b}31m");
        assert_eq!(printable_lines("a\nb\tc\rd\u{7f}"), "a\nb\tc\\rd\\u{7f}");
        assert_eq!(printable("gpj.\u{202e}a\u{2066}"), "gpj.\\u{202e}a\\u{2066}");
        let separated = "a\u{2028}b\u{2029}c\u{85}d";
        for safe in [printable(separated), printable_lines(separated)] {
            assert_eq!(safe, "a\\u{2028}b\\u{2029}c\\u{85}d");
        }
        for harmless in ["", "päth/to a.jpg", "\u{202f}", "日本.png"] {
            assert_eq!(printable(harmless), harmless);
        }
    }

    #[test]
    fn cells_are_no_spreadsheet_formulas_and_read_back() {
        let texts = [
            "=cmd|' /C calc'!A0",
            "+1",
            "-1+1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "'=1",
            "'",
            "''",
            "＝1",
        ];
        for text in texts {
            assert_eq!(cell(text), format!("'{text}"));
            assert_eq!(from_cell(&cell(text)), text);
        }
        for text in ["", "a=1", "60+", "20-29", "ä"] {
            assert_eq!((cell(text).as_ref(), from_cell(text)), (text, text));
        }
    }
}
