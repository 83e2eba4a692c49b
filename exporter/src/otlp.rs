//! Each collection is pushed to a collector too, by OTLP over HTTP, where a flag asks for it
//! and the feature `otlp` is built in.
//!
//! What is pushed is made of the text that scrapers get (`exposition`), so that no figure
//! can differ.

#[cfg(feature = "otlp")]
pub mod client;
pub mod endpoint;
#[cfg(feature = "otlp")]
pub mod exposition;
pub mod headers;
#[cfg(feature = "otlp")]
pub mod message;
#[cfg(feature = "otlp")]
pub mod names;
#[cfg(feature = "otlp")]
mod protobuf;
#[cfg(feature = "otlp")]
pub mod push;
pub mod settings;
