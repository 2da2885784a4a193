//! A report as Markdown. Plots are linked as `plots/*.svg`.

use crate::contents;
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
        Block::Title(text) => format!("# {text}"),
        Block::Heading(level, text) => format!("{} {text}", "#".repeat(usize::from(*level))),
        Block::Warning(text) => format!("> **{text}**"),
        Block::Paragraph(text) => text.clone(),
        Block::List(items) => {
            items.iter().map(|item| format!("- {item}\n")).collect::<Vec<_>>().concat()
        }
        Block::Table(table) => table.markdown(),
        Block::Figure(figure) => format!("![{}](plots/{})", figure.caption, figure.file),
        Block::Code(language, text) => format!("```{language}\n{text}\n```"),
        Block::Folded(label, language, text) => format!("{label}:\n\n```{language}\n{text}\n```"),
    }
}
