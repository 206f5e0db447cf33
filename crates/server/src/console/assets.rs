//! What pages need beside themselves: style, scripts, an icon. Part of the program, and named by
//! their content, so that browsers keep them.

use std::sync::{Arc, LazyLock};

use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use jsonapi::Error;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;

/// Where they are.
pub const PATH: &str = "/assets/{name}";

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! asset {
    ($name:literal, $kind:literal, $file:literal) => {
        Asset { name: $name, kind: $kind, content: include_str!($file) }
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static ASSETS: [Asset; 7] = [
    Asset { name: "console.css", kind: STYLE, content: include_str!("assets/console.css") },
    Asset { name: "console.js", kind: SCRIPT, content: include_str!("assets/console.js") },
    Asset { name: "chart.js", kind: SCRIPT, content: include_str!("assets/chart.js") },
    asset!("icon.svg", "image/svg+xml", "assets/icon.svg"),
    Asset { name: "htmx.js", kind: SCRIPT, content: include_str!("vendor/htmx.min.js") },
    Asset { name: "uplot.js", kind: SCRIPT, content: include_str!("vendor/uPlot.iife.min.js") },
    Asset { name: "uplot.css", kind: STYLE, content: include_str!("vendor/uPlot.min.css") },
];

/// The beginning of a digest of all of them: changes with every one.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for asset in &ASSETS {
        digest.update(asset.content);
    }
    URL_SAFE_NO_PAD.encode(&digest.finalize()[..9])
});

/// The address of an asset.
#[must_use]
pub fn url(name: &str) -> String {
    format!("/assets/{name}?{}", *VERSION)
}

/// Answers with an asset; nobody has to be signed in.
///
/// # Errors
/// 404.
pub async fn serve(_: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let asset = found.ok_or_else(Error::path_not_found)?;
    let reply = Reply::plain(StatusCode::OK, asset.kind, asset.content.as_bytes().to_vec());
    // Its address changes when it does.
    Ok(reply.unvaried().kept("public, max-age=31536000, immutable"))
}
