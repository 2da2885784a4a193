//! One request over HTTP: bounded in time and size, and typed in how it fails.

use std::io::Read;
use std::time::{Duration, Instant, SystemTime};

use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
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
    /// Connects anew for every request: a server that refuses an encoding may close the connection,
    /// and the next request must not be lost with it.
    probing: Client,
    retry: Duration,
}

impl Transport {
    /// Sends these headers with every request.
    pub(crate) fn new(retry: &RetryPolicy, headers: &HeaderMap) -> Result<Self, InsightfaceError> {
        let builder = || {
            Client::builder()
                .connect_timeout(retry.connect)
                .timeout(retry.response)
                .default_headers(headers.clone())
                // Faces go to the servers that were named, and nowhere else.
                .no_proxy()
                .redirect(Policy::none())
                .user_agent(concat!("facefold/", env!("CARGO_PKG_VERSION")))
        };
        let client = builder().pool_idle_timeout(IDLE).build();
        let probing = builder().pool_max_idle_per_host(0).build();
        Ok(Self {
            client: client.map_err(InsightfaceError::Client)?,
            probing: probing.map_err(InsightfaceError::Client)?,
            retry: retry.response,
        })
    }

    pub(crate) fn get(&self, address: &Address, path: &str) -> Result<HttpResponse, Failure> {
        let request = self.probing.get(format!("{}{path}", address.url()));
        self.send(address.authorise(request.header(ACCEPT, "application/json")), 0)
    }

    pub(crate) fn post(
        &self,
        address: &Address,
        request_body: RequestBody,
    ) -> Result<HttpResponse, Failure> {
        self.post_with(&self.client, address, request_body)
    }

    /// As [`Self::post`], on a connection of its own.
    pub(crate) fn post_anew(
        &self,
        address: &Address,
        request_body: RequestBody,
    ) -> Result<HttpResponse, Failure> {
        self.post_with(&self.probing, address, request_body)
    }

    fn post_with(
        &self,
        client: &Client,
        address: &Address,
        request_body: RequestBody,
    ) -> Result<HttpResponse, Failure> {
        let request = client
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

/// Seconds, or a date, which is compared with the server's own clock where the response has it.
fn retry_after(response: &Response) -> Option<Duration> {
    pause(response.headers(), SystemTime::now())
}

fn pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    Some(date.duration_since(now).unwrap_or_default())
}

/// The most informative cause: outer messages repeat the URL and say that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    use super::pause;

    #[test]
    fn retry_after_is_in_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        let after = |value: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
            pause(&headers, now).map(|pause| pause.as_secs())
        };
        assert_eq!(after(" 120 ", None), Some(120));
        // 784,111,777 seconds after the epoch, as in RFC 9110, section 5.6.7.
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", None), Some(77));
        let clock = "Sun, 06 Nov 1994 08:49:07 GMT";
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", Some(clock)), Some(30));
        assert_eq!(after("Sun, 06 Nov 1994 08:48:37 GMT", Some(clock)), Some(0));
        assert_eq!(after("soon", None), None);
        assert_eq!(pause(&HeaderMap::new(), now), None);
    }
}
