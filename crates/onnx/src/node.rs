//! One ONNX node: its attributes, checked, and errors that name it.

use crate::OnnxError;
use crate::proto::{AttributeProto, NodeProto};

/// Larger than any kernel, stride or factor in a picture network.
const LARGEST_STEP: usize = 64;

/// Side, step and padding of a window that slides over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: usize,
}

/// A node with checked access to its attributes.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a>(pub &'a NodeProto);

impl<'a> Node<'a> {
    pub fn op(self) -> &'a str {
        &self.0.op_type
    }

    /// The name of the first output, unique in a well-formed file.
    pub fn name(self) -> &'a str {
        self.0.output.first().map_or("", String::as_str)
    }

    pub fn fail(self, problem: impl Into<String>) -> OnnxError {
        OnnxError::Node {
            node: self.name().to_owned(),
            op: self.op().to_owned(),
            problem: problem.into(),
        }
    }

    pub fn attribute(self, name: &str) -> Option<&'a AttributeProto> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub fn integer(self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    pub fn float(self, name: &str, default: f32) -> f32 {
        self.attribute(name).and_then(|attribute| attribute.f).unwrap_or(default)
    }

    pub fn text(self, name: &str, default: &'a str) -> &'a str {
        let bytes = self.attribute(name).and_then(|attribute| attribute.s.as_deref());
        bytes.map_or(default, |bytes| std::str::from_utf8(bytes).unwrap_or("?"))
    }

    pub fn integers(self, name: &str) -> &'a [i64] {
        self.attribute(name).map_or(&[], |attribute| &attribute.ints)
    }

    /// Fails unless the attribute is absent or has this value.
    pub fn expect_integer(self, name: &str, expected: i64) -> Result<(), OnnxError> {
        match self.integer(name, expected) {
            value if value == expected => Ok(()),
            value => Err(self.fail(format!("expected {name} {expected}, found {value}"))),
        }
    }

    /// A whole number of 1 to 64: a factor or step.
    pub fn step(self, name: &str, value: i64) -> Result<usize, OnnxError> {
        usize::try_from(value).ok().filter(|step| (1..=LARGEST_STEP).contains(step)).ok_or_else(
            || self.fail(format!("expected {name} of 1 to {LARGEST_STEP}, found {value}")),
        )
    }

    /// The window of a convolution or pooling.
    ///
    /// A padding of at most half the kernel keeps every map no larger than the one it comes from.
    pub fn window(self, kernel_of_weights: Option<[usize; 2]>) -> Result<Window, OnnxError> {
        let auto_pad = self.text("auto_pad", "NOTSET");
        if !matches!(auto_pad, "NOTSET" | "VALID") {
            return Err(self.fail(format!("expected explicit pads, found auto_pad {auto_pad}")));
        }
        if self.integers("dilations").iter().any(|&dilation| dilation != 1) {
            let found = self.integers("dilations");
            return Err(self.fail(format!("expected dilations of 1, found {found:?}")));
        }
        let kernel = match (self.integers("kernel_shape"), kernel_of_weights) {
            ([], Some(kernel)) => kernel,
            (&[height, width], _) => {
                [self.step("kernel_shape", height)?, self.step("kernel_shape", width)?]
            }
            (found, _) => {
                return Err(self.fail(format!("expected a kernel of two sides, found {found:?}")));
            }
        };
        if kernel_of_weights.is_some_and(|weights| weights != kernel) {
            return Err(self.fail(format!(
                "kernel_shape is {kernel:?} and the weights have {kernel_of_weights:?}"
            )));
        }
        let stride = match self.integers("strides") {
            [] => 1,
            &[down, right] if down == right => self.step("strides", down)?,
            found => return Err(self.fail(format!("expected two equal strides, found {found:?}"))),
        };
        let padding = match self.integers("pads") {
            [] => 0,
            _ if auto_pad == "VALID" => 0,
            &[first, a, b, c] if a == first && b == first && c == first => {
                usize::try_from(first).map_err(|_| self.fail(format!("negative pads {first}")))?
            }
            found => return Err(self.fail(format!("expected four equal pads, found {found:?}"))),
        };
        if padding > kernel[0].min(kernel[1]) / 2 {
            return Err(self.fail(format!(
                "expected pads of at most half the kernel {kernel:?}, found {padding}"
            )));
        }
        Ok(Window { kernel, stride, padding })
    }

    /// The window of a pooling, which must be square.
    pub fn square_window(self) -> Result<(usize, usize, usize), OnnxError> {
        let Window { kernel: [height, width], stride, padding } = self.window(None)?;
        if height == width {
            Ok((height, stride, padding))
        } else {
            Err(self.fail(format!("expected a square window, found {height}x{width}")))
        }
    }
}
