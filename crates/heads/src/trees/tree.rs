//! One regression tree, grown leaf by leaf over binned features.

use super::bins::Bins;

/// A tree as a list of nodes, the root first; children come after their parent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree(pub(super) Vec<Node>);

/// A node of a tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Node {
    /// Rows whose feature is at most the cut go left, the others right.
    Split { column: usize, cut: f32, left: usize, right: usize },
    /// The value of the rows in this leaf.
    Leaf(f32),
}

impl Tree {
    /// The value of the leaf that a row falls into.
    pub(super) fn predict(&self, row: &[f32]) -> f32 {
        let mut at = 0;
        loop {
            match self.0[at] {
                Node::Split { column, cut, left, right } => {
                    at = if row[column] <= cut { left } else { right };
                }
                Node::Leaf(value) => return value,
            }
        }
    }
}

/// The training data of one tree.
pub(super) struct TreeData<'a> {
    pub(super) bins: &'a Bins,
    /// First derivative of each row's loss with respect to its raw score.
    pub(super) gradients: &'a [f32],
    /// Second derivative.
    pub(super) hessians: &'a [f32],
    /// Columns that this tree may split.
    pub(super) columns: &'a [usize],
}

/// Parameters of one tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct GrowthParams {
    pub(super) leaves: usize,
    pub(super) min_data_in_leaf: usize,
    /// Added to the second derivatives of a leaf.
    pub(super) penalty: f64,
    /// What the leaves' values are multiplied by.
    pub(super) rate: f64,
}

/// Sums over the rows of one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    gradient: f64,
    hessian: f64,
    rows: u32,
}

impl Sums {
    fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            rows: self.rows - other.rows,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            rows: self.rows + other.rows,
        }
    }

    /// Twice the decrease of the loss if these rows get their best value.
    fn leaf_score(self, penalty: f64) -> f64 {
        self.gradient * self.gradient / (self.hessian + penalty).max(f64::MIN_POSITIVE)
    }
}

/// The best way to split a leaf.
#[derive(Debug, Clone, Copy)]
struct SplitCandidate {
    gain: f64,
    column: usize,
    bin: u8,
}

/// A leaf that may be split yet.
struct Leaf {
    node: usize,
    rows: Vec<u32>,
    sums: Sums,
    /// Sums of every bin, column by column.
    histogram: Vec<Sums>,
    cut: Option<SplitCandidate>,
}

/// Grows a tree: always the leaf whose split helps most is split next (Shi, "Best-first decision
/// tree learning", 2007). Gives the tree, and the leaf value of each row.
///
/// The histogram of the larger child is the parent's less that of the smaller one (Ke et al.,
/// "`LightGBM`", 2017).
pub(super) fn grow(data: &TreeData<'_>, growth: GrowthParams) -> (Tree, Vec<f32>) {
    let grower = Grower::new(data, growth);
    let n = data.gradients.len();
    let mut nodes = vec![Node::Leaf(0.0)];
    let all: Vec<u32> = (0..n as u32).collect();
    let histogram = if grower.splits(&all) { grower.histogram(&all) } else { Vec::new() };
    let mut leaves = vec![grower.leaf(0, all, histogram)];
    while leaves.len() < growth.leaves {
        // The first of equal gains, so that the same rows give the same tree.
        let mut best: Option<(usize, f64)> = None;
        for (index, leaf) in leaves.iter().enumerate() {
            if let Some(cut) = leaf.cut
                && best.is_none_or(|(_, gain)| cut.gain > gain)
            {
                best = Some((index, cut.gain));
            }
        }
        let Some((index, _)) = best else { break };
        let parent = leaves.swap_remove(index);
        let Some(cut) = parent.cut else { break };
        let bins = data.bins.column(cut.column);
        let (left, right): (Vec<u32>, Vec<u32>) =
            parent.rows.iter().partition(|&&row| bins[row as usize] <= cut.bin);
        let (left_node, right_node) = (nodes.len(), nodes.len() + 1);
        nodes[parent.node] = Node::Split {
            column: cut.column,
            cut: data.bins.cuts(cut.column)[usize::from(cut.bin)],
            left: left_node,
            right: right_node,
        };
        nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
        let (small, large) = if left.len() <= right.len() {
            ((left_node, left), (right_node, right))
        } else {
            ((right_node, right), (left_node, left))
        };
        // A leaf too small to be split needs no histogram.
        let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
        if grower.splits(&large.1) {
            of_small = grower.histogram(&small.1);
            let pairs = parent.histogram.iter().zip(&of_small);
            of_large = pairs.map(|(all, part)| all.minus(*part)).collect();
        }
        leaves.push(grower.leaf(small.0, small.1, of_small));
        leaves.push(grower.leaf(large.0, large.1, of_large));
    }
    let mut scores = vec![0.0; n];
    for leaf in leaves {
        let Sums { gradient, hessian, .. } = leaf.sums;
        let value = -growth.rate * gradient / (hessian + growth.penalty).max(f64::MIN_POSITIVE);
        nodes[leaf.node] = Node::Leaf(value as f32);
        for row in leaf.rows {
            scores[row as usize] = value as f32;
        }
    }
    (Tree(nodes), scores)
}

struct Grower<'a> {
    data: &'a TreeData<'a>,
    growth: GrowthParams,
    /// Where the bins of each of the ground's columns begin in a histogram.
    starts: Vec<usize>,
}

impl<'a> Grower<'a> {
    fn new(data: &'a TreeData<'a>, growth: GrowthParams) -> Self {
        let mut starts = vec![0];
        for &column in data.columns {
            starts.push(starts[starts.len() - 1] + data.bins.cuts(column).len() + 1);
        }
        Self { data, growth, starts }
    }

    /// Whether a leaf of these rows is large enough to be split.
    fn splits(&self, rows: &[u32]) -> bool {
        rows.len() >= 2 * self.growth.min_data_in_leaf
    }

    fn leaf(&self, node: usize, rows: Vec<u32>, histogram: Vec<Sums>) -> Leaf {
        let mut sums = Sums { rows: rows.len() as u32, ..Sums::default() };
        for &row in &rows {
            sums.gradient += f64::from(self.data.gradients[row as usize]);
            sums.hessian += f64::from(self.data.hessians[row as usize]);
        }
        let cut = if self.splits(&rows) { self.best_split(&histogram, sums) } else { None };
        Leaf { node, rows, sums, histogram, cut }
    }

    fn histogram(&self, rows: &[u32]) -> Vec<Sums> {
        let pull = |row: &u32| {
            let row = *row as usize;
            (f64::from(self.data.gradients[row]), f64::from(self.data.hessians[row]))
        };
        let derivatives: Vec<(f64, f64)> = rows.iter().map(pull).collect();
        let mut histogram = vec![Sums::default(); self.starts[self.starts.len() - 1]];
        for (&column, &base_score) in self.data.columns.iter().zip(&self.starts) {
            let bins = self.data.bins.column(column);
            let own = &mut histogram[base_score..];
            for (&row, &(gradient, hessian)) in rows.iter().zip(&derivatives) {
                let sums = &mut own[usize::from(bins[row as usize])];
                sums.gradient += gradient;
                sums.hessian += hessian;
                sums.rows += 1;
            }
        }
        histogram
    }

    fn best_split(&self, histogram: &[Sums], all: Sums) -> Option<SplitCandidate> {
        let GrowthParams { min_data_in_leaf, penalty, .. } = self.growth;
        let whole = all.leaf_score(penalty);
        let mut best: Option<SplitCandidate> = None;
        for (number, &column) in self.data.columns.iter().enumerate() {
            let own = &histogram[self.starts[number]..self.starts[number + 1]];
            let mut left = Sums::default();
            for (bin, sums) in own[..own.len() - 1].iter().enumerate() {
                left = left.plus(*sums);
                let right = all.minus(left);
                if (left.rows as usize) < min_data_in_leaf {
                    continue;
                }
                if (right.rows as usize) < min_data_in_leaf {
                    break;
                }
                let gain = left.leaf_score(penalty) + right.leaf_score(penalty) - whole;
                if gain > 1e-7 && best.is_none_or(|cut| gain > cut.gain) {
                    best = Some(SplitCandidate { gain, column, bin: bin as u8 });
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::{Bins, GrowthParams, Node, TreeData, grow};

    /// A step at 4.5 in the second of two columns, squared loss from 0: one split finds it, and
    /// the leaves are the means of their rows.
    #[test]
    fn one_split_finds_a_step() {
        let values: Vec<f32> = (0..10_u8).flat_map(|i| [f32::from(i % 3), f32::from(i)]).collect();
        let bins = Bins::new(&values, 2, 255);
        let gradients: Vec<f32> = (0..10).map(|i| if i < 5 { -1.0 } else { 3.0 }).collect();
        let data =
            TreeData { bins: &bins, gradients: &gradients, hessians: &[1.0; 10], columns: &[0, 1] };
        let growth = GrowthParams { leaves: 2, min_data_in_leaf: 1, penalty: 0.0, rate: 1.0 };
        let (tree, scores) = grow(&data, growth);
        let expected = [
            Node::Split { column: 1, cut: 4.5, left: 1, right: 2 },
            Node::Leaf(1.0),
            Node::Leaf(-3.0),
        ];
        assert_eq!(tree.0, expected);
        for (row, scores) in values.chunks(2).zip(&scores) {
            assert_eq!(tree.predict(row), *scores);
        }
        // Fewer than twice the least rows: no split.
        let growth = GrowthParams { min_data_in_leaf: 6, ..growth };
        assert_eq!(grow(&data, growth).0.0.len(), 1);
    }
}
