//! Union-find over row numbers.

/// Numbers from 0, each in one of several disjoint sets.
///
/// ```
/// use facefold_core::links::Links;
/// let mut links = Links::new(4);
/// links.join(3, 1);
/// assert_eq!([0, 1, 2, 3].map(|number| links.root(number)), [0, 1, 2, 1]);
/// ```
#[derive(Debug)]
pub struct Links(Vec<usize>);

impl Links {
    /// Every number in a set of its own.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    /// The representative of the set: its smallest number.
    pub fn root(&mut self, mut row: usize) -> usize {
        while self.0[row] != row {
            self.0[row] = self.0[self.0[row]];
            row = self.0[row];
        }
        row
    }

    /// Makes the sets of two numbers one.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller number stays the root, which keeps chains short in practice.
        self.0[a.max(b)] = a.min(b);
    }
}
