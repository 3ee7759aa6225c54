//! JSON against what the server prints.
