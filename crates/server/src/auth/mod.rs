//! Who is calling: sign-in, tokens, and the operators they belong to (contract, protocol 2).

use std::net::IpAddr;
use std::sync::Arc;

use store::Operator;

mod operators;
mod passwords;
mod throttle;
mod tokens;

pub use operators::{Operators, Refused, allows, parse_network};
pub use passwords::{hash_password, random_password, verify_password};
pub use throttle::{Attempt, Throttle};
pub use tokens::{Claims, Tokens};

/// Who asked for a change, for the audit log. Everything is `None` for the system itself.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The operator.
    pub operator: Option<Arc<Operator>>,
    /// Address they came from.
    pub address: Option<IpAddr>,
    /// Id of the request.
    pub request_id: Option<String>,
}
