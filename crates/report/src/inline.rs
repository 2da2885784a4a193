//! The grammar of the texts of a page: `` `code` `` and `**strong**` words, and a backslash before
//! a mark that is none. Names that come from data are put in by [`literal`] or [`quoted`].

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) code: bool,
    pub(crate) strong: bool,
}

/// A name that stands as it is, whatever marks it holds.
pub(crate) fn literal(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for letter in name.chars() {
        if is_mark(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

/// A name as code, within a sentence.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "'"))
}

/// A text without the backslashes of [`literal`], for a terminal.
pub(crate) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(&mark) if letter == '\\' && is_mark(mark) => {
                plain.push(mark);
                letters.next();
            }
            _ => plain.push(letter),
        }
    }
    plain
}

fn is_mark(letter: char) -> bool {
    matches!(letter, '`' | '*' | '\\')
}

/// The parts of a text; a mark without its pair is text.
pub(crate) fn spans(text: &str) -> Vec<Span> {
    let mut parts = Vec::new();
    let (mut open, mut strong, mut rest) = (String::new(), false, text);
    let push = |parts: &mut Vec<Span>, text: &mut String, code, strong| {
        if !text.is_empty() {
            parts.push(Span { text: std::mem::take(text), code, strong });
        }
    };
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        let mark = after.chars().next().filter(|&mark| letter == '\\' && is_mark(mark));
        if let Some(mark) = mark {
            open.push(mark);
            rest = &after[mark.len_utf8()..];
        } else if let Some((code, after)) =
            rest.strip_prefix('`').and_then(|rest| rest.split_once('`'))
        {
            push(&mut parts, &mut open, false, strong);
            push(&mut parts, &mut code.to_owned(), true, strong);
            rest = after;
        } else if let Some(after) =
            rest.strip_prefix("**").filter(|after| strong || after.contains("**"))
        {
            push(&mut parts, &mut open, false, strong);
            strong = !strong;
            rest = after;
        } else {
            open.push(letter);
            rest = after;
        }
    }
    push(&mut parts, &mut open, false, strong);
    parts
}

#[cfg(test)]
mod tests {
    use super::{Span, literal, quoted, spans, unescaped};

    fn span(text: &str, code: bool, strong: bool) -> Span {
        Span { text: text.to_owned(), code, strong }
    }

    #[test]
    fn backticks_delimit_code_and_unpaired_ones_are_text() {
        assert_eq!(
            spans("**`a` is best** by 2 * 3 < 7 `x"),
            [
                span("a", true, true),
                span(" is best", false, true),
                span(" by 2 * 3 < 7 `x", false, false)
            ]
        );
        assert_eq!(spans("a ** b"), [span("a ** b", false, false)]);
    }

    #[test]
    fn names_are_escaped() {
        for name in ["**bold**", "a`b`c", "\\*", "C:\\x", "`", "plain"] {
            assert_eq!(spans(&literal(name)), [span(name, false, false)]);
            assert_eq!(unescaped(&literal(name)), name);
        }
        assert_eq!(spans(&quoted("a`b")), [span("a'b", true, false)]);
    }
}
