//! Payloads, cut at every place.
