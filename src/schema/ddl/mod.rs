//! Reading DDL: what a statement's text changes in the schema, and what it is published as.
