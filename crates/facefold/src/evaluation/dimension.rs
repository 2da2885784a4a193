//! One setting with the values to try, as a user writes it: `svm.c=0.1..100:log`.

use std::str::FromStr;

use facefold_core::rng::Rng;
use rand::Rng as _;
use serde_json::Value;

/// A setting and the values to try.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dimension {
    /// `mlp.dropout`.
    pub(super) name: String,
    pub(super) values: Values,
}

/// Values to try.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    List(Vec<Value>),
    Range { low: f64, high: f64, spacing: Spacing },
}

/// How a range is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Equal steps are equally likely.
    Linear,
    /// Equal factors are.
    Logarithmic,
    /// Whole numbers are.
    Whole,
}

impl Dimension {
    /// Some values: all of a list, the ends of a range.
    pub(super) fn samples(&self) -> Vec<Value> {
        match &self.values {
            Values::List(values) => values.clone(),
            Values::Range { low, high, spacing } => {
                [*low, *high].map(|end| number(end, *spacing)).to_vec()
            }
        }
    }

    /// A value at random.
    pub(super) fn draw(&self, generator: &mut Rng) -> Value {
        match &self.values {
            Values::List(values) => values[generator.random_range(0..values.len())].clone(),
            Values::Range { low, high, spacing } => {
                let drawn = match spacing {
                    Spacing::Linear => generator.random_range(*low..=*high),
                    Spacing::Logarithmic => {
                        generator.random_range(low.ln()..=high.ln()).exp().clamp(*low, *high)
                    }
                    Spacing::Whole => generator.random_range(*low as i64..=*high as i64) as f64,
                };
                // Four digits are enough to try, and short enough to read.
                let digits = format!("{drawn:.3e}").parse().unwrap_or(drawn);
                number(f64::clamp(digits, *low, *high), *spacing)
            }
        }
    }
}

fn number(value: f64, spacing: Spacing) -> Value {
    match spacing {
        Spacing::Whole => Value::from(value as i64),
        Spacing::Linear | Spacing::Logarithmic => Value::from(value),
    }
}

impl FromStr for Dimension {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, values) = text
            .split_once('=')
            .ok_or_else(|| format!("expected HEAD.KEY=VALUES, found `{text}`"))?;
        let values = match range(values).map_err(|message| format!("`{name}`: {message}"))? {
            Some(range) => range,
            None => Values::List(list(values)),
        };
        if values == Values::List(Vec::new()) {
            return Err(format!("`{name}`: expected a value, found none"));
        }
        Ok(Self { name: name.trim().to_owned(), values })
    }
}

/// `LOW..HIGH`, `LOW..HIGH:log` or `LOW..HIGH:int`; none where it is no range.
fn range(text: &str) -> Result<Option<Values>, String> {
    let Some((low, rest)) = text.split_once("..") else { return Ok(None) };
    let (high, spacing) = match rest.split_once(':') {
        None => (rest, Spacing::Linear),
        Some((high, "log")) => (high, Spacing::Logarithmic),
        Some((high, "int")) => (high, Spacing::Whole),
        Some((_, other)) => return Err(format!("expected `:log` or `:int`, found `:{other}`")),
    };
    let end = |text: &str| match text.trim().parse::<f64>() {
        Ok(end) if end.is_finite() => Ok(end),
        _ => Err(format!("expected a range LOW..HIGH of numbers, found `{text}`")),
    };
    let (low, high) = (end(low)?, end(high)?);
    if low >= high {
        return Err(format!("a range must begin below its end, found {low}..{high}"));
    }
    if spacing == Spacing::Logarithmic && low <= 0.0 {
        return Err(format!("a logarithmic range must lie above 0, found {low}..{high}"));
    }
    if spacing == Spacing::Whole && (low.fract() != 0.0 || high.fract() != 0.0) {
        return Err(format!("expected whole numbers, found {low}..{high}"));
    }
    Ok(Some(Values::Range { low, high, spacing }))
}

/// Values between commas that stand in no bracket and no quotes. A bare word is a string; all else
/// is JSON.
pub(crate) fn list(text: &str) -> Vec<Value> {
    let mut parts = vec![String::new()];
    let (mut depth, mut quoted) = (0_i32, false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth <= 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
        .map(|part| serde_json::from_str(part).unwrap_or_else(|_| part.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Dimension, Spacing, Values, list};

    #[test]
    fn lists_are_split_outside_of_brackets() {
        let shown: Vec<String> =
            list(r#"[256,256],[512], standard ,{"sgd":{"momentum":0.9,"weight_decay":0}},1e-3"#)
                .iter()
                .map(ToString::to_string)
                .collect();
        assert_eq!(
            shown,
            [
                "[256,256]",
                "[512]",
                "\"standard\"",
                r#"{"sgd":{"momentum":0.9,"weight_decay":0}}"#,
                "0.001"
            ]
        );
    }

    #[test]
    fn ranges_say_how_they_are_drawn_from() {
        let parsed = |text: &str| text.parse::<Dimension>().unwrap().values;
        let range = |low, high, spacing| Values::Range { low, high, spacing };
        assert_eq!(parsed("svm.c=0.1..100:log"), range(0.1, 100.0, Spacing::Logarithmic));
        assert_eq!(parsed("mlp.epochs=4..20:int"), range(4.0, 20.0, Spacing::Whole));
        assert_eq!(parsed("mlp.dropout=0..0.5"), range(0.0, 0.5, Spacing::Linear));
        assert!("mlp.dropout=0..x".parse::<Dimension>().unwrap_err().contains("`x`"));
    }
}
