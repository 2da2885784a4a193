//! The addresses and credentials of the replicas: neither tokens nor passwords are ever
//! shown.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use reqwest::blocking::RequestBuilder;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, TRANSFER_ENCODING,
};

use crate::error::InsightfaceError;

/// A bearer token, which is sent and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A header that is sent with every request, such as a gateway's key; its value is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: HeaderName,
    value: HeaderValue,
}

/// Headers that belong to a request's body, or to the connection.
const RESERVED: [HeaderName; 6] =
    [ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

impl FromStr for Header {
    type Err = InsightfaceError;

    /// Reads `Name: value`.
    fn from_str(text: &str) -> Result<Self, InsightfaceError> {
        let invalid = |found: &str| InsightfaceError::InvalidHeader(found.to_owned());
        let (name, value) = text.split_once(':').ok_or_else(|| invalid("no colon"))?;
        let name = HeaderName::from_str(name.trim())
            .map_err(|_| invalid("a name with characters that no header's name has"))?;
        if RESERVED.contains(&name) {
            return Err(invalid(&format!("`{name}`, which each request has already")));
        }
        let mut value = HeaderValue::from_str(value.trim())
            .map_err(|_| invalid(&format!("a value of `{name}` with characters that none has")))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({}: …)", self.name)
    }
}

/// The headers of every request.
pub(crate) fn headers(given: &[Header]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for Header { name, value } in given {
        headers.append(name, value.clone());
    }
    headers
}

/// Where a replica is, and how to get in.
#[derive(Clone)]
pub(crate) struct Address {
    /// Without a slash at its end, and without a user's name and password.
    url: String,
    credentials: Credentials,
}

#[derive(Clone)]
enum Credentials {
    None,
    Bearer(HeaderValue),
    /// As the address gives them.
    Password {
        user: String,
        password: String,
    },
}

impl Address {
    /// A URL that requests can be sent to. A token goes before a password in the address.
    pub(crate) fn new(text: &str, token: Option<&Token>) -> Result<Self, InsightfaceError> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url =
            url.filter(|url| url.has_host() && url.query().is_none() && url.fragment().is_none());
        let mut url = url.ok_or_else(|| InsightfaceError::InvalidUrl(without_user(text)))?;
        let credentials = match token {
            Some(token) => Credentials::Bearer(header(token)?),
            None if url.username().is_empty() && url.password().is_none() => Credentials::None,
            None => Credentials::Password {
                user: decoded(url.username()),
                password: decoded(url.password().unwrap_or_default()),
            },
        };
        // A URL of these schemes that has a host can have a user, and so be without one.
        let _ = (url.set_username(""), url.set_password(None));
        Ok(Self { url: url.as_str().trim_end_matches('/').to_owned(), credentials })
    }

    /// Its URL, which may be shown.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What is given, in words.
    pub(crate) fn given(&self) -> &'static str {
        match self.credentials {
            Credentials::None => "no token",
            Credentials::Bearer(_) => "this token",
            Credentials::Password { .. } => "this name and password",
        }
    }

    pub(crate) fn authorise(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::None => request,
            Credentials::Bearer(value) => request.header(AUTHORIZATION, value.clone()),
            Credentials::Password { user, password } => request.basic_auth(user, Some(password)),
        }
    }
}

fn header(token: &Token) -> Result<HeaderValue, InsightfaceError> {
    let invalid = || InsightfaceError::InvalidToken(token.0.len());
    let is_printable =
        !token.0.is_empty() && token.0.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let value = is_printable.then(|| HeaderValue::from_str(&format!("Bearer {}", token.0)).ok());
    let mut value = value.flatten().ok_or_else(invalid)?;
    // Whatever logs headers leaves it out.
    value.set_sensitive(true);
    Ok(value)
}

/// What a user typed as an address, without a user's name and password.
pub(crate) fn without_user(text: &str) -> String {
    let (scheme, rest) = text.split_once("//").unwrap_or(("", text));
    let slashes = if rest.len() < text.len() { "//" } else { "" };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}{slashes}…@{rest}"),
        None => text.to_owned(),
    }
}

/// A part of a URL with its `%` escapes undone.
fn decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let escape = part.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Address, Credentials, Header, Token, decoded, headers};

    #[test]
    fn passwords_are_never_shown() {
        let address = Address::new("http://user:p%40ss@10.0.0.1:18081/", None).unwrap();
        assert_eq!(address.url(), "http://10.0.0.1:18081");
        let Credentials::Password { user, password } = &address.credentials else { panic!() };
        assert_eq!((user.as_str(), password.as_str()), ("user", "p@ss"));
        assert_eq!(decoded("a%2zb%41%"), "a%2zbA%");
        for wrong in
            ["ftp://user:secret@x", "user:secret@x", "http://user:secret@x/?a", "//u:secret@"]
        {
            let error = Address::new(wrong, None).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn tokens_are_never_shown() {
        let token = Token::from("sesame".to_owned());
        assert_eq!(format!("{token:?}"), "Token(…)");
        let address = Address::new("http://user:secret@x", Some(&token)).unwrap();
        let Credentials::Bearer(value) = &address.credentials else { panic!() };
        assert!(value.is_sensitive() && value == "Bearer sesame");
        for wrong in ["", "sesame\n", "öffne"] {
            let error = Address::new("http://x", Some(&Token::from(wrong.to_owned())));
            let error = error.err().unwrap().to_string();
            assert!(wrong.is_empty() || !error.contains(wrong.trim()), "{error}");
        }
    }
    #[test]
    fn headers_are_sent_and_their_values_are_never_shown() {
        let header: Header = "X-Api-Key:  sesame ".parse().unwrap();
        assert_eq!(format!("{header:?}"), "Header(x-api-key: …)");
        let sent = headers(&[header]);
        assert!(sent["x-api-key"].is_sensitive() && sent["x-api-key"] == "sesame");
        for wrong in ["sesame", ": sesame", "a b: sesame", "x: sesa\nme", "Content-Type: sesame"] {
            let error = wrong.parse::<Header>().unwrap_err().to_string();
            assert!(!error.contains("sesame"), "{error}");
        }
    }
}
