//! The page: its files, which are in the binary.
//!
//! No build step: ES modules as they are written, and two libraries as their makers ship them
//! (`vendor/`, with their licences). Nothing is loaded from anywhere else.

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::access::{Access, Need};
use super::{Gate, Shared, failure, pass, response};

/// A file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    gzipped: OnceLock<Vec<u8>>,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! files {
    ($(($path:literal, $kind:expr, $file:literal),)*) => {
        [$(File {
            path: $path, kind: $kind, bytes: include_bytes!($file), gzipped: OnceLock::new(),
        },)*]
    };
}

static FILES: [File; 16] = files![
    ("/", HTML, "index.html"),
    ("/page/style.css", STYLE, "style.css"),
    ("/page/icon.svg", PICTURE, "icon.svg"),
    ("/page/main.js", SCRIPT, "main.js"),
    ("/page/api.js", SCRIPT, "api.js"),
    ("/page/words.js", SCRIPT, "words.js"),
    ("/page/live.js", SCRIPT, "live.js"),
    ("/page/format.js", SCRIPT, "format.js"),
    ("/page/overview.js", SCRIPT, "overview.js"),
    ("/page/instance.js", SCRIPT, "instance.js"),
    ("/page/dialog.js", SCRIPT, "dialog.js"),
    ("/page/topics.js", SCRIPT, "topics.js"),
    ("/page/groups.js", SCRIPT, "groups.js"),
    ("/page/vendor/lit-html.js", SCRIPT, "vendor/lit-html.js"),
    ("/page/vendor/uPlot.js", SCRIPT, "vendor/uPlot.js"),
    ("/page/vendor/uPlot.css", STYLE, "vendor/uPlot.min.css"),
];

impl File {
    fn gzipped(&self) -> &[u8] {
        self.gzipped.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            // Into memory: it does not fail.
            let _ = encoder.write_all(self.bytes);
            encoder.finish().unwrap_or_default()
        })
    }
}

/// See the head of this file.
pub(super) fn routes(access: &Arc<Access>) -> Router<Shared> {
    let mut router = Router::new();
    for file in &FILES {
        let serve = move |headers: HeaderMap| async move {
            let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|text| text.to_str().ok());
            let gzip = accepted.is_some_and(|text| text.contains("gzip"));
            let bytes = if gzip { file.gzipped() } else { file.bytes };
            let mut answer = response(StatusCode::OK, file.kind, bytes.to_vec());
            let headers = answer.headers_mut();
            if gzip {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            answer
        };
        router = router.route(file.path, get(serve));
    }
    let gate = Gate { access: Arc::clone(access), need: Need::Nobody, answer: failure };
    router.route_layer(middleware::from_fn_with_state(gate, pass))
}
