//! Storage of heads that are made of other heads.

use facefold_core::{FittedHead, HeadError, StateDict, TargetKind};
use facefold_onnx::computation::{ComputationGraph, Value};
use serde::{Deserialize, Serialize};

use crate::state_dict::Tensors;

/// What is stored of a member in addition to its tensors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    kind: String,
    config: serde_json::Value,
}

/// The members' settings, and their tensors in one place: `<number>.<name>`.
pub(crate) fn join(state: impl Iterator<Item = StateDict>) -> (Vec<Member>, Tensors) {
    let (mut members, mut tensors) = (Vec::new(), Tensors::new());
    for (index, StateDict { kind, config, tensors: own }) in state.enumerate() {
        let named = own.into_iter();
        tensors.extend(named.map(|(name, tensor)| (format!("{index}.{name}"), tensor)));
        members.push(Member { kind, config });
    }
    (members, tensors)
}

/// The state dict of each member.
pub(crate) fn split(state: &StateDict, members: Vec<Member>) -> Vec<StateDict> {
    let of = |(index, Member { kind, config }): (usize, Member)| {
        let prefix = format!("{index}.");
        let tensors = state.tensors.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), tensor.clone()))
        });
        StateDict { kind, config, tensors: tensors.collect() }
    };
    members.into_iter().enumerate().map(of).collect()
}

/// Restores a fitted head from its state dict.
pub(crate) type Restore = fn(&StateDict) -> Result<Box<dyn FittedHead>, HeadError>;

/// Exports the computation of a fitted head from its state dict.
pub(crate) type Export = fn(&StateDict, &mut ComputationGraph) -> Result<Value, HeadError>;

/// The only member, which must predict the expected kind of target.
pub(crate) fn only(
    state: &StateDict,
    members: Vec<Member>,
    expected: TargetKind,
) -> Result<StateDict, HeadError> {
    let mut members = split(state, members);
    match (members.pop(), members.len()) {
        (Some(member), 0) => check(&member, expected).map(|()| member),
        (last, others) => Err(HeadError::Corrupt(format!(
            "a `{}` head has one member, found {}",
            state.kind,
            others + usize::from(last.is_some())
        ))),
    }
}

/// Refuses a member that predicts another kind of target.
pub(crate) fn check(member: &StateDict, expected: TargetKind) -> Result<(), HeadError> {
    let found: Option<TargetKind> = serde_json::from_value(member.config["target"].clone()).ok();
    if found == Some(expected) {
        return Ok(());
    }
    Err(HeadError::Corrupt(format!(
        "a member that should predict {expected:?} predicts {}",
        member.config["target"]
    )))
}
