//! A strict reader of the little of jsonpickle that face containers send: texts, numbers, lists,
//! dictionaries, tuples, bytes, and NumPy's arrays and scalars.
//!
//! Nothing is unpickled: no name in a document is ever looked up or called. A NumPy array is known
//! by the exact shape of its entry, and everything else that carries a `py/` tag is refused.
//! Arrays come in three forms:
//!
//! - `py/reduce`, where jsonpickle knows nothing of NumPy: the arguments of
//!   `numpy.core.multiarray._reconstruct` and a state with the bytes;
//! - `py/object` with `values` as numbers, from `jsonpickle.ext.numpy` for small arrays;
//! - `py/object` with `values` as zlib-compressed bytes, from the same for larger ones.
//!
//! In the first form a type that occurred before is given as `py/id`, its number among the objects
//! of the document: dictionaries, lists and reduced objects, from 0, as they begin. Tuples, bytes
//! and names have no number.

mod array;
mod node;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use array::Kind;
use node::Node;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, and `NaN` after it was made `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, or a NumPy scalar.
    Number(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list or tuple.
    List(Vec<Self>),
    /// A dictionary, in the order of the document.
    Dictionary(Vec<(String, Self)>),
    /// A NumPy array, row by row.
    Array {
        /// Length of each axis.
        shape: Vec<usize>,
        /// The values; NaN for what was none.
        values: Vec<f64>,
    },
}

impl Value {
    /// The entry of a dictionary.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Dictionary(entries) => {
                entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The numbers of an array, a number, or a list of these, row by row; none if there is
    /// anything else.
    #[must_use]
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Self::Null => Some(vec![f64::NAN]),
            Self::Number(value) => Some(vec![*value]),
            Self::Array { values, .. } => Some(values.clone()),
            Self::List(values) => {
                let rows: Option<Vec<Vec<f64>>> = values.iter().map(Self::numbers).collect();
                rows.map(|rows| rows.concat())
            }
            _ => None,
        }
    }
}

/// A document outside of the subset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonpickleError {
    /// No JSON.
    #[error("expected JSON: {0}")]
    Json(String),
    /// A tag or a name that is not in the subset; its beginning, if it is long.
    #[error("expected plain values and NumPy arrays, found `{}`", .0.escape_debug())]
    Tag(String),
    /// An entry that begins as one of the subset and goes on otherwise.
    #[error("expected {expected}, found something else")]
    Form {
        /// What should have been there.
        expected: &'static str,
    },
    /// A `py/id` that is no element type of before.
    #[error("expected the number of an element type as py/id, found {0}")]
    Reference(u64),
}

/// Reads a document.
///
/// # Errors
/// Whatever lies outside of the subset.
pub fn parse(json: &[u8]) -> Result<Value, JsonpickleError> {
    let node: Node =
        serde_json::from_slice(json).map_err(|error| JsonpickleError::Json(error.to_string()))?;
    Reader::default().value(&node)
}

/// Names under which NumPy's versions know the two functions that make arrays and scalars.
const RECONSTRUCT: [&str; 2] =
    ["numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"];
const SCALAR: [&str; 2] = ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"];

/// Walks a document in its order and counts its objects.
#[derive(Default)]
struct Reader {
    objects: u64,
    kinds: BTreeMap<u64, Kind>,
}

impl Reader {
    fn value(&mut self, node: &Node) -> Result<Value, JsonpickleError> {
        match node {
            Node::Null => Ok(Value::Null),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Number(value) => Ok(Value::Number(*value)),
            Node::Text(text) => Ok(Value::Text(text.clone())),
            Node::List(items) => {
                self.objects += 1;
                self.list(items).map(Value::List)
            }
            Node::Object(entries) => match entries.as_slice() {
                [(tag, Node::Text(text))] if tag == "py/b64" => bytes(text).map(Value::Bytes),
                [(tag, Node::List(items))] if tag == "py/tuple" => {
                    self.list(items).map(Value::List)
                }
                [(tag, Node::List(parts))] if tag == "py/reduce" => {
                    self.objects += 1;
                    self.reduced(parts)
                }
                entries => {
                    self.objects += 1;
                    match entries.iter().find(|(tag, _)| tag.starts_with("py/")) {
                        Some((tag, Node::Text(class))) if tag == "py/object" => {
                            array::from_extension(class, entries)
                        }
                        Some((unknown, _)) => Err(tag(unknown)),
                        None => entries
                            .iter()
                            .map(|(name, node)| Ok((name.clone(), self.value(node)?)))
                            .collect::<Result<_, _>>()
                            .map(Value::Dictionary),
                    }
                }
            },
        }
    }

    fn list(&mut self, items: &[Node]) -> Result<Vec<Value>, JsonpickleError> {
        items.iter().map(|item| self.value(item)).collect()
    }

    /// An array: `_reconstruct`, (ndarray, (0,), b'b'), (1, shape, type, column by column?, bytes).
    /// A scalar: `scalar`, (type, bytes).
    fn reduced(&mut self, parts: &[Node]) -> Result<Value, JsonpickleError> {
        // Older versions fill the list up with nulls.
        let length = parts.iter().rposition(|part| *part != Node::Null).map_or(0, |last| last + 1);
        match &parts[..length] {
            [function, arguments, state] if named(function, "py/function", &RECONSTRUCT)? => {
                let form = form("the arguments of an ndarray");
                let [class, Node::Object(_), Node::Object(_)] = tuple(arguments).ok_or(form)?
                else {
                    return Err(self::form("the arguments of an ndarray"));
                };
                named(class, "py/type", &["numpy.ndarray"])?;
                let form = || self::form("the state of an ndarray");
                let state = tuple(state).ok_or_else(form)?;
                let [Node::Number(_), shape, kind, Node::Bool(by_column), contents] = state else {
                    return Err(form());
                };
                let shape = tuple(shape).ok_or_else(form)?;
                let shape = shape.iter().map(node::index).collect::<Option<Vec<usize>>>();
                let shape = shape.ok_or_else(form)?;
                let kind = self.kind(kind)?;
                let values = kind.values(&contents.bytes()?, &shape, *by_column)?;
                Ok(Value::Array { shape, values })
            }
            [function, arguments] if named(function, "py/function", &SCALAR)? => {
                let form = || form("the arguments of a NumPy scalar");
                let [kind, contents] = tuple(arguments).ok_or_else(form)? else {
                    return Err(form());
                };
                let kind = self.kind(kind)?;
                let values = kind.values(&contents.bytes()?, &[], false)?;
                Ok(Value::Number(values[0]))
            }
            _ => Err(form("a reduced NumPy array or scalar")),
        }
    }

    /// An element type: `dtype`, ('f4', False, True), (3, '<', None, None, None, -1, -1, 0); or the
    /// number of one.
    fn kind(&mut self, node: &Node) -> Result<Kind, JsonpickleError> {
        let form = || form("the element type of an array");
        let Node::Object(entries) = node else { return Err(form()) };
        match entries.as_slice() {
            [(tag, Node::Number(id))] if tag == "py/id" => {
                let id = *id as u64;
                self.kinds.get(&id).copied().ok_or(JsonpickleError::Reference(id))
            }
            [(tag, Node::List(parts))] if tag == "py/reduce" => {
                let id = self.objects;
                self.objects += 1;
                let [class, arguments, state, ..] = parts.as_slice() else { return Err(form()) };
                named(class, "py/type", &["numpy.dtype"])?;
                let [Node::Text(code), ..] = tuple(arguments).ok_or_else(form)? else {
                    return Err(form());
                };
                let [Node::Number(_), Node::Text(order), ..] = tuple(state).ok_or_else(form)?
                else {
                    return Err(form());
                };
                let kind = Kind::from_code(code, order)?;
                self.kinds.insert(id, kind);
                Ok(kind)
            }
            _ => Err(form()),
        }
    }
}

fn tag(found: &str) -> JsonpickleError {
    const LONGEST: usize = 60;
    JsonpickleError::Tag(found.chars().take(LONGEST).collect())
}

fn form(expected: &'static str) -> JsonpickleError {
    JsonpickleError::Form { expected }
}

/// The items of a tuple.
fn tuple(node: &Node) -> Option<&[Node]> {
    match node {
        Node::Object(entries) => match entries.as_slice() {
            [(tag, Node::List(items))] if tag == "py/tuple" => Some(items),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a node carries one of these names; refuses any name that is not of the subset.
fn named(node: &Node, tag: &str, names: &[&str]) -> Result<bool, JsonpickleError> {
    let known = |name: &str| RECONSTRUCT.contains(&name) || SCALAR.contains(&name);
    match node {
        Node::Object(entries) => match entries.as_slice() {
            [(found, Node::Text(name))] if found == tag => match names.contains(&name.as_str()) {
                true => Ok(true),
                false if known(name) => Ok(false),
                false => Err(self::tag(name)),
            },
            _ => Err(form("the name of a NumPy function or class")),
        },
        _ => Err(form("the name of a NumPy function or class")),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, JsonpickleError> {
    STANDARD.decode(text).map_err(|_| form("bytes in base64"))
}

impl Node {
    fn bytes(&self) -> Result<Vec<u8>, JsonpickleError> {
        match self {
            Self::Object(entries) => match entries.as_slice() {
                [(tag, Self::Text(text))] if tag == "py/b64" => bytes(text),
                _ => Err(form("bytes in base64")),
            },
            _ => Err(form("bytes in base64")),
        }
    }
}

#[cfg(test)]
mod tests;
