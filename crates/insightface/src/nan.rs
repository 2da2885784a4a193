//! Python writes `NaN` and `Infinity` into JSON, which JSON does not have; they become `null`.

use std::borrow::Cow;

const TOKENS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// The document with each `NaN`, `Infinity` and `-Infinity` outside of strings made `null`.
pub(crate) fn to_null(json: &[u8]) -> Cow<'_, [u8]> {
    let suspect = |token: &&[u8]| json.windows(token.len()).any(|window| window == *token);
    if !TOKENS.iter().any(suspect) {
        return Cow::Borrowed(json);
    }
    let mut cleaned = Vec::with_capacity(json.len());
    let (mut rest, mut inside, mut escaped) = (json, false, false);
    while let Some((&byte, after)) = rest.split_first() {
        if !inside && let Some(token) = TOKENS.iter().find(|token| rest.starts_with(token)) {
            cleaned.extend_from_slice(b"null");
            rest = &rest[token.len()..];
            continue;
        }
        if byte == b'"' && !escaped {
            inside = !inside;
        }
        escaped = inside && byte == b'\\' && !escaped;
        cleaned.push(byte);
        rest = after;
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use super::to_null;

    #[test]
    fn only_bare_tokens_change() {
        let made = |text: &str| String::from_utf8(to_null(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(made("[NaN, -Infinity,Infinity, 1]"), "[null, null,null, 1]");
        assert_eq!(made(r#"{"NaN \" NaN": NaN}"#), r#"{"NaN \" NaN": null}"#);
        assert_eq!(made(r#"{"a\\": NaN}"#), r#"{"a\\": null}"#);
        assert_eq!(made("[1, 2]"), "[1, 2]");
    }
}
