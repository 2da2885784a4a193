//! Options of the server: address, tokens, and limits of requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The path below which everything is served.
    pub base_path: BasePath,
    /// Number of pictures in work at a time, at least 1: one a core.
    pub threads: usize,
    /// Bearer tokens, any of which opens the service; none leaves it open.
    pub tokens: Vec<String>,
    /// Origins whose pages may call the service (CORS), such as `https://app.example.org`; `*` for all.
    /// None by default: pages of other sites may not.
    pub allowed_origins: Vec<String>,
    /// Directory of the reports to show, if any.
    pub results: Option<PathBuf>,
    /// What a request may cost.
    pub limits: Limits,
}

/// A path such as `/faces`, below which a server behind a proxy finds its routes; empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// Without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BasePath {
    type Err = String;

    /// # Errors
    /// A path that does not begin with a slash, has an empty segment, `.` or `..`, or other letters
    /// than those that mean themselves in an address (RFC 3986, section 2.3).
    fn from_str(path: &str) -> Result<Self, String> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~".contains(letter);
        let is_segment =
            |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(is_plain);
        match path.strip_prefix('/') {
            Some(below) if below.split('/').all(is_segment) => Ok(Self(path.to_owned())),
            None if path.is_empty() => Ok(Self::default()),
            _ => Err("expected a path such as /faces, of letters, digits, `-`, `.`, `_` and `~`"
                .to_owned()),
        }
    }
}

/// What a request may cost, and what all of them may. The limit on pixels is the extractor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a request's body; more is 413.
    pub body: usize,
    /// Most bytes of all bodies held at a time; more is 429.
    pub memory: usize,
    /// Most pictures of a request; more is 413.
    pub pictures: usize,
    /// Most faces of a picture that are looked at, the main one first.
    pub faces: usize,
    /// Most requests with pictures at a time; more is 429.
    pub requests: usize,
    /// Most pictures that wait for a worker; further ones of the same requests wait their turn.
    pub waiting: usize,
    /// Most pictures that a worker takes at once; 1 turns batching off.
    pub batch: usize,
    /// Most connections at a time, and no more than there are file descriptors; for a further one
    /// that gives way which waits longest for its next request.
    pub connections: usize,
    /// Time limit from a request's head to its response. A body that is incomplete by then is 408,
    /// a picture that is not done 503. A client that reads nothing of its response for so long is
    /// disconnected.
    pub time: Duration,
    /// From a connection's start, or its last response, to the end of the next request's head; then
    /// the connection is closed.
    pub head_time: Duration,
    /// From the wish to stop until requests in work are given up.
    pub drain_time: Duration,
}

impl Default for Limits {
    /// 32 MiB a body, 256 MiB for all, 64 pictures of 32 faces, 64 requests, 8 pictures a batch,
    /// 1,024 connections; 30 seconds a request, 10 for its head, 30 to drain.
    fn default() -> Self {
        Self {
            body: 32 << 20,
            memory: 256 << 20,
            pictures: 64,
            faces: 32,
            requests: 64,
            waiting: 128,
            batch: 8,
            connections: 1024,
            time: Duration::from_secs(30),
            head_time: Duration::from_secs(10),
            drain_time: Duration::from_secs(30),
        }
    }
}

/// An origin whose pages may call a server: scheme, host and port; or `*` for all.
///
/// # Errors
/// What was expected.
pub fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or(text.strip_prefix("http://"));
    let host = host.map(|host| host.trim_end_matches('/'));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ', '*']) => {
            Ok(text.to_owned())
        }
        _ if text == "*" => Ok(text.to_owned()),
        _ => Err("expected an origin such as https://app.example.org, or `*`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::BasePath;

    #[test]
    fn a_base_path_has_plain_segments() {
        let parse = |path: &str| path.parse::<BasePath>().map(|base| base.as_str().to_owned());
        assert_eq!(parse("/faces").as_deref(), Ok("/faces"));
        assert_eq!(parse("/a/b.c_d/").as_deref(), Ok("/a/b.c_d"));
        assert_eq!(parse("/").as_deref(), Ok(""));
        assert_eq!(parse("").as_deref(), Ok(""));
        for path in ["faces", "//", "/a//b", "/..", "/a/./b", "/{name}", "/a b", "/%41", "/a?b"] {
            assert!(parse(path).is_err(), "{path}");
        }
    }
}
