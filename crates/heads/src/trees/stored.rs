//! Trees as tensors, and back without trusting them.

use facefold_core::{FittedHead, HeadError, StateDict, TargetKind};
use ndarray::Array1;

use super::tree::{Node, Tree};
use super::{Fitted, Model, TreeOptions, outputs_of};
use crate::features::Standardiser;
use crate::state_dict::{Reader, Stored, Tensors};

/// Adds the trees to a head's tensors: `nodes` has four numbers a node (column, or -1 for a leaf;
/// cut, or the leaf's value; left; right), tree after tree, and `sizes` has the nodes of each tree.
/// Children are numbered within their tree; all numbers are below 2^24, which f32 holds exactly.
/// `nodes` is no matrix, since a bundle may store those in half precision.
pub(super) fn store(trees: &[Tree], tensors: &mut Tensors) {
    let nodes: Vec<f32> = trees
        .iter()
        .flat_map(|tree| &tree.0)
        .flat_map(|node| match *node {
            Node::Split { column, cut, left, right } => {
                [column as f32, cut, left as f32, right as f32]
            }
            Node::Leaf(value) => [-1.0, value, 0.0, 0.0],
        })
        .collect();
    let sizes: Array1<f32> = trees.iter().map(|tree| tree.0.len() as f32).collect();
    tensors.insert("nodes".to_owned(), Array1::from(nodes).into_dyn());
    tensors.insert("sizes".to_owned(), sizes.into_dyn());
}

/// Restores the head from its state dict.
pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    let reader = Reader(state);
    let stored: Stored<TreeOptions> = reader.stored()?;
    let features = Standardiser::restore(&reader, stored.unit_columns)?;
    let outputs = match stored.target {
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
        let node = |number: usize| node(nodes[first + number], number, size, features.width());
        let tree = if size > 0 && size <= nodes.len() - first {
            (0..size).map(node).collect::<Option<Vec<Node>>>()
        } else {
            None
        };
        trees.push(Tree(tree.ok_or_else(|| {
            HeadError::Corrupt(format!(
                "tree {} of a `{}` head is no tree",
                trees.len(),
                state.kind
            ))
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
    let model = Model { target: stored.target, base_score, trees };
    Ok(Box::new(Fitted { features, model, stored }))
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
