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
//!   server is sent as its own bytes; where these are too large too (413), or the server knows
//!   neither token (401, 403) nor form (415), the extraction stops with an error.
//! - **Several replicas share the load** if they report the same models. One that dies
//!   gets no more pictures until it responds again, with the same models as before.
//!
//! What differs from the local extractor: a picture without a face is padded by a quarter and
//! tried again as there, but not a third time at another size, since the size of the detector's
//! input is the server's choice; a near miss (`low-score`) is reported as `no-face`, unless the
//! server is facefold; there are no taps.

mod access;
mod client;
mod error;
mod extractor;
pub mod face_detection_recognition;
mod faces;
pub mod jsonpickle;
mod nan;
mod pictures;
mod pool;
pub mod rest;
mod retry;
mod transport;

pub use access::Token;
pub use client::{Dialect, UnknownDialect};
pub use error::InsightfaceError;
pub use extractor::{InsightfaceExtractor, Options};
pub use faces::{BadEmbedding, EMBEDDING_LENGTH, SCORE_THRESHOLD};
pub use pictures::{Crop, Picture, Pictures, Quality};
pub use retry::RetryPolicy;
