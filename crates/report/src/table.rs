//! A table of texts, as Markdown or for the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement};

use facefold_core::text::{TERMINAL_WIDTH, wrapped};

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

    /// Below each other as many tables as it takes to fit [`TERMINAL_WIDTH`], each with the first column.
    pub(crate) fn terminal(&self) -> String {
        let length = |text: &str| text.chars().count();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let headed = |column: usize| {
            let header = unescaped(&self.header[column]);
            let words = header.split(' ').map(length);
            let cells = cells(column).map(|cell| length(&unescaped(cell)));
            let width = words.chain(cells).max().unwrap_or(0);
            (wrapped(&header, width), width)
        };
        let columns: Vec<(String, usize)> = (0..self.header.len()).map(headed).collect();
        // A column takes two spaces and a border more.
        let width = |shown: &[usize]| 1 + shown.iter().map(|&at| columns[at].1 + 3).sum::<usize>();
        let mut blocks: Vec<Vec<usize>> = vec![vec![0]];
        for column in 1..columns.len() {
            let wider = |block: &Vec<usize>| width(&[&block[..], &[column]].concat());
            match blocks.last_mut() {
                Some(block) if block.len() == 1 || wider(block) <= TERMINAL_WIDTH => {
                    block.push(column);
                }
                _ => blocks.push(vec![0, column]),
            }
        }
        let header = |block: &[usize]| block.iter().map(|&at| columns[at].0.clone()).collect();
        blocks.iter().map(|block| self.block(header(block), block)).collect()
    }

    /// Some columns as a table for the terminal.
    fn block(&self, header: Vec<String>, shown: &[usize]) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(TERMINAL_WIDTH as u16);
        table.set_header(header);
        let cell = |row: &Vec<String>, at: usize| unescaped(row.get(at).map_or("", String::as_str));
        table.add_rows(
            self.rows.iter().map(|row| shown.iter().map(|&at| cell(row, at)).collect::<Vec<_>>()),
        );
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\n")
    }

    /// The cells of a row after the first with what they are: `p 0.03, Cohen's d 0.2`.
    pub(crate) fn described(&self, row: usize) -> String {
        let named = |(header, cell): (&String, &String)| {
            format!("{} {}", unescaped(header), unescaped(cell))
        };
        let cells = self.rows.get(row).into_iter().flatten();
        self.header.iter().zip(cells).skip(1).map(named).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn tables_for_the_terminal_fit_80_columns() {
        let names = ["head", "accuracy", "95 % interval by subject", "sd over folds", "AUC"];
        let mut table = Table::new(names);
        for head in ["mlp-multi-task-ensemble", "majority"] {
            table.row([head, "91.3 %", "90.2 % to 92.8 %", "1.1 %", "0.912"]);
        }
        let text = table.terminal();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("95 % interval by") && text.contains("sd"), "{text}");
        assert_eq!(text.matches("mlp-multi-task-ensemble").count(), 1, "{text}");

        let mut table = Table::new(["head"].into_iter().chain(["a metric of some name"; 12]));
        table.row(["mlp-multi-task-ensemble"].into_iter().chain(["100.0 % to 100.0 %"; 12]));
        let text = table.terminal();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.matches("mlp-multi-task-ensemble").count() > 3, "{text}");
        assert_eq!(text.matches("100.0 % to 100.0 %").count(), 12, "{text}");
    }

    #[test]
    fn a_pipe_in_a_cell_is_escaped() {
        let mut table = Table::new(["class", "rows"]);
        table.row(["a|b", "1"]);
        assert_eq!(table.markdown(), "| class | rows |\n| --- | ---: |\n| a\\|b | 1 |\n");
    }
}
