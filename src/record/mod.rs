//! stub
/// A record batch.
#[derive(Debug)]
pub struct Batch;
