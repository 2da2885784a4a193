//! Errors of the client, with advice.

use facefold_core::ExtractorError;

/// A failure of the servers or of the configuration, not of a picture.
#[derive(Debug, thiserror::Error)]
pub enum InsightfaceError {
    /// A URL that no request can be sent to.
    #[error(
        "expected the URL of an insightface container such as `http://127.0.0.1:18081`, found `{0}`"
    )]
    InvalidUrl(String),
    /// No URL at all.
    #[error("expected the URL of at least one insightface container")]
    NoUrl,
    /// The dialect cannot embed aligned crops.
    #[error(
        "the dialect face-detection-recognition has no way to embed crops that are aligned already: \
         use a container of the dialect rest, or the local extractor"
    )]
    NoCrops,
    /// No replica responds.
    #[error(
        "no insightface container can be used ({tried}); start one, or correct the URLs. The same \
         command goes on where it stopped"
    )]
    NoReplica {
        /// Each URL with its last failure.
        tried: String,
    },
    /// A server that is up, and does not speak the dialect.
    #[error("`{url}` does not have the dialect {dialect}: {found}. {advice}")]
    WrongDialect {
        /// The server.
        url: String,
        /// The dialect expected.
        dialect: &'static str,
        /// Its response.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// A server that lets this client in no more than any other.
    #[error(
        "`{url}` refuses access with {given}: status {status}; set FACEFOLD_TOKEN (or --token) \
         to a token that it knows"
    )]
    Unauthorised {
        /// The server.
        url: String,
        /// 401 or 403.
        status: u16,
        /// What it was given.
        given: &'static str,
    },
    /// A server, or a proxy before it, that takes no body as long as a picture in its shortest form.
    #[error(
        "`{url}` refuses a request of {bytes} bytes, the shortest form of a picture, as too large \
         (status 413): raise the limit on bodies there (facefold serve --max-body; \
         client_max_body_size of nginx). The same command goes on where it stopped"
    )]
    BodyTooLarge {
        /// The server.
        url: String,
        /// Length of the shortest request about the picture.
        bytes: usize,
    },
    /// A token that no header can carry.
    #[error(
        "expected a token of printable ASCII characters, found {0} bytes with others among them"
    )]
    InvalidToken(usize),
    /// A header that cannot be sent with every request. Its value is not shown.
    #[error("expected a header such as `X-Api-Key: VALUE`, found {0}")]
    InvalidHeader(String),
    /// Neither one token for all replicas nor one for each.
    #[error("expected one token, or one for each of {urls} containers, found {tokens}")]
    Tokens {
        /// How many replicas.
        urls: usize,
        /// How many tokens.
        tokens: usize,
    },
    /// Replicas that run different models or settings.
    #[error(
        "`{url}` is no replica of `{reference}`: {differences}. Embeddings of different models \
         must not be mixed: leave one of them out"
    )]
    DifferentReplica {
        /// The server that differs.
        url: String,
        /// The server it was compared with.
        reference: String,
        /// What differs, with both values.
        differences: String,
    },
    /// A server whose models are others than when it was first asked.
    #[error(
        "`{url}` runs other models than at the start: {differences}. Nothing that it gave since the \
         last check is kept: start the models of before, or extract into another store"
    )]
    ChangedModels {
        /// The server.
        url: String,
        /// What differs, with both values.
        differences: String,
    },
    /// A server that embeds the same picture otherwise than another one, or than before.
    #[error(
        "`{url}` embeds the same picture otherwise than `{reference}` did (cosine {cosine:.3}, \
         expected at least {least}): the models differ, and their embeddings must not be mixed. Leave \
         one of the two out"
    )]
    DifferentEmbedding {
        /// The server that differs.
        url: String,
        /// The server that it was compared with.
        reference: String,
        /// Cosine of the two embeddings; 0 where no face was found.
        cosine: f64,
        /// The least cosine of replicas.
        least: f64,
    },
    /// Servers whose models could not be confirmed after they had responded.
    #[error(
        "the models behind {urls} could not be confirmed after {rounds} attempts: see the servers' own \
         logs. The same command goes on where it stopped"
    )]
    Unconfirmed {
        /// The servers.
        urls: String,
        /// How often pictures were sent.
        rounds: u32,
    },
    /// A server keeps failing on one picture, for unknown reasons.
    #[error(
        "`{url}` failed {attempts} times on one picture: {found}. See the server's own log; the \
         same command goes on where it stopped"
    )]
    GaveUp {
        /// The last server tried.
        url: String,
        /// How often.
        attempts: u32,
        /// The last failure.
        found: String,
    },
    /// Picture after picture fails, although the server seems to be in good health.
    #[error(
        "the last {pictures} pictures all failed on the server, the last one so: {found}. See the \
         server's own log. Once it is mended, the same command with --retry-rejected tries these \
         pictures again"
    )]
    TooManyFailures {
        /// How many in a row.
        pictures: u32,
        /// The last failure.
        found: String,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[source] reqwest::Error),
}

impl From<InsightfaceError> for ExtractorError {
    fn from(error: InsightfaceError) -> Self {
        // It is in the message; as a source it would be printed twice.
        Self::new(error.to_string())
    }
}

/// What went wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Unreachable(String),
    /// A connection that broke, or a response that was incomplete at the timeout.
    Broken(String),
    /// Asked to come back later.
    Busy(Option<std::time::Duration>),
    /// A status from 500.
    Status(u16),
    /// A status from 300 to 499, other than those with a meaning of their own.
    Refused(u16),
    /// A body is larger than the server takes: so many bytes.
    TooLarge(usize),
    /// 401 or 403: the server does not know the client's token.
    Unauthorised(u16),
    /// A complete response with status 200 that is not of the dialect.
    Unreadable(String),
    /// The server reports that it failed on this picture. Its message is not shown: its
    /// tracebacks name files and lines of another machine.
    Item,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(found) | Self::Broken(found) => f.write_str(found),
            Self::Busy(None) => f.write_str("it is too busy (status 429 or 503)"),
            Self::Busy(Some(pause)) => {
                let seconds = pause.as_secs();
                write!(f, "it is too busy (status 429 or 503; to be asked again after {seconds} s)")
            }
            Self::Status(status) | Self::Refused(status) => write!(f, "status {status}"),
            Self::TooLarge(bytes) => write!(f, "status 413 for a request of {bytes} bytes"),
            Self::Unauthorised(status) => {
                write!(f, "status {status}: it does not know the token given, if any")
            }
            Self::Unreadable(found) => write!(f, "a response that cannot be read ({found})"),
            Self::Item => f.write_str("it reports that the picture failed"),
        }
    }
}
