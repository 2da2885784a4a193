//! Trees as tensors, and back without trusting them.

use facefold_core::{HeadError, TargetKind};
use ndarray::Array1;

use super::tree::{Node, Tree};
use super::{Booster, NAME, TreeOptions, outputs_of};
use crate::estimator::Model;
use crate::state_dict::{Reader, Tensors};

impl Model for Booster {
    type Settings = TreeOptions;

    fn predict(&self, target: TargetKind, rows: Vec<f32>) -> Result<Vec<f32>, HeadError> {
        let mut predictions = Vec::new();
        for row in rows.chunks(self.width) {
            self.predict_row(target, row, &mut predictions);
        }
        Ok(predictions)
    }

    fn settings(&self) -> &TreeOptions {
        &self.options
    }

    /// `nodes` has four numbers a node (column, or -1 for a leaf; cut, or the leaf's value; left;
    /// right), tree after tree, and `sizes` has the nodes of each tree. Children are numbered
    /// within their tree; all numbers are below 2^24, which f32 holds exactly. `nodes` is no
    /// matrix, since a bundle may store those in half precision.
    fn store(&self, tensors: &mut Tensors) {
        let nodes: Vec<f32> = self
            .trees
            .iter()
            .flat_map(|tree| &tree.0)
            .flat_map(|node| match *node {
                Node::Split { column, cut, left, right } => {
                    [column as f32, cut, left as f32, right as f32]
                }
                Node::Leaf(value) => [-1.0, value, 0.0, 0.0],
            })
            .collect();
        let sizes: Array1<f32> = self.trees.iter().map(|tree| tree.0.len() as f32).collect();
        let start = Array1::from(self.base_score.clone()).into_dyn();
        tensors.insert("start".to_owned(), start);
        tensors.insert("nodes".to_owned(), Array1::from(nodes).into_dyn());
        tensors.insert("sizes".to_owned(), sizes.into_dyn());
    }

    fn restore(
        reader: &Reader<'_>,
        target: TargetKind,
        options: TreeOptions,
        width: usize,
    ) -> Result<Self, HeadError> {
        let outputs = match target {
            TargetKind::Regression => 1,
            TargetKind::Classes { count } => outputs_of(count),
        };
        let base_score = reader.vector("start", Some(outputs))?;
        let nodes = reader.vector("nodes", None)?;
        let (nodes, rest) = nodes.as_chunks::<4>();
        let sizes = reader.vector("sizes", None)?;
        let mut trees = Vec::with_capacity(sizes.len());
        let mut first = 0;
        for &size in &sizes {
            let size = size.max(0.0) as usize;
            let node = |number: usize| node(nodes[first + number], number, size, width);
            let tree = if size > 0 && size <= nodes.len() - first {
                (0..size).map(node).collect::<Option<Vec<Node>>>()
            } else {
                None
            };
            trees.push(Tree(tree.ok_or_else(|| {
                HeadError::Corrupt(format!("tree {} of a `{NAME}` head is no tree", trees.len()))
            })?));
            first += size;
        }
        if first != nodes.len() || !rest.is_empty() || !trees.len().is_multiple_of(outputs) {
            return Err(HeadError::Corrupt(format!(
                "{} trees of {first} nodes for {outputs} outputs and {} nodes",
                trees.len(),
                nodes.len()
            )));
        }
        Ok(Self { width, base_score, trees, options })
    }
}

/// The node of a stored row; children come after it, so that no row walks in circles.
fn node(row: [f32; 4], number: usize, size: usize, width: usize) -> Option<Node> {
    let [column, value, left, right] = row;
    if column < 0.0 {
        return Some(Node::Leaf(value));
    }
    let (column, left, right) = (column as usize, left as usize, right as usize);
    let follows = |child: usize| child > number && child < size;
    let sound = column < width && follows(left) && follows(right);
    sound.then_some(Node::Split { column, cut: value, left, right })
}
