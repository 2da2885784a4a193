//! Features as small numbers: each column is cut into bins that hold about equally many rows.

/// Rows that the cuts are taken from; more move them by little.
const SAMPLE: usize = 10_000;

/// Binned training rows, column by column.
pub(super) struct Bins {
    rows: usize,
    /// A row's bin is the number of cuts below its value; columns x rows.
    numbers: Vec<u8>,
    /// Rising cuts of each column, halfway between two values.
    cuts: Vec<Vec<f32>>,
}

impl Bins {
    /// Cuts the columns of `values` (rows x `width`) into at most `most` bins each, 2 to 256.
    pub(super) fn new(values: &[f32], width: usize, most: usize) -> Self {
        let rows = values.len() / width;
        let mut bins = vec![0; values.len()];
        let mut cuts = Vec::with_capacity(width);
        let step = rows.div_ceil(SAMPLE).max(1);
        let mut column = vec![0.0; rows];
        for number in 0..width {
            for (value, row) in column.iter_mut().zip(values.chunks_exact(width)) {
                *value = row[number];
            }
            let sample: Vec<f32> = column.iter().copied().step_by(step).collect();
            let own = cuts_of(sample, most);
            for (bin, value) in bins[number * rows..].iter_mut().zip(&column) {
                *bin = own.partition_point(|cut| cut < value) as u8;
            }
            cuts.push(own);
        }
        Self { rows, numbers: bins, cuts }
    }

    /// The bins of a column, row by row.
    pub(super) fn column(&self, number: usize) -> &[u8] {
        &self.numbers[number * self.rows..][..self.rows]
    }

    /// The cuts of a column: rows of bin b or a lower one have values of at most `cuts[b]`.
    pub(super) fn cuts(&self, number: usize) -> &[f32] {
        &self.cuts[number]
    }
}

/// Cuts that part the values into at most `most` bins of about equally many; between each two
/// distinct values, where those are few.
fn cuts_of(mut values: Vec<f32>, most: usize) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    let mut distinct = values.clone();
    distinct.dedup();
    let mut cuts: Vec<f32> = if distinct.len() <= most {
        distinct.windows(2).map(|pair| f32::midpoint(pair[0], pair[1])).collect()
    } else {
        let n = values.len();
        (1..most)
            .map(|part| {
                let at = (part * n / most).clamp(1, n - 1);
                f32::midpoint(values[at - 1], values[at])
            })
            .collect()
    };
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::Bins;

    #[test]
    fn bins_hold_equally_many_and_rise_with_the_values() {
        let values: Vec<f32> = (0..400).map(|i| ((i * 37) % 400) as f32).collect();
        let bins = Bins::new(&values, 1, 4);
        assert_eq!(bins.cuts(0), [99.5, 199.5, 299.5]);
        for (bin, value) in bins.column(0).iter().zip(&values) {
            assert_eq!(usize::from(*bin), *value as usize / 100);
        }
        // Few distinct values: a bin for each; a column that does not vary has one.
        let few = Bins::new(&[1.0, 7.0, 3.0, 7.0, 1.0, 7.0], 2, 255);
        assert_eq!((few.column(0), few.column(1)), (&[0, 1, 0][..], &[0, 0, 0][..]));
        assert_eq!(few.cuts(0), [2.0]);
        assert!(few.cuts(1).is_empty());
    }
}
