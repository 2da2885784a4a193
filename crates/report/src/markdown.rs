//! A report as Markdown. Plots are named, not linked: where only `report.json` and `report.md` are kept
//! there are none until they are rendered.

use crate::contents;
use crate::inline::{Span, spans};
use crate::model::Report;
use crate::page::{Block, Page};

/// The report as Markdown: first a summary, then the numbers task by task, then what they rest on.
#[must_use]
pub fn markdown(report: &Report) -> String {
    render(&contents::page(report))
}

pub(crate) fn render(page: &Page) -> String {
    let blocks = page.blocks().iter().map(|block| format!("{}\n\n", of_block(block).trim_end()));
    blocks.collect::<Vec<_>>().concat()
}

fn of_block(block: &Block) -> String {
    match block {
        Block::Title(text) => format!("# {}", inline(text)),
        Block::Heading(level, text) => {
            format!("{} {}", "#".repeat(usize::from(*level)), inline(text))
        }
        // The whole is strong, whatever parts of it would be.
        Block::Warning(text) => {
            let parts = spans(text).into_iter().map(|span| Span { strong: false, ..span });
            format!("> **{}**", of_spans(parts))
        }
        Block::Paragraph(text) => line(text),
        Block::List(items) => {
            items.iter().map(|item| format!("- {}\n", line(item))).collect::<Vec<_>>().concat()
        }
        Block::Table(table) => table.markdown(),
        Block::Figure(figure) => {
            let plot = format!("Plot `plots/{}`: {}.", figure.file, inline(&figure.caption));
            match &figure.numbers {
                Some(table) => format!("{plot}\n\n{}", table.markdown()),
                None => plot,
            }
        }
        Block::Code(language, text) => fenced(language, text),
        Block::Folded(level, text, part) => {
            format!("{} {}\n\n{}", "#".repeat(usize::from(*level)), inline(text), render(part))
        }
    }
}

fn fenced(language: &str, text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}{language}\n{text}\n{fence}")
}

/// A text at the start of a line, where some marks would begin a list, a heading or a quotation.
fn line(text: &str) -> String {
    let text = inline(text);
    let number = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    if text.starts_with(['#', '>', '-', '+', '=', '~']) {
        format!("\\{text}")
    } else if number.len() < text.len() && number.starts_with([')', '.']) {
        format!("{}\\{number}", &text[..text.len() - number.len()])
    } else {
        text
    }
}

/// A text of the page as Markdown: its code and strong words, and everything else as mere text.
pub(crate) fn inline(text: &str) -> String {
    of_spans(spans(text))
}

fn of_spans(spans: impl IntoIterator<Item = Span>) -> String {
    let (mut text, mut strong) = (String::new(), false);
    for span in spans {
        if span.strong != strong {
            text.push_str("**");
            strong = span.strong;
        }
        if span.code {
            text.extend(["`", &one_line(&span.text), "`"]);
        } else {
            text.push_str(&escaped(&one_line(&span.text)));
        }
    }
    if strong {
        text.push_str("**");
    }
    text
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Text in which nothing is a mark of Markdown or an element of HTML.
fn escaped(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut escaped = String::with_capacity(text.len());
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map_or(' ', |before| letters[before]);
        let after = letters.get(at + 1).copied().unwrap_or(' ');
        let mark = match letter {
            '`' | '[' => true,
            '*' => !(before == ' ' && after == ' '),
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            '~' => before == '~' || after == '~',
            '<' => after.is_alphabetic() || matches!(after, '/' | '!' | '?'),
            '&' => after == '#' || after.is_alphabetic(),
            '\\' => after.is_ascii_punctuation(),
            _ => false,
        };
        if mark {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{inline, line};
    use crate::inline::literal;

    #[test]
    fn names_of_data_are_escaped_in_markdown() {
        for (name, markdown) in [
            ("**old**", "\\*\\*old\\*\\*"),
            ("_x_", "\\_x\\_"),
            ("age_group", "age_group"),
            ("<img src=x>", "\\<img src=x>"),
            ("[x](http://y)", "\\[x](http://y)"),
            ("a`b", "a\\`b"),
            ("a\nb", "a b"),
            ("&lt;", "\\&lt;"),
            ("~~gone~~", "\\~\\~gone\\~\\~"),
            ("60+", "60+"),
            ("(25, 32)", "(25, 32)"),
        ] {
            assert_eq!(inline(&literal(name)), markdown);
        }
        assert_eq!(line("# no heading"), "\\# no heading");
        assert_eq!(line("1. no list"), "1\\. no list");
        assert_eq!(line("12 rows, p < 0.001, 2 * 3"), "12 rows, p < 0.001, 2 * 3");
        assert_eq!(inline("**`a` is best** by `<b>`"), "**`a` is best** by `<b>`");
    }
}
