//! FaceSelector columns of the features heads see.

use anyhow::Result;

use crate::commands::Usage;

/// More than any network's features have.
const MOST: usize = 1 << 20;

/// The columns that ranges such as `0-511` name, in their order.
///
/// # Errors
/// [`Usage`] for what is no range.
pub fn parse(ranges: &[String]) -> Result<Vec<usize>> {
    let mut columns = Vec::new();
    for range in ranges {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last && last < MOST => columns.extend(first..=last),
            _ => {
                return Err(Usage::error(format!(
                    "--columns: expected ranges such as 0-511,768-1023, found `{range}`"
                )));
            }
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn ranges_name_columns_in_order() {
        let of = |text: &str| parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("4-6,0,2-2").unwrap(), [4, 5, 6, 0, 2]);
        assert!(parse(&[]).unwrap().is_empty());
        for wrong in ["", "3-1", "a", "1-", "-2", "1-2-3", "0-99999999999"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
