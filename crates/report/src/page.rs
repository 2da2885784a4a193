//! A report as a list of blocks, from which Markdown and HTML are written with the same numbers.

use crate::figures::Figure;
use crate::table::Table;

/// A part of a page. Texts may have `` `code` `` and `**strong**` words, and nothing else of
/// Markdown; names that come from data are put in by [`crate::inline::literal`] and
/// [`crate::inline::quoted`].
pub(crate) enum Block {
    /// The one first line.
    Title(String),
    /// A heading of level 2 or 3.
    Heading(u8, String),
    /// What a reader must know before any number.
    Warning(String),
    /// Some sentences.
    Paragraph(String),
    /// Sentences under each other.
    List(Vec<String>),
    /// Numbers.
    Table(Table),
    /// A plot.
    Figure(Figure),
    /// A command, in the language of its first word: `sh`.
    Code(&'static str, String),
    /// A part that few need to see, under a heading of level 2 or 3.
    Folded(u8, String, Page),
}

/// A report as it is read, from top to bottom.
#[derive(Default)]
pub(crate) struct Page {
    blocks: Vec<Block>,
}

impl Page {
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The plots from top to bottom, those of folded parts among them.
    pub(crate) fn figures<'a>(&'a self) -> Vec<&'a Figure> {
        let of_block = |block: &'a Block| match block {
            Block::Figure(figure) => vec![figure],
            Block::Folded(_, _, part) => part.figures(),
            _ => Vec::new(),
        };
        self.blocks.iter().flat_map(of_block).collect()
    }

    pub(crate) fn push(&mut self, block: Block) {
        self.blocks.push(block);
    }

    pub(crate) fn section(&mut self, heading: impl Into<String>) {
        self.push(Block::Heading(2, heading.into()));
    }

    pub(crate) fn subsection(&mut self, heading: impl Into<String>) {
        self.push(Block::Heading(3, heading.into()));
    }

    /// Adds what `fill` writes as a folded part; nothing where it writes nothing.
    pub(crate) fn folded(
        &mut self,
        level: u8,
        heading: impl Into<String>,
        fill: impl FnOnce(&mut Self),
    ) {
        let mut part = Self::default();
        fill(&mut part);
        if !part.blocks.is_empty() {
            self.push(Block::Folded(level, heading.into(), part));
        }
    }

    pub(crate) fn paragraph(&mut self, text: impl Into<String>) {
        self.push(Block::Paragraph(text.into()));
    }

    pub(crate) fn table(&mut self, table: Table) {
        self.push(Block::Table(table));
    }

    pub(crate) fn figure(&mut self, figure: Figure) {
        self.push(Block::Figure(figure));
    }
}
