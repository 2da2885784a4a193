//! Storing heads that are made of other heads.

use facefold_core::{FittedHead, HeadError, HeadParts, TargetKind};
use serde::{Deserialize, Serialize};

use crate::formula::{Formula, Value};
use crate::parts::Tensors;

/// What is stored of a member beside its tensors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    kind: String,
    config: serde_json::Value,
}

/// The members' settings, and their tensors in one place: `<number>.<name>`.
pub(crate) fn join(parts: impl Iterator<Item = HeadParts>) -> (Vec<Member>, Tensors) {
    let (mut members, mut tensors) = (Vec::new(), Tensors::new());
    for (index, HeadParts { kind, config, tensors: own }) in parts.enumerate() {
        let named = own.into_iter();
        tensors.extend(named.map(|(name, tensor)| (format!("{index}.{name}"), tensor)));
        members.push(Member { kind, config });
    }
    (members, tensors)
}

/// The parts of each member.
pub(crate) fn split(parts: &HeadParts, members: Vec<Member>) -> Vec<HeadParts> {
    let of = |(index, Member { kind, config }): (usize, Member)| {
        let prefix = format!("{index}.");
        let tensors = parts.tensors.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), tensor.clone()))
        });
        HeadParts { kind, config, tensors: tensors.collect() }
    };
    members.into_iter().enumerate().map(of).collect()
}

/// Makes a fitted head from its parts.
pub(crate) type Restore = fn(&HeadParts) -> Result<Box<dyn FittedHead>, HeadError>;

/// Writes what a fitted head computes, from its parts.
pub(crate) type Write = fn(&HeadParts, &mut Formula) -> Result<Value, HeadError>;

/// The one member, which must tell what is expected of it.
pub(crate) fn only(
    parts: &HeadParts,
    members: Vec<Member>,
    expected: TargetKind,
    restore: Restore,
) -> Result<Box<dyn FittedHead>, HeadError> {
    let members = split(parts, members);
    let [member] = members.as_slice() else {
        return Err(HeadError::Damaged(format!(
            "a `{}` head has one member, found {}",
            parts.kind,
            members.len()
        )));
    };
    check(member, expected)?;
    restore(member)
}

/// Refuses a member that tells something else.
pub(crate) fn check(member: &HeadParts, expected: TargetKind) -> Result<(), HeadError> {
    let told: Option<TargetKind> = serde_json::from_value(member.config["target"].clone()).ok();
    if told == Some(expected) {
        return Ok(());
    }
    Err(HeadError::Damaged(format!(
        "a member that should tell {expected:?} tells {}",
        member.config["target"]
    )))
}
