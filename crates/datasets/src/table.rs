//! Label files with columns: read whole, with line numbers that an editor agrees with.

use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};
use facefold_core::files::read_at_most;

use crate::error::DatasetError;
use crate::missing::known;

/// A longer file is no list of labels.
pub(crate) const MOST_BYTES: u64 = 2 << 30;

/// How the columns of a label file are set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Commas, with double quotes around what holds one.
    Commas,
    /// Tabs; quotes are literal.
    Tabs,
}

/// A label file with a header.
#[derive(Debug)]
pub(crate) struct Table {
    /// The file.
    pub path: PathBuf,
    /// The names of its columns.
    pub header: Vec<String>,
    rows: Vec<(usize, StringRecord)>,
}

/// One row with its line number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    path: &'a Path,
    line: usize,
    fields: &'a StringRecord,
}

impl Table {
    /// Reads a file; blank lines are passed over, and LF and CRLF line ends are both read.
    pub fn read(path: &Path, columns: Columns) -> Result<Self, DatasetError> {
        let text = String::from_utf8(read_at_most(path, MOST_BYTES)?).map_err(|error| {
            DatasetError::File {
                path: path.to_owned(),
                expected: "a list in UTF-8".to_owned(),
                found: error.to_string(),
            }
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut reader = ReaderBuilder::new()
            .delimiter(if columns == Columns::Tabs { b'\t' } else { b',' })
            .quoting(columns == Columns::Commas)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut header: Option<Vec<String>> = None;
        let mut rows = Vec::new();
        let mut lines = LineCounter { text, offset: 0, line: 1 };
        for record in reader.records() {
            let record = record.map_err(|error| DatasetError::File {
                path: path.to_owned(),
                expected: "a list with columns".to_owned(),
                found: error.to_string(),
            })?;
            let offset = record.position().map_or(0, csv::Position::byte);
            let line = lines.line_of_record_after(offset as usize);
            if record.len() == 1 && record[0].trim().is_empty() {
                continue;
            }
            let Some(header) = &header else {
                let names: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
                each_once(path, &names)?;
                header = Some(names);
                continue;
            };
            if record.len() != header.len() {
                return Err(DatasetError::Row {
                    path: path.to_owned(),
                    line,
                    expected: format!("{} columns, as the header has", header.len()),
                    found: format!("{}", record.len()),
                });
            }
            rows.push((line, record));
        }
        let header = header.ok_or_else(|| DatasetError::File {
            path: path.to_owned(),
            expected: "a header line".to_owned(),
            found: "an empty file".to_owned(),
        })?;
        Ok(Self { path: path.to_owned(), header, rows })
    }

    /// The column of a name, if there is one.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// The column of a name that must be there.
    pub fn require(&self, name: &str) -> Result<usize, DatasetError> {
        self.column(name).ok_or_else(|| DatasetError::File {
            path: self.path.clone(),
            expected: format!("a column `{name}`"),
            found: format!("the columns `{}`", self.header.join("`, `")),
        })
    }

    /// The rows, in the order of the file.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, fields)| Row { path: &self.path, line: *line, fields })
    }
}

/// Refuses a header that names a column twice: which of the two has the labels is not known.
fn each_once(path: &Path, header: &[String]) -> Result<(), DatasetError> {
    let mut named = header.iter().enumerate().filter(|(_, name)| !name.is_empty());
    match named.find(|(at, name)| header[..*at].contains(name)) {
        None => Ok(()),
        Some((_, name)) => Err(DatasetError::File {
            path: path.to_owned(),
            expected: "each column once".to_owned(),
            found: format!("two columns `{name}`"),
        }),
    }
}

impl<'a> Row<'a> {
    /// A field without blanks around it; empty where the file lacks the column.
    pub fn get(self, column: Option<usize>) -> &'a str {
        column.and_then(|column| self.fields.get(column)).unwrap_or("").trim()
    }

    /// A non-empty field; `None` where the file lacks the column.
    pub fn known(self, column: Option<usize>) -> Option<&'a str> {
        known(self.get(column))
    }

    /// What is wrong with this row.
    pub fn error(self, expected: impl Into<String>, found: &str) -> DatasetError {
        DatasetError::Row {
            path: self.path.to_owned(),
            line: self.line,
            expected: expected.into(),
            found: format!("`{found}`"),
        }
    }

    /// A field that must be a number of this type, unless it is empty.
    pub fn number<T: std::str::FromStr>(
        self,
        column: Option<usize>,
        expected: &str,
    ) -> Result<Option<T>, DatasetError> {
        self.known(column)
            .map(|text| text.parse().map_err(|_| self.error(expected, text)))
            .transpose()
    }
}

/// Turns byte offsets into line numbers. The reader's own count lags behind at CRLF line ends
/// and blank lines, since it takes its position before it passes over them.
struct LineCounter<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl LineCounter<'_> {
    /// The line of the record that the reader began to look for at `offset`.
    fn line_of_record_after(&mut self, offset: usize) -> usize {
        let bytes = self.text.as_bytes();
        let begins = bytes[offset..]
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))
            .map_or(bytes.len(), |ahead| offset + ahead);
        let passed = &self.text[self.offset.min(begins)..begins];
        self.line += passed.matches('\n').count();
        self.offset = begins;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::{Columns, Table};

    fn read(text: &str) -> Result<Table, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("labels.csv");
        fs_err::write(&path, text).unwrap();
        Table::read(&path, Columns::Commas).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_crlf_blank_lines_quotes_and_a_byte_order_mark() {
        let table =
            read("\u{feff}file,age\r\n\r\n\"a,b.jpg\",3\r\n   \r\nc.jpg, 4 \r\n\r\n").unwrap();
        assert_eq!(table.header, ["file", "age"]);
        let age = table.column("age");
        let rows: Vec<(usize, &str, &str)> =
            table.rows().map(|row| (row.line, row.get(Some(0)), row.get(age))).collect();
        assert_eq!(rows, [(3, "a,b.jpg", "3"), (5, "c.jpg", "4")]);
        assert!(table.require("gender").unwrap_err().to_string().contains("`file`, `age`"));
    }

    #[test]
    fn names_the_line_of_a_row_with_too_many_columns() {
        for (end, blank) in [("\n", ""), ("\r\n", ""), ("\n", "\n"), ("\r\n", "\r\n")] {
            let text = format!("file,age{end}{blank}a,1{end}b,2,3{end}");
            let line = 3 + usize::from(!blank.is_empty());
            let message = read(&text).unwrap_err();
            assert!(
                message.ends_with(&format!(
                    "line {line}: expected 2 columns, as the header has, found 3"
                )),
                "{message}"
            );
        }
        assert!(read("\n").unwrap_err().contains("expected a header line, found an empty file"));
    }
}
