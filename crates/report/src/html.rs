//! A report as one self-contained HTML file: styles and plots are in it, and it asks
//! for nothing over the network.

use std::fmt::Write;

use crate::contents;
use crate::inline::spans;
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
    let mut body = String::new();
    let mut headings = 0;
    for block in page.blocks() {
        if matches!(block, Block::Heading(2, _)) {
            headings += 1;
            if headings == 1 {
                body.push_str(&contents_of(page));
            }
        }
        body.push_str(&of_block(block, headings));
        body.push('\n');
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escaped(title.unwrap_or("facefold"))
    )
}

/// Links to the sections.
fn contents_of(page: &Page) -> String {
    let sections = page.blocks().iter().filter_map(|block| match block {
        Block::Heading(2, text) => Some(text),
        _ => None,
    });
    let links = sections
        .enumerate()
        .map(|(index, text)| format!("<a href=\"#section-{}\">{}</a> ", index + 1, inline(text)));
    format!("<nav>{}</nav>\n", links.collect::<Vec<_>>().concat())
}

fn of_block(block: &Block, section: usize) -> String {
    match block {
        Block::Title(text) => format!("<h1>{}</h1>", inline(text)),
        Block::Heading(2, text) => format!("<h2 id=\"section-{section}\">{}</h2>", inline(text)),
        Block::Heading(level, text) => format!("<h{level}>{}</h{level}>", inline(text)),
        Block::Warning(text) => format!("<p class=\"warning\">{}</p>", inline(text)),
        Block::Paragraph(text) => format!("<p>{}</p>", inline(text)),
        Block::List(items) => {
            let items = items.iter().map(|item| format!("<li>{}</li>\n", inline(item)));
            format!("<ul>\n{}</ul>", items.collect::<Vec<_>>().concat())
        }
        Block::Table(table) => of_table(table),
        Block::Figure(figure) => {
            let label = escaped(&figure.caption);
            let named = format!("<svg role=\"img\" aria-label=\"{label}\" ");
            format!("<figure>{}</figure>", figure.svg.replacen("<svg ", &named, 1).trim_end())
        }
        Block::Code(_, text) => format!("<pre><code>{}</code></pre>", escaped(text)),
        Block::Folded(label, _, text) => format!(
            "<details><summary>{}</summary>\n<pre><code>{}</code></pre></details>",
            inline(label),
            escaped(text)
        ),
    }
}

fn of_table(table: &Table) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", inline(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<Vec<_>>().concat())
    };
    let named = table.header().iter().any(|cell| !cell.is_empty());
    let mut text = format!(
        "<div class=\"scroll\" tabindex=\"0\"><table{}>\n",
        if named { "" } else { " class=\"facts\"" }
    );
    if named {
        // Writing to a string cannot fail.
        let _ = write!(text, "<thead>{}</thead>\n<tbody>\n", row(table.header(), "th"));
    } else {
        text.push_str("<tbody>\n");
    }
    text.extend(table.rows().iter().map(|cells| row(cells, "td")));
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
