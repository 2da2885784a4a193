//! One request over HTTP: bounded in time and size, and typed in how it fails.

use std::io::Read;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;

use crate::access::Address;
use crate::error::{Failure, InsightfaceError};
use crate::retry::RetryPolicy;

/// Largest response: a thousand faces as JSON are 12 MB.
const LARGEST_ANSWER: u64 = 64 << 20;

/// Servers behind uvicorn drop a connection after 5 idle seconds; drop it first.
const IDLE: Duration = Duration::from_secs(4);

/// A body to post, with the content types of request and response.
pub(crate) struct RequestBody {
    pub path: &'static str,
    pub content_type: &'static str,
    /// InsightFace-REST responds with 500 where this header is missing.
    pub accept: &'static str,
    pub body: Vec<u8>,
}

/// A complete response with status 200.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Sends requests.
pub(crate) struct Transport {
    client: Client,
    retry: Duration,
}

impl Transport {
    pub(crate) fn new(retry: &RetryPolicy) -> Result<Self, InsightfaceError> {
        let client = Client::builder()
            .connect_timeout(retry.connect)
            .timeout(retry.response)
            .pool_idle_timeout(IDLE)
            // Faces go to the servers that were named, and nowhere else.
            .no_proxy()
            .redirect(Policy::none())
            .user_agent(concat!("facefold/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(InsightfaceError::Client)?;
        Ok(Self { client, retry: retry.response })
    }

    pub(crate) fn get(&self, address: &Address, path: &str) -> Result<HttpResponse, Failure> {
        let request = self.client.get(format!("{}{path}", address.url()));
        self.send(address.authorise(request.header(ACCEPT, "application/json")), 0)
    }

    pub(crate) fn post(
        &self,
        address: &Address,
        request_body: RequestBody,
    ) -> Result<HttpResponse, Failure> {
        let request = self
            .client
            .post(format!("{}{}", address.url(), request_body.path))
            .header(CONTENT_TYPE, request_body.content_type)
            .header(ACCEPT, request_body.accept);
        let bytes = request_body.body.len();
        self.send(address.authorise(request).body(request_body.body), bytes)
    }

    /// Sends a request with a body of so many bytes.
    fn send(&self, request: RequestBuilder, bytes: usize) -> Result<HttpResponse, Failure> {
        let start = Instant::now();
        let response = request.send().map_err(|error| self.failure(&error))?;
        let status = response.status();
        match status {
            StatusCode::OK => self.read(response, start),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Err(Failure::Busy(retry_after(&response)))
            }
            StatusCode::PAYLOAD_TOO_LARGE => Err(Failure::TooLarge(bytes)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Failure::Unauthorised(status.as_u16()))
            }
            status if status.is_server_error() => Err(Failure::Status(status.as_u16())),
            status => Err(Failure::Refused(status.as_u16())),
        }
    }

    /// The client's own timeout begins anew with every byte of a body, so the whole is timed here.
    fn read(&self, mut response: Response, start: Instant) -> Result<HttpResponse, Failure> {
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let (mut body, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let count = response.read(&mut buffer).map_err(|error| {
                let cause = error.get_ref().and_then(|error| error.downcast_ref());
                cause.map_or_else(|| cut(body.len()), |error| self.broken(error, body.len()))
            })?;
            if count == 0 {
                return Ok(HttpResponse { content_type, body });
            }
            body.extend_from_slice(&buffer[..count]);
            if body.len() as u64 > LARGEST_ANSWER {
                let found = format!("more than {LARGEST_ANSWER} bytes");
                return Err(Failure::Unreadable(found));
            }
            if start.elapsed() > self.retry {
                return Err(self.late(body.len()));
            }
        }
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        if error.is_connect() {
            Failure::Unreachable(format!("no connection: {}", innermost(error)))
        } else {
            self.broken(error, 0)
        }
    }

    fn broken(&self, error: &reqwest::Error, received: usize) -> Failure {
        if error.is_timeout() {
            self.late(received)
        } else if received > 0 {
            cut(received)
        } else {
            Failure::Broken(format!("the connection broke: {}", innermost(error)))
        }
    }

    fn late(&self, received: usize) -> Failure {
        let retry = self.retry.as_secs_f64();
        Failure::Broken(format!("no complete response within {retry} s ({received} bytes came)"))
    }
}

fn cut(received: usize) -> Failure {
    Failure::Broken(format!("the response was cut off after {received} bytes"))
}

/// Only the form in seconds: servers of these dialects send no dates.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The most informative cause: outer messages repeat the URL and say that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
