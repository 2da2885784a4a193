//! Quotes in CSV files. Readers take a quote that is never closed as the beginning of one long cell, and read
//! the rows behind it as part of that.

use std::fmt;

/// Letters of a cell that a message shows.
const SHOWN: usize = 30;

/// A quoted cell that does not end where its row does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteError {
    /// The line of the quote that opens the cell, from 1.
    pub line: usize,
    /// What was expected.
    pub expected: String,
    /// What was found, and what to do.
    pub found: String,
}

impl fmt::Display for QuoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}, found {}", self.line, self.expected, self.found)
    }
}

impl std::error::Error for QuoteError {}

/// Checks that each quoted cell of a comma-separated file ends before a comma or the end of a line, and that no
/// row can have been taken into one. A quote inside a cell that does not begin with one is a letter as any other.
///
/// A cell may have line breaks where none of its further lines has as many commas as stand before the cell in its
/// row: every row that the cell had taken in would have them.
///
/// ```
/// use facefold_core::quotes::check_quotes;
/// assert!(check_quotes(b"path,note\na.jpg,\"5\"\" wide, new\"\nb.jpg,5\" wide\n").is_ok());
/// assert_eq!(check_quotes(b"path,age\na.jpg,\"30\nb.jpg,31\n").unwrap_err().line, 2);
/// ```
///
/// # Errors
/// The first cell that does not end so.
pub fn check_quotes(text: &[u8]) -> Result<(), QuoteError> {
    let (mut at, mut line, mut column) = (0, 1, 0);
    let mut begins_cell = true;
    while let Some(&byte) = text.get(at) {
        if begins_cell && byte == b'"' {
            let cell = QuotedCell { text, start: at + 1, line, column };
            (at, line) = cell.end()?;
            begins_cell = false;
            continue;
        }
        begins_cell = true;
        if byte == b',' {
            column += 1;
        } else if matches!(byte, b'\n' | b'\r') {
            line += usize::from(ends_line(text, at));
            column = 0;
        } else {
            begins_cell = false;
        }
        at += 1;
    }
    Ok(())
}

/// Whether a line ends with this byte: at CRLF with its second one.
fn ends_line(text: &[u8], at: usize) -> bool {
    text[at] == b'\n' || (text[at] == b'\r' && text.get(at + 1) != Some(&b'\n'))
}

/// A cell that begins with a quote.
struct QuotedCell<'a> {
    text: &'a [u8],
    /// Its first byte behind the quote.
    start: usize,
    /// The line of the quote.
    line: usize,
    /// The number of cells before it in its row.
    column: usize,
}

impl QuotedCell<'_> {
    /// The place behind the cell and its line.
    fn end(&self) -> Result<(usize, usize), QuoteError> {
        let (mut at, mut line, mut commas) = (self.start, self.line, 0);
        while let Some(&byte) = self.text.get(at) {
            let closes = byte == b'"' && self.text.get(at + 1) != Some(&b'"');
            let breaks = ends_line(self.text, at);
            if (closes || breaks) && line > self.line && commas >= self.column {
                return Err(
                    self.error(&format!("line {line} in it, which may be a row of its own"))
                );
            }
            if closes {
                return self.require_separator(at + 1, line).map(|end| (end, line));
            }
            if breaks {
                (line, commas) = (line + 1, 0);
            }
            commas += usize::from(byte == b',');
            at += if byte == b'"' { 2 } else { 1 };
        }
        Err(self.error("the end of the file"))
    }

    /// The place of the comma or line end behind a closing quote; blanks may stand between.
    fn require_separator(&self, at: usize, line: usize) -> Result<usize, QuoteError> {
        let behind = &self.text[at..];
        let blanks = behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match behind.get(blanks) {
            None | Some(b',' | b'\r' | b'\n') => Ok(at + blanks),
            Some(_) => {
                let behind = shown(&behind[blanks..]);
                Err(self.error(&format!("`{behind}` behind the next quote, on line {line}")))
            }
        }
    }

    fn error(&self, found: &str) -> QuoteError {
        QuoteError {
            line: self.line,
            expected: format!(
                "the quoted cell `{}` to end with a quote before a comma or the end of the line",
                shown(&self.text[self.start..])
            ),
            found: format!(
                "{found}; close or remove the quote before it, write `\"\"` for a quote inside a quoted cell, and \
                 take line breaks out of it"
            ),
        }
    }
}

/// The beginning of a cell, for a message.
fn shown(text: &[u8]) -> String {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len());
    let text = String::from_utf8_lossy(&text[..end.min(4 * SHOWN)]);
    text.split([',', '"']).next().unwrap_or_default().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::check_quotes;

    fn line_of(text: &str) -> Option<usize> {
        check_quotes(text.as_bytes()).err().map(|error| error.line)
    }

    #[test]
    fn cells_that_end_in_their_row_are_taken() {
        for text in [
            "",
            "a,b",
            "\"a\",\"b\"\n\"c\",\"d\"",
            "\"a\" ,\"b\r\n\"\"\",\"\"\n",
            "p,note\n1,\"5\"\"\"\n2,5\"\n3,a\"b\"c\n",
            "p,n,note\n1,2,\"good,\nbut dark\"\n2,3,\"\n\n\"\n",
        ] {
            assert_eq!(check_quotes(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_cell_that_takes_rows_in_is_refused_with_its_line() {
        for (text, line) in [
            // Never closed.
            ("p,s\na,1\nb,\"Ann\nc,2\n", 3),
            ("p,s\r\na,1\r\nb,\"Ann\r\nc,2\r\n", 3),
            ("p,s\ra,1\rb,\"Ann\rc,2\r", 3),
            ("p,s\n\"", 2),
            // Closed by the quote that opens another cell.
            ("p,s\na,\"Ann\nb,2\nc,\"Bob\nd,3\n", 2),
            ("p,s\n\"a,1\n\"b,2\n", 2),
            // Closed by an inch mark behind or before rows.
            ("p,s\na,\"Ann\nb,\"\nc,3\n", 2),
            ("p,s\na,\"5\nb,5\"\nc,3\n", 2),
            ("p,s\n\"a,1\nb\",2\n", 2),
            // A row of the file taken in before the line with the closing quote.
            ("p,s,t\na,1,\"x\nb,2,y\nz\"\n", 2),
            ("p,s\na,\"Ann\" Lee\n", 2),
        ] {
            assert_eq!(line_of(text), Some(line), "{text:?}");
        }
        let error = check_quotes(b"p,s\na,\"Ann, B\nb,2\nc,\"Bob\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2: expected the quoted cell `Ann` to end"), "{error}");
        assert!(error.contains("found line 3 in it, which may be a row of its own; "), "{error}");
        let error = check_quotes(b"p,s\na,\"Ann\" Lee,3\n").unwrap_err().to_string();
        assert!(error.contains("found `Lee` behind the next quote, on line 2; "), "{error}");
    }
}
