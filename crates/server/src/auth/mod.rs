//! Who is calling: sign-in, tokens, and the operators they belong to (contract, protocol 2).

mod operators;
mod passwords;
mod throttle;
mod tokens;

pub use operators::{Operators, Refused, allows, parse_network};
pub use passwords::{hash_password, random_password, verify_password};
pub use throttle::Throttle;
pub use tokens::{Claims, Tokens};

/// Who asked for a change, for the audit log. Everything is `None` for the system itself.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Name of the operator.
    pub actor: Option<String>,
    /// Address they came from.
    pub ip: Option<String>,
    /// Id of the request.
    pub request_id: Option<String>,
}
