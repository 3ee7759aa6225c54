//! Properties of all decoders.
