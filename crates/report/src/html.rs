//! A report as one self-contained HTML file: styles and plots are in it, and it asks
//! for nothing over the network.

use std::collections::BTreeSet;
use std::fmt::{Arguments, Write};

use crate::contents;
use crate::figures::Figure;
use crate::inline::{spans, unescaped};
use crate::model::Report;
use crate::page::{Block, Page};
use crate::svg::escaped;
use crate::table::Table;

const STYLE: &str = include_str!("html.css");

/// A browser that obeys it runs no script of this page and fetches nothing for it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The report as HTML, with the sentences and numbers of the Markdown.
#[must_use]
pub fn html(report: &Report) -> String {
    render(&contents::page(report))
}

pub(crate) fn render(page: &Page) -> String {
    let title = page.blocks().iter().find_map(|block| match block {
        Block::Title(text) => Some(text.as_str()),
        _ => None,
    });
    let mut writer = Writer::default();
    writer.page(page, Some(page));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        escaped(title.unwrap_or("facefold")),
        writer.body
    )
}

/// A table with more columns becomes a list of cards on a narrow screen.
const NARROW_COLUMNS: usize = 3;

/// A table with more columns has smaller letters.
const DENSE_COLUMNS: usize = 8;

/// The body under construction, and the ids that its headings have.
#[derive(Default)]
struct Writer {
    body: String,
    ids: BTreeSet<String>,
}

impl Writer {
    /// Writes all blocks; the links to the sections of `linked` stand before the first of them.
    fn page(&mut self, page: &Page, mut linked: Option<&Page>) {
        for block in page.blocks() {
            if matches!(block, Block::Heading(2, _)) {
                self.body.extend(linked.take().map(contents_of));
            }
            self.block(block);
            self.body.push('\n');
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Heading(level, text) => {
                let id = self.id(text);
                let link = link_to(&id, text);
                let text = inline(text);
                self.push(format_args!("<h{level} id=\"{id}\">{text} {link}</h{level}>"));
            }
            Block::Folded(level, text, part) => {
                // Whoever follows the link to the content finds it open.
                let id = self.id(text);
                let (content, heading) = (content_of(&id), inline(text));
                let link = link_to(&content, text);
                self.push(format_args!(
                    "<div class=\"fold\"><details><summary><h{level} id=\"{id}\">{heading}</h{level}>\
                     </summary>\n<div class=\"content\" id=\"{content}\">\n"
                ));
                self.page(part, None);
                self.push(format_args!("</div></details>{link}</div>"));
            }
            Block::Title(text) => self.push(format_args!("<h1>{}</h1>", inline(text))),
            Block::Warning(text) => {
                self.push(format_args!("<p class=\"warning\">{}</p>", inline(text)));
            }
            Block::Paragraph(text) => self.push(format_args!("<p>{}</p>", inline(text))),
            Block::List(items) => {
                let items = items.iter().map(|item| format!("<li>{}</li>\n", inline(item)));
                let items = items.collect::<Vec<_>>().concat();
                self.push(format_args!("<ul>\n{items}</ul>"));
            }
            Block::Table(table) => self.body.push_str(&of_table(table)),
            Block::Figure(figure) => self.figure(figure),
            Block::Code(_, text) => {
                self.push(format_args!("<pre><code>{}</code></pre>", escaped(text)));
            }
        }
    }

    fn figure(&mut self, figure: &Figure) {
        let label = escaped(&figure.caption);
        let named = format!("<svg role=\"img\" aria-label=\"{label}\" ");
        let drawing = figure.drawing.svg().replacen("<svg ", &named, 1);
        self.push(format_args!("<figure>{}</figure>", drawing.trim_end()));
        if let Some(table) = figure.numbers.as_ref().filter(|_| !figure.shows_numbers) {
            self.body.push_str(&of_table(table));
        }
    }

    fn push(&mut self, element: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(element);
    }

    /// The id of a heading: its words, with a number where another heading has the same.
    fn id(&mut self, heading: &str) -> String {
        let base = id_of(heading);
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let mut free = std::iter::once(base.clone()).chain(numbered);
        let id = free.find(|id| !self.ids.contains(id)).unwrap_or(base);
        self.ids.insert(id.clone());
        id
    }
}

/// A heading's letters and digits, joined by dashes.
fn id_of(heading: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = unescaped(heading).chars().map(letter).collect();
    let words: Vec<&str> = text.split('-').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "part".to_owned() } else { words.join("-") }
}

/// The id of what is folded under a heading.
fn content_of(id: &str) -> String {
    format!("{id}-content")
}

fn link_to(id: &str, heading: &str) -> String {
    let name = escaped(&unescaped(heading).replace('`', ""));
    format!("<a class=\"anchor\" href=\"#{id}\" aria-label=\"Link to {name}\">#</a>")
}

/// Links to the sections.
fn contents_of(page: &Page) -> String {
    let links = page.blocks().iter().filter_map(|block| {
        let (id, text) = match block {
            Block::Heading(2, text) => (id_of(text), text),
            Block::Folded(2, text, _) => (content_of(&id_of(text)), text),
            _ => return None,
        };
        Some(format!("<a href=\"#{id}\">{}</a> ", inline(text)))
    });
    format!("<nav aria-label=\"Sections\">{}</nav>\n", links.collect::<String>())
}

fn of_table(table: &Table) -> String {
    let header = table.header();
    let named = header.iter().any(|cell| !cell.is_empty());
    let class = match (named, header.len() > NARROW_COLUMNS) {
        (false, _) => " class=\"facts\"",
        (true, true) if header.len() > DENSE_COLUMNS => " class=\"wide dense\"",
        (true, true) => " class=\"wide\"",
        (true, false) => "",
    };
    let mut text = format!("<div class=\"scroll\" tabindex=\"0\"><table{class}>\n");
    if named {
        let cells = header.iter().map(|cell| format!("<th>{}</th>", inline(cell)));
        text.extend(["<thead><tr>", &cells.collect::<String>(), "</tr>\n</thead>\n"]);
    }
    text.push_str("<tbody>\n");
    for row in table.rows() {
        let cells = header.iter().zip(row).map(|(name, cell)| {
            if !named {
                return format!("<td>{}</td>", inline(cell));
            }
            let name = escaped(&unescaped(name).replace('`', ""));
            format!("<td data-label=\"{name}\">{}</td>", inline(cell))
        });
        text.extend(["<tr>", &cells.collect::<String>(), "</tr>\n"]);
    }
    text.push_str("</tbody></table></div>");
    text
}

/// Text with its `` `code` `` and `**strong**` words as elements; all else is only text.
fn inline(text: &str) -> String {
    let (mut out, mut strong) = (String::new(), false);
    for span in spans(text) {
        if span.strong != strong {
            out.push_str(if span.strong { "<strong>" } else { "</strong>" });
            strong = span.strong;
        }
        let text = escaped(&span.text);
        if span.code {
            out.extend(["<code>", &text, "</code>"]);
        } else {
            out.push_str(&text);
        }
    }
    if strong {
        out.push_str("</strong>");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::inline;

    #[test]
    fn markup_becomes_elements_and_other_text_is_escaped() {
        assert_eq!(
            inline("**`a` is best** by 2 * 3 < 7 `x"),
            "<strong><code>a</code> is best</strong> by 2 * 3 &lt; 7 `x"
        );
        assert_eq!(inline("`<script>`"), "<code>&lt;script&gt;</code>");
        assert_eq!(inline("\\*\\*a\\`b\\*\\*"), "**a`b**");
    }
}
