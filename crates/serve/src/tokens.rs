//! Bearer tokens, compared in constant time.

use axum::http::{HeaderMap, HeaderValue, header};

/// The tokens of the service; only their hashes are in memory.
#[derive(Debug)]
pub(crate) struct Tokens(Vec<blake3::Hash>);

impl Tokens {
    pub fn new(tokens: &[String]) -> Self {
        Self(tokens.iter().map(|token| blake3::hash(token.as_bytes())).collect())
    }

    /// Whether no token is needed.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request with these headers may come in.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        if self.is_open() {
            return true;
        }
        let header = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let Some((scheme, token)) = header.and_then(|value| value.split_at_checked(7)) else {
            return false;
        };
        let given = blake3::hash(token);
        // `Hash` compares in constant time, and every token is compared.
        let equal = self.0.iter().filter(|token| **token == given).count();
        equal > 0 && scheme.eq_ignore_ascii_case(b"bearer ")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::Tokens;

    #[test]
    fn only_a_whole_known_token_opens() {
        let tokens = Tokens::new(&["one".to_owned(), "two".to_owned()]);
        let admits = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            tokens.admit(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        assert!(admits("Bearer one") && admits("bearer two"));
        for wrong in ["Bearer on", "Bearer one ", "Bearer ", "Bearer", "Basic one", "", "one"] {
            assert!(!admits(wrong), "`{wrong}`");
        }
        assert!(!tokens.admit(&HeaderMap::new()));
        assert!(Tokens::new(&[]).admit(&HeaderMap::new()));
    }
}
