//! Finding the largest of many values, in lanes that the compiler puts into registers.

/// Values that are processed together; rows are padded to a multiple of it.
pub(super) const LANES: usize = 32;
/// Runs of lanes among which the largest value is looked for before its place is.
pub(super) const RUNS: usize = 4;

/// The largest of many values, and the runs of lanes that it is among.
pub(super) struct RunningMax {
    pub(super) value: f32,
    runs: usize,
}

impl RunningMax {
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { value: f32::NEG_INFINITY, runs: 0 }
    }

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    pub(super) fn offer(&mut self, runs: usize, values: [f32; LANES]) {
        let value = largest(values);
        if value > self.value {
            *self = Self { value, runs };
        }
    }

    /// The first row whose value is the largest.
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    pub(super) fn row(&self, rows: usize, value: impl Fn(usize) -> f32) -> usize {
        let first = self.runs * RUNS * LANES;
        let mut row = first;
        while row < (first + RUNS * LANES).min(rows) && value(row) != self.value {
            row += 1;
        }
        row
    }
}

/// The larger of two numbers, in one instruction.
#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
pub(super) fn larger(one: f32, other: f32) -> f32 {
    if one > other { one } else { other }
}

/// The larger of two numbers, lane by lane, as a new array: the compiler keeps it in registers.
#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
pub(super) fn larger_lanes(one: [f32; LANES], other: [f32; LANES]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    for lane in 0..LANES {
        lanes[lane] = larger(one[lane], other[lane]);
    }
    lanes
}

/// The largest of the lanes.
#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
pub(super) fn largest(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = larger(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::{LANES, RUNS, RunningMax, largest};

    #[test]
    fn the_first_maximum_is_found() {
        let n = 5 * RUNS * LANES / 2;
        let value = |row: usize| if row == 70 || row == n - 1 { 9.0 } else { (row % 7) as f32 };
        let mut best = RunningMax::new();
        for (at, run) in (0..n).collect::<Vec<_>>().chunks(RUNS * LANES).enumerate() {
            let mut most = [f32::NEG_INFINITY; LANES];
            for &row in run {
                most[row % LANES] = value(row).max(most[row % LANES]);
            }
            assert_eq!(largest(most), run.iter().map(|&row| value(row)).fold(0.0, f32::max));
            best.offer(at, most);
        }
        assert_eq!((best.row(n, value), best.value), (70, 9.0));
    }
}
