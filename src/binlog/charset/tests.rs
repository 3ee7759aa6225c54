//! Text against what the server makes of it.
