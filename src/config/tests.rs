//! Tests over the whole: files in, settings and problems out.
