//! A table of texts, as Markdown or for the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement};

use crate::inline::unescaped;
use crate::markdown::inline;

/// Columns after the first are numbers and stand to the right.
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    pub(crate) fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let escaped: Vec<String> =
                cells.iter().map(|cell| inline(cell).replace('|', "\\|")).collect();
            format!("| {} |\n", escaped.join(" | "))
        };
        let mut text = line(&self.header);
        text.push_str("| --- |");
        text.push_str(&" ---: |".repeat(self.header.len().saturating_sub(1)));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&line(row));
        }
        text
    }

    pub(crate) fn terminal(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        let plain = |cells: &[String]| -> Vec<String> {
            cells.iter().map(|cell| unescaped(cell)).collect()
        };
        table.set_header(plain(&self.header));
        table.add_rows(self.rows.iter().map(|row| plain(row)));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn a_pipe_in_a_cell_is_escaped() {
        let mut table = Table::new(["class", "rows"]);
        table.row(["a|b", "1"]);
        assert_eq!(table.markdown(), "| class | rows |\n| --- | ---: |\n| a\\|b | 1 |\n");
    }
}
