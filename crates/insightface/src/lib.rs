//! The extractor over HTTP: a client of insightface containers.
//!
//! [`InsightfaceExtractor`] is an [`Extractor`](facefold_core::Extractor) like the local one: bytes
//! of a picture go in, faces with embeddings or a typed rejection come out. Two dialects are
//! spoken: [`rest`], that of InsightFace-REST and of `facefold serve`, and
//! [`face_detection_recognition`], whose responses are pickled and are read without unpickling
//! ([`jsonpickle`]).
//!
//! How it stays correct:
//!
//! - **One picture a request.** Neither dialect names the pictures in its response, so a response
//!   can be tied to its picture only where it can belong to no other. A server that leaves pictures
//!   out or exchanges them cannot mix up the store; speed comes from requests in parallel.
//! - **Upright pixels.** Servers apply EXIF orientation to JPEG only, so each picture is decoded
//!   here ([`Pictures`]), oriented by EXIF and sent as PNG: the pixels that the local extractor sees.
//! - **Nothing is believed.** Embeddings must be 512 finite values of unit length with a norm
//!   above 0; responses are bounded in size and time; a failed item, a status other than 200, and
//!   unparsable bytes each have an outcome of their own, and none stores an embedding.
//! - **A picture is rejected only by a healthy server.** Before a picture is rejected for an
//!   error of the server, the server must embed a picture that is known to work.
//! - **Refusals of the server are not the picture's.** A picture whose PNG is too large for the
//!   server (413) is sent as its own bytes, as JPEG of quality 98, then smaller; where all are too
//!   large, or the server knows neither token (401, 403) nor form (415), the extraction stops with an
//!   error.
//! - **Several replicas share the load** if they report the same models and give the same embedding
//!   of one picture. One that dies gets no more pictures until it responds again, with the same models.
//! - **Nothing is returned before it is confirmed.** The models behind an address may change. After
//!   the responses of a call, each replica that gave some must report the same models as at the
//!   start; else its responses are dropped, and the pictures are sent to another one.
//! - **The detector sees what the local one sees.** InsightFace-REST scales every picture to its own
//!   input; a black margin makes it scale by as much as is done here (module `canvas`).
//!
//! What differs from the local extractor: a near miss (`low-score`) is reported as `no-face`, unless
//! the server is facefold; the attempts at detection are those of the local extractor only where the
//! server reports its input's size; there are no taps.

mod access;
mod canvas;
mod client;
mod dialect;
mod error;
mod extractor;
pub mod face_detection_recognition;
mod faces;
mod forms;
pub mod jsonpickle;
mod nan;
mod pictures;
mod pool;
pub mod rest;
mod retry;
mod transport;

pub use access::{Header, Token};
pub use dialect::{Dialect, UnknownDialect};
pub use error::InsightfaceError;
pub use extractor::{InsightfaceExtractor, Options};
pub use faces::{BadEmbedding, EMBEDDING_LENGTH};
pub use pictures::{Attempt, Canvas, Crop, Format, Picture, Pictures, Quality};
pub use retry::RetryPolicy;
