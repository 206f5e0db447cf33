//! Time zones: served from the bundled IANA data, no database behind them.

mod resource;
mod routes;

pub use resource::TIMEZONES;
pub use routes::router;
