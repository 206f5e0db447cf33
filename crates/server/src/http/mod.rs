//! HTTP manners: limits, headers in the founding document's order, tags, compression, metrics.
//!
//! Handlers return a [`crate::reply::Reply`]; [`Service`] makes the response of it.

mod addresses;
mod body;
mod listen;
mod media;
mod metrics;
mod outbound;
mod proxies;
mod recent;
mod service;
mod socket;
mod stream;

pub use body::read_body;
pub use listen::{Limits, Listener, serve};
pub use media::{accepts, check_content_type, list_header, media_type, media_types};
pub use metrics::{
    Looked, count_delivery, describe, install_recorder, looked, render_metrics, show_backlog,
    show_drift, show_held,
};
pub use outbound::{Answer, Outbound, Unanswered};
pub use proxies::RequestInfo;
pub use recent::{Recent, last_minute};
pub use service::{ResponseBody, Service, guarded};
pub use stream::Source;
