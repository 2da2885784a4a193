//! Label files with columns: read whole, with line numbers that an editor agrees with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};
use facefold_core::files::read_at_most;
use facefold_core::names::column_name;
use facefold_core::quotes::check_quotes;

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
    /// The names of its columns, as the file has them.
    pub header: Vec<String>,
    /// The names by which columns are looked for ([`column_name`]).
    pub names: Vec<String>,
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
        if columns == Columns::Commas {
            check_quotes(text.as_bytes()).map_err(|error| DatasetError::Row {
                path: path.to_owned(),
                line: error.line,
                expected: error.expected,
                found: error.found,
            })?;
        }
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
        let names = header.iter().map(|name| column_name(name)).collect();
        Ok(Self { path: path.to_owned(), header, names, rows })
    }

    /// The column of a name, whatever its case in the file, if there is one.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|column| column == name)
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
    let mut earlier: HashMap<String, &str> = HashMap::new();
    for name in header.iter().filter(|name| !name.is_empty()) {
        let Some(before) = earlier.insert(column_name(name), name) else { continue };
        return Err(DatasetError::File {
            path: path.to_owned(),
            expected: "each column once".to_owned(),
            found: if before == name {
                format!("two columns `{name}`")
            } else {
                format!("two columns of one name, `{before}` and `{name}`")
            },
        });
    }
    Ok(())
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

    #[test]
    fn a_quote_that_is_not_closed_is_refused_with_its_line() {
        let rows: Vec<String> = (0..40).map(|row| format!("{row}.jpg,p{row}")).collect();
        let with = |cells: &[(usize, &str)]| {
            let mut rows = rows.clone();
            for (row, cell) in cells {
                rows[*row] = format!("{row}.jpg,{cell}");
            }
            read(&format!("path,subject\n{}\n", rows.join("\n")))
        };
        assert_eq!(
            with(&[(10, "Ann \"A\" Lee"), (20, "\"Lee, Ann\"")]).unwrap().rows().count(),
            40
        );
        for cells in
            [&[(10, "\"Ann")][..], &[(10, "\"Ann"), (20, "\"Bob")], &[(10, "\""), (11, "\"")]]
        {
            let message = with(cells).unwrap_err();
            assert!(message.contains("labels.csv, line 12: expected the quoted cell"), "{message}");
        }
    }

    #[test]
    fn columns_are_found_whatever_their_case() {
        let table = read("FILE, Age ,Label-Conflict\na.jpg,3,1\n").unwrap();
        assert_eq!(table.header, ["FILE", "Age", "Label-Conflict"]);
        let columns = ["file", "age", "label_conflict", "fold"].map(|name| table.column(name));
        assert_eq!(columns, [Some(0), Some(1), Some(2), None]);
        let message = read("file,age,AGE\n").unwrap_err();
        assert!(message.contains("found two columns of one name, `age` and `AGE`"), "{message}");
    }
}
